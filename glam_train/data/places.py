"""Places that both views of a breast show: out of cache records, as arrays for a batch, and told in words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from glam.frame import frame_from_json
from glam_train.config import PretrainConfig

Record = dict[str, Any]
FINDING, TISSUE = 1, 2
PLACE_KINDS = {"lesion": FINDING, "tissue": TISSUE}
"""Kind of points in a record -> its number in a batch; 0 is no place."""
TISSUE_POINTS = 12
"""Tissue points of a pair that an update takes, drawn anew each time."""


class Places(NamedTuple):
    """Known places of some pairs, the same number for each."""

    points: np.ndarray  # (pair, place, view, 2) float32: x and y in the prepared square, 0..1 across it; view 0 is CC
    kinds: np.ndarray  # (pair, place) int64: a number of PLACE_KINDS, 0 where a pair has fewer places than others


def wanted_kinds(config: PretrainConfig) -> tuple[str, ...]:
    """Return which kinds of points the settings make use of."""
    if not config.correspondence_weight:
        return ()
    return ("lesion", "tissue") if config.tissue_weight else ("lesion",)


def known_places(records: Sequence[Record], kinds: Sequence[str], rng: np.random.Generator) -> Places:
    """Return all findings and some tissue points of the pairs; a record without points has none."""
    found = [[(kind, *_points(record, kind, rng)) for kind in kinds] for record in records]
    count = max((sum(len(cc) for _, cc, _ in groups) for groups in found), default=0)
    places = Places(np.zeros((len(records), count, 2, 2), np.float32), np.zeros((len(records), count), np.int64))
    for pair, groups in enumerate(found):
        start = 0
        for kind, cc, mlo in groups:
            end = start + len(cc)
            places.points[pair, start:end] = np.stack([cc, mlo], axis=1)
            places.kinds[pair, start:end] = PLACE_KINDS[kind]
            start = end
    return places


def _points(record: Record, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same places in CC and in MLO, 0..1 across the square: (place, 2) each."""
    stored = record.get("points", {}).get(kind, {"cc": [], "mlo": []})
    count = len(stored["cc"])
    chosen = rng.permutation(count)[:TISSUE_POINTS] if kind == "tissue" else np.arange(count)
    shares = []
    for view in ("cc", "mlo"):
        frame = frame_from_json(record["frames"][view])
        points = np.array(stored[view], np.float64).reshape(-1, 2)[chosen]
        shares.append(frame.to_square(points) / frame.size)
    return shares[0], shares[1]


def count_places(records: Sequence[Record]) -> dict[str, int]:
    """Return how many places of each kind the records hold; a kind without any is left out."""
    counts = {kind: sum(len(r.get("points", {}).get(kind, {}).get("cc", ())) for r in records) for kind in PLACE_KINDS}
    return {kind: count for kind, count in counts.items() if count}


def told_places(config: PretrainConfig, counts: dict[str, int]) -> Record:
    """Return, for the provenance, which places a run was told, in numbers and in plain words."""
    kinds = wanted_kinds(config)
    return {
        "correspondence_weight": config.correspondence_weight,
        "tissue_weight": config.tissue_weight,
        "flip_rows": config.flip_rows,
        "places": {kind: counts.get(kind, 0) for kind in kinds},
        "told": " ".join([_told(config, counts), _turned(config)]),
    }


def _told(config: PretrainConfig, counts: dict[str, int]) -> str:
    told = [
        (f"{counts[kind]} {name}", weight)
        for kind, name, weight in (
            ("lesion", "findings", config.correspondence_weight),
            ("tissue", "tissue points", config.correspondence_weight * config.tissue_weight),
        )
        if counts.get(kind) and weight
    ]
    if not told:
        return "The model was told no place: where its maps look it learned from the contrast of the views alone."
    places = " and ".join(f"of {what} (weight {weight:g})" for what, weight in told)
    return (
        f"The model was told known places: where both views show each {places} of the pairs it was trained on. "
        "It was told of no other breast."
    )


def _turned(config: PretrainConfig) -> str:
    if not config.flip_rows:
        return "The rows of no view were turned over."
    return f"The rows of each view were turned over with a chance of {config.flip_rows:g}, each view on its own."
