"""Prepared squares in, vectors and maps out: what needs the model, and nothing else of an answer.

The images of several breasts run through the vision tower together, and pairs are aligned after, where the model
compares its views; an answer is that of a breast alone, up to the rounding of the runtime's sums. Batches have few
sizes, for engines that are built by size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from glam.attention import Attention
from glam.runtime import AlignOut, Runtime, VisionOut
from glam.view import VIEW_KEYS, ViewKey

MAX_BATCH = 8
"""Images that run together; batches of 1, 2, 4 and 8 are formed."""

Squares = Mapping[ViewKey, np.ndarray]
"""The prepared views of a breast, (S, S) float32 in [0, 1] each."""


@dataclass(frozen=True, kw_only=True)
class BreastVectors:
    """What the model says of one breast."""

    embeddings: dict[ViewKey, np.ndarray]
    """(joint,) each, unit length."""
    attention: Attention | None
    """None for a lone view, and for a model without an alignment module."""


class _Place(NamedTuple):
    """Where an image comes from."""

    breast: int
    key: ViewKey


def run_breasts(runtime: Runtime, breasts: Sequence[Squares]) -> list[BreastVectors]:
    """Run the model on the views of several breasts, each of one view or two."""
    places = [_Place(index, key) for index, squares in enumerate(breasts) for key in VIEW_KEYS if key in squares]
    if not places:
        return []
    vision = run_images(runtime, np.stack([breasts[place.breast][place.key] for place in places]))
    rows = {place: row for row, place in enumerate(places)}
    pairs = [index for index, squares in enumerate(breasts) if all(key in squares for key in VIEW_KEYS)]
    attention: dict[int, Attention] = {}
    if pairs and runtime.compares_views:
        patches = {key: vision.patches[[rows[_Place(index, key)] for index in pairs]] for key in VIEW_KEYS}
        attention = dict(zip(pairs, align_pairs(runtime, patches["cc"], patches["mlo"]), strict=True))
    return [
        BreastVectors(
            embeddings={key: vision.embedding[rows[_Place(index, key)]] for key in VIEW_KEYS if key in squares},
            attention=attention.get(index),
        )
        for index, squares in enumerate(breasts)
    ]


def run_images(runtime: Runtime, images: np.ndarray) -> VisionOut:
    """Embed images (n, S, S), in batches of a few sizes."""
    parts = [runtime.vision(images[start:end, None]) for start, end in batches(len(images))]
    return VisionOut(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def align_pairs(runtime: Runtime, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> list[Attention]:
    """Return the attention of pairs of views, from their patches (n, patch, dim)."""
    parts = [runtime.align(patches_cc[start:end], patches_mlo[start:end]) for start, end in batches(len(patches_cc))]
    aligned = AlignOut(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return [
        Attention(
            cc_to_mlo=aligned.cc_to_mlo[pair],
            mlo_to_cc=aligned.mlo_to_cc[pair],
            pooling_cc=aligned.pooling_cc[pair],
            pooling_mlo=aligned.pooling_mlo[pair],
        )
        for pair in range(len(patches_cc))
    ]


def batches(count: int) -> list[tuple[int, int]]:
    """Return start and end of batches of 8, 4, 2 and 1 that cover `count` images: no padding, four sizes."""
    spans, start, size = [], 0, MAX_BATCH
    while start < count:
        while size > count - start:
            size //= 2
        spans.append((start, start + size))
        start += size
    return spans
