"""Evidence for a breast against noise, text and plain shapes: the grey values of body and air, and their edge."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_STRUCTURE = 0.5
"""Least share of a picture's variance that is left after averaging over squares of 8 pixels; fine noise has less."""
LEAST_SOLID = 0.8
"""Least share of its convex hull that a breast fills."""
MOST_OF_BOX = 0.95
"""Largest share of its upright box that a breast fills; a rectangle fills all of it."""
LEAST_CONTRAST = 0.1
"""Least contrast of breast and air, as a share of the picture's range."""
MOST_AIR_SPREAD = 0.3
"""Largest interquartile range of the air, as a share of the contrast."""
BRIGHT_AIR = 0.3
"""Share of the contrast above the air's median from which its pixels are bright, as labels and noise are."""
MOST_BRIGHT_AIR = 0.1
"""Largest share of the air that is bright."""
SECOND_BREAST = 0.5
"""Share of the breast's area from which a bright piece of the air is a body of its own."""
LEAST_RISE = 0.12
"""Least rise of the grey value from just outside to just inside the skin, as a share of the contrast."""
ROUND = 0.85
"""Least roundness of an even body that touches no side: 1 is a disc, 0.79 a square."""
LEAST_TEXTURE = 0.02
"""Least range of the grey values inside a body that touches no side, as a share of the contrast."""
SIDE = 256
"""About how many rows or columns the picture has; distances are in pixels of a picture of exactly this size."""
INSIDE, OUTSIDE, CORE = (4.0, 6.5), (1.0, 2.5), 2.0
"""Distances from the skin at which the rise is measured, and from which the texture is."""


class _Greys(NamedTuple):
    """Grey values of body and air, and the distance of each pixel from the skin."""

    contrast: float
    air: float
    inner_distance: NDArray[Any]
    outer_distance: NDArray[Any]


def is_breast(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> bool:
    """Return whether a body of a (rows, cols) picture in [0, 1], black air, looks like a breast."""
    step = max(1, round(max(scaled.shape) / SIDE))
    picture, mask = scaled[::step, ::step], body[::step, ::step]
    if not mask.any() or mask.all():
        return False
    if structure(scaled) < LEAST_STRUCTURE or not _has_shape_of_breast(mask):
        return False
    return _has_greys_of_breast(picture, mask)


def structure(scaled: NDArray[Any]) -> float:
    """Return the share of a picture's variance that is left after averaging over squares of 8 pixels."""
    rows, cols = (length // 8 for length in scaled.shape)
    part = scaled[: 8 * rows, : 8 * cols]
    means = cv2.resize(part, (cols, rows), interpolation=cv2.INTER_AREA)
    return float(np.var(means)) / max(float(np.var(part[::2, ::2])), 1e-12)


def _has_shape_of_breast(mask: NDArray[np.bool_]) -> bool:
    """Whether the body fills most of its convex hull, as noise does not, but not its box, as a rectangle does."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = np.concatenate(contours)
    hull = cv2.contourArea(cv2.convexHull(outline))
    _, _, width, height = cv2.boundingRect(outline)
    area = np.count_nonzero(mask)
    return bool(area > LEAST_SOLID * max(hull, 1.0) and area <= MOST_OF_BOX * width * height)


def _has_greys_of_breast(picture: NDArray[np.float32], mask: NDArray[np.bool_]) -> bool:
    greys = _greys(picture, mask)
    return bool(
        greys.contrast >= LEAST_CONTRAST
        and _air_is_dark(picture, mask, greys)
        and _skin_rises(picture, greys)
        and (mask[:, [0, -1]].any() or _has_texture(picture, greys) or _is_round(mask))
    )


def _greys(picture: NDArray[np.float32], mask: NDArray[np.bool_]) -> _Greys:
    body = mask.astype(np.uint8)
    unit = np.float32(max(1.0, max(picture.shape) / SIDE))
    inner, outer = (cv2.distanceTransform(each, cv2.DIST_L2, 3) / unit for each in (body, 1 - body))
    air = picture[outer > OUTSIDE[1]]
    background = float(np.median(air)) if len(air) else 0.0
    return _Greys(float(np.median(picture[mask])) - background, background, inner, outer)


def _air_is_dark(picture: NDArray[np.float32], mask: NDArray[np.bool_], greys: _Greys) -> bool:
    """Whether the air is even and dark, but for labels and for a second breast."""
    far = greys.outer_distance > OUTSIDE[1]
    if not far.any():
        return False
    low, high = np.percentile(picture[far], (25, 75))
    bright = (far & (picture > greys.air + BRIGHT_AIR * greys.contrast)).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(bright, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    second = int(areas.max()) if len(areas) else 0
    rest = int(areas.sum()) - (second if second >= SECOND_BREAST * np.count_nonzero(mask) else 0)
    return bool(high - low <= MOST_AIR_SPREAD * greys.contrast and rest <= MOST_BRIGHT_AIR * np.count_nonzero(far))


def _skin_rises(picture: NDArray[np.float32], greys: _Greys) -> bool:
    """Whether the picture brightens within a few millimetres of the skin, as a gradient does not."""
    inner, outer = greys.inner_distance, greys.outer_distance
    inside = picture[(inner > INSIDE[0]) & (inner <= INSIDE[1])]
    outside = picture[(outer > OUTSIDE[0]) & (outer <= OUTSIDE[1])]
    if not (len(inside) and len(outside)):
        return False
    return float(np.median(inside) - np.median(outside)) >= LEAST_RISE * greys.contrast


def _is_round(mask: NDArray[np.bool_]) -> bool:
    """Whether the body's convex hull has hardly more circumference than a disc of its area."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    return 4 * np.pi * cv2.contourArea(hull) >= ROUND * cv2.arcLength(hull, True) ** 2


def _has_texture(picture: NDArray[np.float32], greys: _Greys) -> bool:
    core = picture[greys.inner_distance > CORE]
    if not len(core):
        return False
    low, high = np.percentile(core, (2, 98))
    return float(high - low) >= LEAST_TEXTURE * greys.contrast
