import json
from pathlib import Path

import pytest
import torch

from glam.model.glam import Scales
from glam_train.data.batches import Batch
from glam_train.methods import OBJECTIVES, PRESETS
from glam_train.methods.glam import glam_objective, glam_paper_objective, tiny_preset
from glam_train.methods.known_places import with_known_places
from glam_train.methods.losses import correspondence_loss, global_loss, local_loss, without_positive
from glam_train.methods.vectors import Vectors


@pytest.fixture
def vectors() -> Vectors:
    generator = torch.Generator().manual_seed(2)

    def unit(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn, dim=-1)

    image_cc, image_mlo, text = (unit(4, 8) for _ in range(3))
    local, maps = [unit(4, 9, 8) for _ in range(4)], [unit(4, 2, 3).square() for _ in range(2)]
    return Vectors(image_cc, image_mlo, text, image_cc, image_mlo, *local, *maps)


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


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_weighs_its_local_term(name, vectors):
    one, three = (OBJECTIVES[name](vectors, SCALES, weight) for weight in (1.0, 3.0))
    assert float(three["total"] - one["total"]) == pytest.approx(2 * float(one["local"]), rel=1e-9)


def told(points: torch.Tensor, kinds: torch.Tensor) -> Batch:
    return Batch(*(torch.empty(0) for _ in range(4)), points, kinds)


@pytest.fixture
def known() -> Batch:
    """Four pairs of two places: a finding and a tissue point, the last pair without any."""
    points = torch.rand(4, 2, 2, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.1, 1.0]) + 0.0
    return told(points, torch.tensor([[1, 2], [1, 2], [1, 2], [0, 0]]))


def test_findings_and_tissue_are_averaged_apart_and_added_to_any_objective(vectors, known):
    from dataclasses import replace

    config = replace(tiny_preset(), correspondence_weight=2.0, tissue_weight=0.25)
    config = replace(config, model=replace(config.model, alignment=replace(config.model.alignment, side=3)))
    before = glam_objective(vectors, SCALES, 1.0)
    found = with_known_places(before, vectors, known, config)
    rows = (known.points[..., 1] * 3).long()  # (batch, place, view)
    expected = [
        correspondence_loss(
            vectors.maps_cc, vectors.maps_mlo, rows[..., 0], rows[..., 1], (known.place_kinds == kind).double()
        )
        for kind in (1, 2)
    ]
    torch.testing.assert_close(found["correspondence"], expected[0])
    torch.testing.assert_close(found["correspondence_tissue"], expected[1])
    torch.testing.assert_close(found["total"], before["total"] + 2 * (expected[0] + 0.25 * expected[1]))
    assert float(found["known_findings"]) == 3


def test_without_a_weight_the_terms_are_left_as_they_are(vectors, known):
    from dataclasses import replace

    before = glam_objective(vectors, SCALES, 1.0)
    assert with_known_places(before, vectors, known, replace(tiny_preset(), correspondence_weight=0.0)) is before


def test_places_are_told_in_our_presets_alone():
    told_weights = {name: preset().correspondence_weight for name, preset in PRESETS.items()}
    assert told_weights == {"tiny": 1.0, "glam": 1.0, "glam-paper": 0.0, "glam-official": 0.0}
    assert {preset().flip_rows for preset in PRESETS.values()} == {0.0}
    assert {preset().tissue_weight for preset in PRESETS.values()} == {0.0}


@pytest.mark.parametrize(
    ("name", "value"), [("correspondence_weight", -1.0), ("tissue_weight", float("nan")), ("flip_rows", 1.5)]
)
def test_a_weight_or_a_chance_that_is_none_is_refused(name, value):
    from dataclasses import replace

    with pytest.raises(ValueError, match=f"{name} .* is no (weight|chance)"):
        replace(tiny_preset(), **{name: value})


def test_every_preset_names_an_objective_and_is_json():
    from dataclasses import asdict

    from glam_train.config import pretrain_config_from_json

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
    return OBJECTIVES["glam_official"](vectors_of(output, no_points), scales_of(output), 1.0)
