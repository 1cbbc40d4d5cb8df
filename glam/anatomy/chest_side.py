"""At which border of the picture the chest wall lies, by the breast's mask alone: numpy in, numpy out."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import Mask

TILTS = np.arange(-15, 16) * 0.0175
"""Inclinations of a straight end of the breast, in columns a row: up to 15 degrees."""
HOLLOWS = (0.0, 0.03, 0.06, 0.1, 0.15)
"""How deep a cut end is hollow, as shares of the breast's height: 0 is straight."""
END_ROWS = 128
"""Rows, evenly spread, whose ends are compared: so many to twice as many, or all of a breast that has fewer."""
END_WIDTH = 0.04
"""Columns within which rows end alike, as a share of the breast's; at least three."""
CLEARLY_STRAIGHTER = 1.2
"""Ratio of the rows that end alike from which one end of the breast is straighter than the other."""


def chest_wall_side(mask: Mask) -> tuple[Literal["left", "right"], float]:
    """Return the border, left or right, that the breast lies against, and how sure the pixels are (0..1)."""
    cols = np.flatnonzero(mask.any(axis=0))
    depth = max(1, round(0.03 * mask.shape[1]))
    left = float(mask[:, cols[0] : cols[0] + depth].mean())
    right = float(mask[:, cols[-1] + 1 - depth : cols[-1] + 1].mean())
    return "left" if left >= right else "right", abs(left - right) / max(left, right)


def straight_side(mask: Mask) -> Literal["left", "right"] | None:
    """Return the end of the breast, left or right, where clearly more of its rows end along one line; None: neither.

    That line may be inclined, hollow, and lie away from the border: the breast ends so at the chest wall, also where a
    band, a wedge or a paddle's edge before it is black, and not at its skin, which is never hollow.
    """
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    width, height = max(3, round(END_WIDTH * len(cols))), int(np.ptp(rows)) + 1
    rows = rows[:: max(1, len(rows) // END_ROWS)]
    hollow = height - 4 * (rows - rows[0] - (height - 1) / 2) ** 2 / height  # a parabola, 0 at both ends
    lines = (np.outer(HOLLOWS, hollow)[:, None] + np.outer(TILTS, rows)).reshape(-1, len(rows))
    left, right = (
        _most_along(lines, ends, width) for ends in (np.argmax(mask[rows], axis=1), np.argmax(mask[rows, ::-1], axis=1))
    )
    if max(left, right) < CLEARLY_STRAIGHTER * min(left, right):
        return None
    return "left" if left > right else "right"


def _most_along(lines: NDArray[np.float64], ends: NDArray[np.intp], width: int) -> int:
    """Return the most of the (row,) ends that lie within so many columns along one of the (line, row) lines."""
    places = np.rint(ends - lines).astype(np.int32)
    places -= places.min(axis=1, keepdims=True)
    span = int(places.max()) + width  # so many columns a line that no window reaches from one into the next
    columns = places + span * np.arange(len(lines))[:, None]
    before = np.cumsum(np.bincount(columns.ravel() + 1, minlength=len(lines) * span + 1))
    return int((before[width:] - before[:-width]).max())
