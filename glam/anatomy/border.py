"""A border along a side of a picture, and where in the image it ends to a stored pixel."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import shrink_factor

SIDES = ("top", "bottom", "left", "right")
SOFT_EDGE = 0.25
"""Share of the steepest change below which rows lie behind the edge."""
DEEP = 0.03
"""Share of all lines from which the edge of a border is followed along a line that may be inclined."""
PARTS = 64
"""Number of parts of its lines in which that edge is looked for."""
INCLINATIONS = np.arange(-28, 29) * 0.0025
"""Inclinations of an edge, in lines a line: up to 4 degrees."""
LEAST_INCLINATION, LEAST_PARTS, MOST_STRAIGHT = 0.012, 0.5, 0.9
"""An edge is inclined from so many lines a line on, where so many parts change along it, and hardly as many along any
straighter one."""

DEEPEST_CUT = 0.5
"""Largest share of all lines that is cut to its far end: an edge along a strip of a picture may run out of it."""


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
    exact: bool = True
    """Whether it ends at a stored pixel: one with an inclined edge does not, and one with a blurred edge may not."""


def from_each_side(picture: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the (rows, cols) picture's lines from the top, bottom, left and right inward, in the order of SIDES."""
    return picture, picture[::-1], picture.T, picture.T[::-1]


def to_a_pixel(border: Border, image: NDArray[Any]) -> Border:
    """Return the border of an image that was seen in its small picture: to a stored pixel.

    An inclined edge is followed, and cut at its far end. Another ends with the steepest change of its lines, which a
    scanner blurs over a few pixels.
    """
    factor = shrink_factor(image.shape)
    lines = from_each_side(image)[SIDES.index(border.side)]
    depth = _inclined_depth(lines, border.depth, factor)
    if depth is not None:
        return border._replace(depth=depth, exact=False)
    first, last = max((border.depth - 10) * factor, 0), (border.depth + 2) * factor
    start, stop = (round(share * lines.shape[1]) for share in border.seen)
    slab = lines[first:last, start:stop:factor].astype(np.float32)
    change = np.abs(np.diff(slab, axis=0)).mean(axis=1)
    steepest = int(np.argmax(change))
    behind = np.flatnonzero(change[steepest:] < SOFT_EDGE * change[steepest])
    depth = first + steepest + (int(behind[0]) if len(behind) else 1)
    return border._replace(depth=depth, exact=border.exact and depth < DEEP * len(lines))


def _inclined_depth(lines: NDArray[Any], depth: int, factor: int) -> int | None:
    """Return how many of the (line, place) lines of an image touch a border with an inclined edge; None: it has none.

    `depth` is about that number, in pixels of the small picture. The edge is the straight line along which most parts
    change. Where the border is as bright as what lies beside it, as white is beside a muscle, it goes on along it.
    """
    width = lines.shape[1] / factor
    if depth * factor < DEEP * len(lines):
        return None
    slab = lines[: (depth + round(INCLINATIONS[-1] * width)) * factor]
    parts = cv2.resize(slab.astype(np.float32), (PARTS, len(slab) // factor), interpolation=cv2.INTER_AREA)
    step = np.abs(parts[:-2] - parts[2:])  # (line, part)
    most = float(np.median(step.max(axis=0)))
    along = (np.arange(PARTS) + 0.5) / PARTS - 0.5
    shifts = np.rint(np.outer(INCLINATIONS * width, along)).astype(np.intp)
    places = np.arange(len(step))[:, None, None] + shifts  # (line, inclination, part)
    inside = (places >= 0) & (places < len(step))
    steps = np.where(inside, step[np.clip(places, 0, len(step) - 1), np.arange(PARTS)], 0)
    shares = np.minimum(steps / max(most, 1e-6), 1).mean(axis=2)  # (line, inclination)
    line, which = np.unravel_index(np.argmax(shares), shares.shape)
    inclination = abs(float(INCLINATIONS[which]))
    straight = shares[:, np.abs(INCLINATIONS) < LEAST_INCLINATION].max()
    if shares[line, which] < LEAST_PARTS or straight > MOST_STRAIGHT * shares[line, which]:
        return None
    far_end = math.ceil((int(line) + 3 + inclination * width / 2) * factor)
    return far_end if far_end <= DEEPEST_CUT * len(lines) else None
