import json
from pathlib import Path

import pytest
import torch

from glam_train.losses import global_loss, local_loss, without_positive
from glam_train.objectives import OBJECTIVES, Scales, Vectors, glam, glam_paper
from glam_train.presets import PRESETS


@pytest.fixture
def vectors() -> Vectors:
    generator = torch.Generator().manual_seed(2)

    def unit(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn, dim=-1)

    image_cc, image_mlo, text = (unit(4, 8) for _ in range(3))
    return Vectors(image_cc, image_mlo, text, image_cc, image_mlo, *(unit(4, 9, 8) for _ in range(4)))


SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


def test_ours_is_eq_2_plus_eq_4_with_temperatures_of_their_own(vectors):
    image_cc, image_mlo, text, *_ = vectors
    whole = global_loss(image_cc, image_mlo, text, view_scale=14.0, text_scale=10.0)
    expected = whole + 0.5 * local_loss(*vectors[5:], 12.0)
    assert float(glam(vectors, SCALES, 0.5)["total"]) == pytest.approx(float(expected), rel=1e-12)


def test_the_printed_one_has_one_temperature_and_no_positive_in_the_local_denominator(vectors):
    image_cc, image_mlo, text, *_ = vectors
    whole = global_loss(image_cc, image_mlo, text, view_scale=10.0, text_scale=10.0)
    expected = whole + local_loss(*vectors[5:], 10.0, without_positive)
    assert float(glam_paper(vectors, SCALES, 1.0)["total"]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_weighs_its_local_term(name, vectors):
    one, three = (OBJECTIVES[name](vectors, SCALES, weight) for weight in (1.0, 3.0))
    assert float(three["total"] - one["total"]) == pytest.approx(2 * float(one["local"]), rel=1e-9)


def test_every_preset_names_an_objective_and_is_json():
    from dataclasses import asdict

    from glam_train.presets import pretrain_config_from_json

    for preset in PRESETS.values():
        config = preset()
        assert config.objective in OBJECTIVES
        assert pretrain_config_from_json(json.loads(json.dumps(asdict(config)))) == config


def test_a_preset_refuses_an_update_without_negatives():
    from dataclasses import replace

    with pytest.raises(ValueError, match="no negatives"):
        replace(PRESETS["tiny"](), batch_size=1, accumulate=1)


def test_the_released_objective_reaches_the_golden_total():
    """The pieces are held to the golden vectors in test_official; here, that the preset adds up the same ones."""
    golden = Path(__file__).parents[1] / "golden"
    paper = json.loads((golden / "paper_variant.json").read_text())["glam_tiny_252"]
    found = released_terms(golden)
    assert float(found["total"]) == pytest.approx(paper["official_total"], rel=1e-5)


def released_terms(golden: Path):
    import numpy as np

    from glam_train.objectives import scales_of, vectors_of
    from glam_train.official import import_official

    arrays = np.load(golden / "golden.npz")
    model = import_official(
        golden / "official.ckpt", tokenizer=golden / "vocab.txt", vision_heads=6, text_heads=4
    ).model.eval()
    views = [torch.from_numpy(arrays[name][:, None] / np.float32(255)) for name in ("imgs_u8", "ext_imgs_u8")]
    with torch.no_grad():
        output = model(*views, torch.from_numpy(arrays["caption_ids"]), torch.from_numpy(arrays["attention_mask"]))
    return OBJECTIVES["glam_official"](vectors_of(output), scales_of(output), 1.0)
