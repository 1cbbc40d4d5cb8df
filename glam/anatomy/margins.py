"""Margins that a program drew around an image: lines of one grey value, to a stored pixel, whatever that value is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glam.anatomy.border import SIDES, Border, from_each_side

SPARSE = (16, 64)
"""Every so many lines, and places of a line, are looked at first."""
SHALLOWEST, DEEPEST = 0.005, 0.4
"""Least and largest share of the image that a margin takes."""
MOST_ALIKE = 0.5
"""Largest share of the first line behind a margin that has its grey value. A line of air before the foremost part of a
breast has it nearly everywhere: black air is no margin, and black around black air cannot be told from it."""


def drawn_margins(image: NDArray[Any]) -> Iterator[Border]:
    """Yield the margins of a (rows, cols) image of any grey scale, at most one along each side."""
    for side, lines in zip(SIDES, from_each_side(image), strict=True):
        depth = _depth(lines)
        if depth:
            yield Border(side, depth, bright=bool(lines[0, 0] > np.median(lines[depth])))


def _depth(lines: NDArray[Any]) -> int:
    """Return how many of the first (line, place) lines are of one grey value, and end at an edge; 0: it is none."""
    value, deepest = lines[0, 0], int(DEEPEST * len(lines))
    is_value = (lines[: deepest + 1 : SPARSE[0], :: SPARSE[1]] == value).all(axis=1)
    if not is_value[0]:
        return 0  # as of most images with tissue or noise at a side
    first = max(int(np.argmin(is_value)) - 1, 0) * SPARSE[0]
    is_value = (lines[first : first + SPARSE[0] + 1] == value).all(axis=1)
    depth = first + int(np.argmin(is_value))
    if is_value.all() or not max(2, int(SHALLOWEST * len(lines))) <= depth <= deepest:
        return 0
    return depth if (lines[depth] == value).mean() <= MOST_ALIKE and (lines[:depth] == value).all() else 0
