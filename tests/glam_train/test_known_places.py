"""The correspondence of known places beside an objective, and its words in the provenance."""

from dataclasses import replace

import pytest
import torch

from glam_train.methods.glam_settings import GlamSettings
from glam_train.methods.known_places import PlaceMaps, place_kinds, told_places, with_known_places
from glam_train.methods.losses import correspondence_loss
from glam_train.presets.glam import tiny_preset

BEFORE = {"local": torch.tensor(1.5, dtype=torch.float64), "total": torch.tensor(4.0, dtype=torch.float64)}


@pytest.fixture
def known(vectors) -> PlaceMaps:
    """Four pairs of two places: a finding and a tissue point, the last pair without any."""
    rows = torch.randint(0, 3, (2, 4, 2), generator=torch.Generator().manual_seed(1))
    kinds = torch.tensor([[1, 2], [1, 2], [1, 2], [0, 0]])
    return PlaceMaps(vectors.maps_cc, vectors.maps_mlo, *rows, kinds)


def test_findings_and_tissue_are_averaged_apart_and_added_to_any_objective(known):
    config = replace(tiny_preset(), correspondence_weight=2.0, tissue_weight=0.25)
    found = with_known_places(BEFORE, known, config)
    expected = [
        correspondence_loss(known.cc, known.mlo, known.rows_cc, known.rows_mlo, (known.kinds == kind).double())
        for kind in (1, 2)
    ]
    torch.testing.assert_close(found["correspondence"], expected[0])
    torch.testing.assert_close(found["correspondence_tissue"], expected[1])
    torch.testing.assert_close(found["total"], BEFORE["total"] + 2 * (expected[0] + 0.25 * expected[1]))
    assert float(found["known_findings"]) == 3


def test_without_a_weight_the_terms_are_left_as_they_are(known):
    assert with_known_places(BEFORE, known, replace(tiny_preset(), correspondence_weight=0.0)) is BEFORE


@pytest.mark.parametrize(
    ("correspondence_weight", "tissue_weight", "kinds"),
    [(0.0, 0.5, ()), (1.0, 0.0, ("lesion",)), (1.0, 0.5, ("lesion", "tissue"))],
)
def test_the_kinds_of_places_are_those_with_a_weight(correspondence_weight, tissue_weight, kinds):
    config = replace(tiny_preset(), correspondence_weight=correspondence_weight, tissue_weight=tissue_weight)
    assert place_kinds(config) == kinds


def test_what_was_told_is_said_in_plain_words(toy_config):
    counts = {"lesion": 9, "tissue": 4000}
    both = told_places(replace(toy_config, correspondence_weight=1.0, tissue_weight=0.3, flip_rows=0.5), counts)
    assert both == {
        "correspondence_weight": 1.0,
        "tissue_weight": 0.3,
        "flip_rows": 0.5,
        "places": {"lesion": 9, "tissue": 4000},
        "told": "The model was told known places: where both views show each of 9 findings (weight 1) and of 4000 "
        "tissue points (weight 0.3) of the pairs it was trained on. It was told of no other breast. The rows of each "
        "view were turned over with a chance of 0.5, each view on its own.",
    }
    nothing = told_places(replace(toy_config, correspondence_weight=0.0), counts)
    assert nothing["places"] == {}
    assert nothing["told"] == (
        "The model was told no place: where its maps look it learned from the contrast of the views alone. "
        "The rows of no view were turned over."
    )


@pytest.mark.parametrize("changes", [{"local_weight": 0.0}, {"method": GlamSettings(local="none")}])
def test_maps_that_no_loss_reached_are_said_not_to_be_trained(toy_config, changes):
    config = replace(toy_config, correspondence_weight=0.0, **changes)
    assert "no loss reached its maps: where they look was not trained" in told_places(config, {"lesion": 9})["told"]
    told = told_places(replace(config, correspondence_weight=1.0), {"lesion": 9})["told"]
    assert told.startswith("The model was told known places")
