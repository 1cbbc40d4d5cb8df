"""Whether a variant may be used, by what bundle.json records of it."""

import copy
import json
import shutil

import pytest

from glam.bundle import BundleError, read_bundle
from glam.variants import beyond_tolerance

NAN = float("nan")
CHANGE = {"portable": 0.9, "variant": 0.89}
ENTRY = {
    "graphs": ["vision.onnx"],
    "parity": {"image_cosine": 1.0, "text_cosine": 1.0, "patches_max_abs": 0.1, "attention_max_abs": 0.01},
    "accuracy": {
        "files": 8,
        "files_cosine": 0.9995,
        "golden_cosine": 0.9995,
        "phantom_breasts": 4,
        "phantom_cosine": 0.999,
        "probabilities_max_abs": 0.05,
        "attention_max_abs": 0.1,
        "density_macro_auc": CHANGE,
        "mass_auc": {"portable": None, "variant": None},
        "lesion_hit_at_1": {"portable": 0.9, "variant": 0.1},
        "tissue_hit_at_1": CHANGE,
    },
    "tolerance": {
        "min_cosine": 0.999,
        "max_patch_error": 0.5,
        "max_attention_error": 0.1,
        "max_probability_error": 0.05,
        "max_loss": 0.02,
    },
}


def changed(part: str, **values: object) -> dict:
    return ENTRY | {part: ENTRY[part] | values}


@pytest.mark.parametrize("variant", ["fused", "int8", "fp16", "bf16"])
def test_a_variant_within_its_tolerance_may_be_used(variant: str):
    assert beyond_tolerance(variant, ENTRY, compares_views=True) == []


@pytest.mark.parametrize("variant", ["int8", "fp16", "bf16"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("files_cosine", 0.1),
        ("files_cosine", NAN),
        ("golden_cosine", 0.9989),
        ("phantom_cosine", -1.0),
        ("probabilities_max_abs", 0.051),
        ("attention_max_abs", NAN),
        ("density_macro_auc", {"portable": 0.9, "variant": 0.87}),
        ("mass_auc", {"portable": 0.9, "variant": NAN}),
        ("tissue_hit_at_1", {"portable": 0.9, "variant": 0.5}),
    ],
)
def test_an_accuracy_beyond_it_is_named(variant: str, name: str, value: object):
    (failure,) = beyond_tolerance(variant, changed("accuracy", **{name: value}), compares_views=True)
    assert failure == f"{name} is {value}"


@pytest.mark.parametrize("variant", ["fused", "int8"])
@pytest.mark.parametrize(
    ("name", "value"), [("image_cosine", 0.9), ("text_cosine", NAN), ("patches_max_abs", 1), ("attention_max_abs", 1)]
)
def test_a_parity_beyond_it_is_named(variant: str, name: str, value: float):
    failures = beyond_tolerance(variant, changed("parity", **{name: value}), compares_views=True)
    assert failures == [f"parity {name} is {value}"]


@pytest.mark.parametrize("variant", ["fused", "int8"])
def test_a_model_that_does_not_compare_views_has_no_error_of_maps_and_no_other_does_without(variant: str):
    no_maps = {"attention_max_abs": None}
    without = ENTRY | {part: ENTRY[part] | no_maps for part in ("parity", "accuracy")}
    assert beyond_tolerance(variant, without, compares_views=False) == []
    assert beyond_tolerance(variant, ENTRY, compares_views=False)[0] == "parity attention_max_abs is 0.01"
    with pytest.raises(TypeError):
        beyond_tolerance(variant, without, compares_views=True)


@pytest.mark.parametrize("files", [{"files": 0}, {"files_cosine": None}, {"files": 0, "files_cosine": None}])
def test_int8_without_real_files_may_not_be_used(files: dict):
    failures = beyond_tolerance("int8", changed("accuracy", **files), compares_views=True)
    assert failures == ["it was measured on no real mammogram"]


def test_others_may_do_without_real_files_and_say_so_in_both_places():
    assert beyond_tolerance("fp16", changed("accuracy", files=0, files_cosine=None), compares_views=True) == []
    failures = beyond_tolerance("fp16", changed("accuracy", files=0), compares_views=True)
    assert failures == ["files is 0 and files_cosine 0.9995"]


def bundle_with(folder, tmp_path, variant: str, entry: dict):
    copied = shutil.copytree(folder, tmp_path / "bundle")
    manifest = json.loads((copied / "bundle.json").read_text())
    manifest.setdefault("variants", {})[variant] = entry
    (copied / "bundle.json").write_text(json.dumps(manifest))
    return copied


@pytest.mark.parametrize("verify", [True, False])
def test_a_bundle_whose_variant_is_beyond_its_tolerance_is_refused(random_bundle, tmp_path, verify: bool):
    copied = bundle_with(random_bundle.folder, tmp_path, "fp16", changed("accuracy", files_cosine=0.1))
    with pytest.raises(
        BundleError, match=r"variant fp16 in .* is beyond its own tolerance: files_cosine is 0.1"
    ) as caught:
        read_bundle(copied, verify=verify)
    assert caught.value.code == "bundle_variant"


@pytest.mark.parametrize("part", ["parity", "accuracy", "tolerance"])
@pytest.mark.parametrize("value", [None, {}, [], "good", 1])
def test_a_bundle_that_does_not_say_how_near_its_variant_is_is_refused(random_bundle, tmp_path, part: str, value):
    entry = copy.deepcopy(ENTRY) | {part: value}
    copied = bundle_with(random_bundle.folder, tmp_path, "int8", entry)
    with pytest.raises(BundleError, match="does not say how near variant int8 is") as caught:
        read_bundle(copied, verify=False)
    assert caught.value.code == "bundle_unreadable"
