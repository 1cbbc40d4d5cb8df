"""Known places, those that both views of a breast show: read from cache records into arrays for a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from glam.frame import frame_from_json

FINDING, TISSUE = 1, 2
PLACE_KINDS = {"lesion": FINDING, "tissue": TISSUE}
"""Kind of points in a record -> its number in a batch; 0 is padding."""
TISSUE_POINTS = 12
"""Tissue points of a pair that an update takes, drawn anew each time."""


class Places(NamedTuple):
    """Known places of some pairs, the same number for each."""

    points: np.ndarray  # (pair, place, view, 2) float32: x and y in the prepared square, 0..1 across it; view 0 is CC
    kinds: np.ndarray  # (pair, place) int64: a number of PLACE_KINDS, 0 where a pair has fewer places than others


def known_places(
    records: Sequence[dict[str, Any]], kinds: Sequence[str], rngs: Sequence[np.random.Generator]
) -> Places:
    """Return all findings and some tissue points of the pairs, each drawn by its own generator.

    A record without points has none.
    """
    groups_of_pairs = [
        [(kind, *_points(record, kind, rng)) for kind in kinds] for record, rng in zip(records, rngs, strict=True)
    ]
    count = max((sum(len(cc) for _, cc, _ in groups) for groups in groups_of_pairs), default=0)
    places = Places(np.zeros((len(records), count, 2, 2), np.float32), np.zeros((len(records), count), np.int64))
    for pair, groups in enumerate(groups_of_pairs):
        start = 0
        for kind, cc, mlo in groups:
            end = start + len(cc)
            places.points[pair, start:end] = np.stack([cc, mlo], axis=1)
            places.kinds[pair, start:end] = PLACE_KINDS[kind]
            start = end
    return places


def _points(record: dict[str, Any], kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the same places in CC and in MLO, 0..1 across the square: (place, 2) each."""
    stored = record.get("points", {}).get(kind, {"cc": [], "mlo": []})
    count = len(stored["cc"])
    chosen = rng.permutation(count)[:TISSUE_POINTS] if kind == "tissue" else np.arange(count)
    shares = []
    for view in ("cc", "mlo"):
        frame = frame_from_json(record["frames"][view])
        points = np.array(stored[view], np.float64).reshape(-1, 2)[chosen]
        shares.append(frame.to_square(points) / (frame.width, frame.height))
    return shares[0], shares[1]


def count_places(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return how many places of each kind the records hold; a kind without any is left out."""
    counts = {kind: sum(len(r.get("points", {}).get(kind, {}).get("cc", ())) for r in records) for kind in PLACE_KINDS}
    return {kind: count for kind, count in counts.items() if count}
