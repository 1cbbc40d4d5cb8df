"""A border along a side of a picture, and where in the image it ends to a stored pixel."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import shrink_factor

SIDES = ("top", "bottom", "left", "right")
SOFT_EDGE = 0.25
"""Share of the steepest change below which rows lie behind the edge."""


class Border(NamedTuple):
    """An even border along one side of a picture."""

    side: str
    """One of SIDES."""
    depth: int
    """Rows or columns that it takes; 0: there is none."""
    bright: bool
    """Whether it is brighter than what lies beside it."""
    seen: tuple[float, float] = (0.25, 0.75)
    """Part of its lines in which its edge is measured, as shares."""
    inclined: bool = False
    """Whether its edge runs through so many lines that it is measured in all of them."""


def from_each_side(picture: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the (rows, cols) picture's lines from the top, bottom, left and right inward, in the order of SIDES."""
    return picture, picture[::-1], picture.T, picture.T[::-1]


def to_a_pixel(border: Border, image: NDArray[Any]) -> Border:
    """Return the border of an image that was seen in its small picture: to the end of the steepest change of its lines.

    A scanner blurs that change over a few pixels; an inclined edge spreads it over many.
    """
    factor = shrink_factor(image.shape)
    lines = from_each_side(image)[SIDES.index(border.side)]
    first, last = max((border.depth - 10) * factor, 0), (border.depth + (4 if border.inclined else 2)) * factor
    start, stop = (round(share * lines.shape[1]) for share in ((0.0, 1.0) if border.inclined else border.seen))
    slab = lines[first:last, start:stop:factor].astype(np.float32)
    change = np.abs(np.diff(slab, axis=0)).mean(axis=1)
    steepest = int(np.argmax(change))
    if border.inclined:
        return border._replace(depth=first + int(np.flatnonzero(change >= SOFT_EDGE * change[steepest])[-1]) + 1)
    behind = np.flatnonzero(change[steepest:] < SOFT_EDGE * change[steepest])
    return border._replace(depth=first + steepest + (int(behind[0]) if len(behind) else 1))
