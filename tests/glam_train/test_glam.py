import json
from pathlib import Path

import pytest
import torch

from glam.model.glam import Scales
from glam_train.methods import objective, preset
from glam_train.methods.glam import glam_objective, glam_official_objective, glam_paper_objective
from glam_train.methods.losses import global_loss, local_loss, without_positive

SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


def test_ours_is_eq_2_plus_eq_4_with_temperatures_of_their_own(vectors):
    image_cc, image_mlo, text, *_ = vectors
    whole = global_loss(image_cc, image_mlo, text, view_scale=14.0, text_scale=10.0)
    expected = whole + 0.5 * local_loss(*vectors[5:9], 12.0)
    assert float(glam_objective(vectors, SCALES, 0.5)["total"]) == pytest.approx(float(expected), rel=1e-12)


def test_the_printed_one_has_one_temperature_and_no_positive_in_the_local_denominator(vectors):
    image_cc, image_mlo, text, *_ = vectors
    whole = global_loss(image_cc, image_mlo, text, view_scale=10.0, text_scale=10.0)
    expected = whole + local_loss(*vectors[5:9], 10.0, without_positive)
    assert float(glam_paper_objective(vectors, SCALES, 1.0)["total"]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", ["glam", "glam_paper", "glam_official"])
def test_every_objective_weighs_its_local_term(name, vectors):
    once, thrice = (objective(name)(vectors, SCALES, weight) for weight in (1.0, 3.0))
    assert float(thrice["total"] - once["total"]) == pytest.approx(2 * float(once["local"]), rel=1e-9)


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
    import numpy as np

    from glam_train.methods.vectors import scales_of, vectors_of
    from glam_train.official import import_official

    arrays = np.load(golden / "golden.npz")
    model = import_official(
        golden / "official.ckpt", tokenizer=golden / "vocab.txt", vision_heads=6, text_heads=4
    ).model.eval()
    views = [torch.from_numpy(arrays[name][:, None] / np.float32(255)) for name in ("imgs_u8", "ext_imgs_u8")]
    with torch.no_grad():
        output = model(*views, torch.from_numpy(arrays["caption_ids"]), torch.from_numpy(arrays["attention_mask"]))
    no_points = torch.zeros(len(views[0]), 0, 2, 2)
    return glam_official_objective(vectors_of(output, no_points), scales_of(output), 1.0)
