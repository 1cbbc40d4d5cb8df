"""The nipple, and the direction that the breast around it points to: numpy in, numpy out, each with a confidence.

Masks and points are those of `glam.anatomy.breast`, the chest wall at x = 0.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import Axis, Line, Mask, Points, chest_wall, furthest

SECTOR_DEG = 50.0
"""The nipple is looked for within this angle of the furthest point of the breast, as seen from the chest wall."""
STEP_DEG = 1.5
SKIN_STEPS = 17
"""The skin without a nipple is the running median of the outline's radius over so many steps: wider than a nipple."""
SKIN_ORDER = 8
"""The breast's own shape is a polynomial of this degree over the angle."""
USUAL_DEG = 30.0
"""Spread of the nipple around the furthest point."""
MIN_HEIGHT = 0.012
"""A nipple stands out of the skin by at least this share of the chest-nipple length; less is the skin's own shape."""
CLEAR_HEIGHT = 0.04
"""One that stands out so far is certain."""
BUMP_SHARE = 0.5
"""What stands out by this share of the highest bin beside it belongs to the same nipple."""
BORDER = 0.03
"""No nipple is so near the upper or lower border, as a share of the picture's height: there the skin is cut."""
CHORD = 0.27
"""How far from the nipple the skin tells where the breast points to, as a share of the chest-nipple length."""


class Nipple(NamedTuple):
    """Where the nipple is; without one in profile the point of the skin that is furthest from the chest wall."""

    x: float
    y: float
    confidence: float
    """0..1; 0: none stands out of the skin."""


def contour(mask: Mask) -> Points:
    """Return the (n, 2) centres of the pixels along the mask's outer contour, all around."""
    pieces, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([np.asarray(piece)[:, 0] for piece in pieces]) if pieces else np.empty((0, 2))
    return np.asarray(points, np.float64) + 0.5


def skin_line(mask: Mask) -> Points:
    """Return the points of the contour that do not lie on the picture's border."""
    points = contour(mask)
    rows, cols = mask.shape
    return points[(points > 2).all(axis=1) & (points < (cols - 2, rows - 2)).all(axis=1)]


def find_nipple(mask: Mask, angle_deg: float) -> Nipple:
    """Return what stands out of the skin in front; `angle_deg` is where nipples usually point, below the rows."""
    skin = skin_line(mask)
    if not len(skin):
        return Nipple(float(mask.shape[1]) / 2, float(mask.shape[0]) / 2, 0.0)
    direction = Line(angle_deg, 0.0, 0.0)
    tip = np.array(furthest(skin, direction))
    length = max((tip[0] - chest_wall(mask).offset) / direction.normal[0], 1.0)
    centre = tip - length * direction.normal
    radius = np.hypot(*(skin - centre).T)
    angle = np.rad2deg(np.arctan2((skin - centre) @ direction.tangent, (skin - centre) @ direction.normal))
    heights = _heights(angle, radius) / length  # (bin,) of SECTOR_DEG to both sides
    bins_deg = np.arange(len(heights)) * STEP_DEG - SECTOR_DEG
    best = int(np.argmax(heights * np.exp(-0.5 * (bins_deg / USUAL_DEG) ** 2)))
    height, nipple_deg = float(heights[best]), _middle_of_bump(bins_deg, heights, best)
    outline = skin[np.abs(angle - nipple_deg) <= STEP_DEG]
    border = BORDER * len(mask)
    outline = outline[(outline[:, 1] > border) & (outline[:, 1] < len(mask) - border)]
    if height < MIN_HEIGHT or not len(outline):
        return Nipple(float(tip[0]), float(tip[1]), 0.0)
    x, y = furthest(outline - centre, Line(angle_deg + nipple_deg, 0.0, 0.0)) + centre
    return Nipple(float(x), float(y), min(height / CLEAR_HEIGHT, 1.0))


def nipple_axis(mask: Mask, nipple: Nipple, length: float) -> float | None:
    """Return the angle below the rows that the skin on both sides of the nipple points to.

    It is the direction from the middle between the two places of the skin at CHORD lengths from the nipple, one on
    either side, to the nipple. None where the picture ends before.
    """
    skin = skin_line(mask) - (nipple.x, nipple.y)
    ring = skin[np.abs(np.hypot(*skin.T) - CHORD * length) < 1.5]
    above, below = ring[ring[:, 1] < 0], ring[ring[:, 1] >= 0]
    if not (len(above) and len(below)):
        return None
    x, y = -(above.mean(axis=0) + below.mean(axis=0)) / 2
    return float(np.rad2deg(np.arctan2(y, x)))


def chest_nipple_axis(nipple: Nipple, line: Line) -> Axis:
    """Return the axis from the line to the nipple, perpendicular to the line."""
    tip = np.array([nipple.x, nipple.y])
    length = float(tip @ line.normal) - line.offset
    x, y = tip - length * line.normal
    return Axis((float(x), float(y)), (nipple.x, nipple.y), length)


def _middle_of_bump(bins_deg: NDArray[Any], heights: NDArray[np.float64], best: int) -> float:
    """Return the angle in the middle of what stands out around the best bin, weighted by how far it does.

    The highest bin itself moves from one end of a wide nipple to the other with the phase of the pixels.
    """
    beside = np.flatnonzero(heights < BUMP_SHARE * heights[best])
    first = int(beside[beside < best].max(initial=-1)) + 1
    end = int(beside[beside > best].min(initial=len(heights)))
    weights = np.maximum(heights[first:end], 1e-9)
    return float(np.average(bins_deg[first:end], weights=weights))


def _heights(angle: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the outline stands out of the skin, in bins of STEP_DEG over the sector."""
    margin = SKIN_STEPS // 2
    first_deg = -SECTOR_DEG - (margin + 0.5) * STEP_DEG
    num_bins = round(2 * SECTOR_DEG / STEP_DEG) + 1 + 2 * margin
    index = np.floor((angle - first_deg) / STEP_DEG).astype(np.intp)
    in_sector = (index >= 0) & (index < num_bins)
    outline = np.zeros(num_bins)  # largest radius of each bin
    np.maximum.at(outline, index[in_sector], radius[in_sector])
    filled = np.flatnonzero(outline)
    if not len(filled):
        return np.zeros(num_bins - 2 * margin)
    outline = np.interp(np.arange(num_bins), filled, outline[filled])
    position = np.linspace(-1, 1, num_bins)
    outline -= np.polynomial.Polynomial.fit(position, outline, SKIN_ORDER)(position)
    windows = np.lib.stride_tricks.sliding_window_view(outline, SKIN_STEPS)
    return outline[margin:-margin] - np.median(windows, axis=1)
