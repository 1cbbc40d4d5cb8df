"""The correspondence of known places, added to any objective, and its words in the provenance (docs/train.md).

It is not in the papers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from glam_train.config import PretrainConfig
from glam_train.data.places import FINDING, TISSUE
from glam_train.methods.losses import correspondence_loss
from glam_train.methods.method import Terms


def place_kinds(config: PretrainConfig) -> tuple[str, ...]:
    """Return the kinds of places that the settings give a weight."""
    if not config.correspondence_weight:
        return ()
    return ("lesion", "tissue") if config.tissue_weight else ("lesion",)


class PlaceMaps(NamedTuple):
    """Maps of known places, the rows where both views show them, and of which kind they are."""

    cc: Tensor  # (batch, place, row): what the places of CC light in MLO
    mlo: Tensor  # (batch, place, row)
    rows_cc: Tensor  # (batch, place)
    rows_mlo: Tensor  # (batch, place)
    kinds: Tensor  # (batch, place): a number of PLACE_KINDS; 0 for a place that is not seen in both views


def with_known_places(terms: Terms, maps: PlaceMaps, config: PretrainConfig) -> Terms:
    """Add the correspondence of known places to the terms of any objective, where it has a weight.

    Findings and tissue are averaged apart, so that a weight means the same however many points of a kind there are.
    """
    if not config.correspondence_weight:
        return terms

    def correspondence(kind: int) -> Tensor:
        weights = (maps.kinds == kind).to(maps.cc.dtype)
        return correspondence_loss(maps.cc, maps.mlo, maps.rows_cc, maps.rows_mlo, weights)

    findings = correspondence(FINDING)
    added = {"correspondence": findings, "known_findings": (maps.kinds == FINDING).sum().float()}
    total = findings
    if config.tissue_weight:
        added["correspondence_tissue"] = correspondence(TISSUE)
        total = total + config.tissue_weight * added["correspondence_tissue"]
    return terms | added | {"total": terms["total"] + config.correspondence_weight * total}


def told_places(config: PretrainConfig, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return, for the provenance, the known places that a run was trained with, in numbers and in plain words.

    counts: kind -> places of the run's data (`glam_train.data.places.count_places`).
    """
    sentences = [_told_sentence(config, counts), _flip_sentence(config)]
    return {
        "correspondence_weight": config.correspondence_weight,
        "tissue_weight": config.tissue_weight,
        "flip_rows": config.flip_rows,
        "places": {kind: counts.get(kind, 0) for kind in place_kinds(config)},
        "told": " ".join(sentences),
    }


def _told_sentence(config: PretrainConfig, counts: Mapping[str, int]) -> str:
    if config.model.alignment is None:
        return "The model does not compare its views: it has no maps."
    weights = {
        "lesion": ("findings", config.correspondence_weight),
        "tissue": ("tissue points", config.correspondence_weight * config.tissue_weight),
    }
    places = [
        f"of {counts[kind]} {name} (weight {weight:g})"
        for kind, (name, weight) in weights.items()
        if counts.get(kind) and weight
    ]
    if not places and not _maps_are_contrasted(config):
        return "The model was told no place, and no loss reached its maps: where they look was not trained."
    if not places:
        return "The model was told no place: where its maps look it learned from the contrast of the views alone."
    return (
        f"The model was told known places: where both views show each {' and '.join(places)} of the pairs it was "
        "trained on. It was told of no other breast."
    )


def _maps_are_contrasted(config: PretrainConfig) -> bool:
    """Whether a local loss reads what the maps gave the regions."""
    return bool(config.local_weight) and getattr(config.method, "local", "eq4") != "none"


def _flip_sentence(config: PretrainConfig) -> str:
    if not config.flip_rows:
        return "The rows of no view were turned over."
    return f"The rows of each view were turned over with a chance of {config.flip_rows:g}, each view on its own."
