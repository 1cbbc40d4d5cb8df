import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glam.model.glam import Glam, Scales
from glam_train.data.batches import Batch
from glam_train.methods import build_method
from glam_train.methods.glam_settings import GlamOfficialSettings, GlamPaperSettings, GlamSettings
from glam_train.methods.late_interaction import late_interaction_loss
from glam_train.methods.losses import (
    cc_text_loss,
    global_loss,
    local_loss,
    view_loss,
    with_positive,
    within_image_only,
    without_positive,
)
from glam_train.methods.method import Learner, Method
from glam_train.official import import_official
from glam_train.presets import preset

SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


@pytest.fixture
def method_of(toy_config):
    """The method of some settings, on the toy model."""

    def built(settings) -> Method:
        config = replace(toy_config, method=settings)
        return build_method(config, Glam(config.model))

    return built


def test_ours_is_eq_2_plus_eq_4_with_temperatures_of_their_own(vectors, method_of):
    whole = global_loss(*vectors[:3], view_scale=14.0, text_scale=10.0)
    expected = whole + 0.5 * local_loss(*vectors.local, 12.0)
    found = method_of(GlamSettings()).objective(vectors, SCALES, 0.5)
    assert float(found["total"]) == pytest.approx(float(expected), rel=1e-12)


def test_the_printed_one_has_one_temperature_and_no_positive_in_the_local_denominator(vectors, method_of):
    whole = global_loss(*vectors[:3], view_scale=10.0, text_scale=10.0)
    expected = whole + local_loss(*vectors.local, 10.0, without_positive)
    found = method_of(GlamPaperSettings()).objective(vectors, SCALES, 1.0)
    assert float(found["total"]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (GlamSettings(same_position=False), "local",
         lambda v: local_loss(*v.local, 12.0, within_image_only(with_positive))),
        (GlamSettings(symmetric=False), "image_text", lambda v: cc_text_loss(*v[:3], 10.0)),
        (GlamSettings(local="late_interaction"), "local",
         lambda v: late_interaction_loss(v.regions_cc, v.regions_mlo, 12.0)),
        (GlamSettings(local="late_interaction", best_regions=None), "local",
         lambda v: late_interaction_loss(v.regions_cc, v.regions_mlo, 12.0, best_regions=None)),
    ],
)  # fmt: skip
def test_a_switch_changes_its_term_and_no_other(vectors, method_of, settings, name, expected):
    plain, switched = (method_of(given).objective(vectors, SCALES, 1.0) for given in (GlamSettings(), settings))
    assert float(switched[name]) == pytest.approx(float(expected(vectors)), rel=1e-12)
    assert float(switched[name]) != pytest.approx(float(plain[name]), rel=1e-3)
    for other in {"view", "image_text", "local"} - {name}:
        assert float(switched[other]) == float(plain[other])


def test_the_weight_of_the_view_term_is_its_weight(vectors, method_of):
    once, none = (method_of(GlamSettings(view_weight=w)).objective(vectors, SCALES, 1.0) for w in (1.0, 0.0))
    expected = float(view_loss(vectors.view_cc, vectors.view_mlo, 14.0))
    assert float(once["total"] - none["total"]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("settings", [GlamSettings(), GlamPaperSettings(), GlamOfficialSettings()])
def test_every_objective_weighs_its_local_term(settings, vectors, method_of):
    once, thrice = (method_of(settings).objective(vectors, SCALES, weight) for weight in (1.0, 3.0))
    assert float(thrice["total"] - once["total"]) == pytest.approx(2 * float(once["local"]), rel=1e-9)


def test_the_local_loss_has_its_weight_from_its_first_step_on(toy_config):
    config = replace(toy_config, local_weight=0.5, local_start_step=3)
    method = build_method(config, Glam(config.model))
    assert [method.local_weight(step) for step in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]


def test_late_interaction_leaves_the_projections_of_the_attention_as_they_are(toy_config):
    config = replace(toy_config, method=GlamSettings(local="late_interaction"))
    model = Glam(config.model)
    build_method(config, model).prepare(model)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"alignment.{way}.attention.{kind}.weight" for way in ("cc_to_mlo", "mlo_to_cc")
                      for kind in ("query", "key")}  # fmt: skip


def test_a_model_without_an_alignment_module_and_single_images_are_refused(toy_config):
    config = replace(toy_config, model=replace(toy_config.model, alignment=None))
    with pytest.raises(ValueError, match="glam needs the alignment module"):
        build_method(config, Glam(config.model))
    config = replace(toy_config, views=replace(toy_config.views, strategy="study"))
    with pytest.raises(ValueError, match=r"glam compares CC with MLO: views\.strategy is study"):
        build_method(config, Glam(config.model))


def test_places_are_told_in_our_presets_alone():
    weights = {"tiny": 1.0, "glam": 1.0, "glam-paper": 0.0, "glam-official": 0.0}
    assert {name: preset(name).correspondence_weight for name in weights} == weights
    assert {preset(name).flip_rows for name in weights} == {0.0}
    assert {preset(name).tissue_weight for name in weights} == {0.0}


def test_the_released_objective_reaches_the_golden_total():
    """The pieces are held to the golden vectors in test_official; here, that the preset adds up the same ones."""
    golden = Path(__file__).parents[1] / "golden"
    paper = json.loads((golden / "paper_variant.json").read_text())["glam_tiny_252"]
    found = released_terms(golden)
    assert float(found["total"]) == pytest.approx(paper["official_total"], rel=1e-5)


def released_terms(golden: Path):
    arrays = np.load(golden / "golden.npz")
    imported = import_official(golden / "official.ckpt", tokenizer=golden / "vocab.txt", vision_heads=6, text_heads=4)
    config = replace(preset("glam-official"), model=imported.model.config)
    learner = Learner(imported.model, build_method(config, imported.model))
    learner.load_heads(imported.heads)
    learner.eval()
    views = [torch.from_numpy(arrays[name][:, None] / np.float32(255)) for name in ("imgs_u8", "ext_imgs_u8")]
    text = [torch.from_numpy(arrays[name]) for name in ("caption_ids", "attention_mask")]
    no_places = torch.zeros(6, 0, 2, 2), torch.zeros(6, 0, dtype=torch.int64)
    with torch.no_grad():
        features = learner.method.features(learner.model, Batch(*views, *text, *no_places, torch.zeros(6, 0)))
        return learner.method.terms(features, learner.model.scales(), 0)
