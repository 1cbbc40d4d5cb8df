"""Black boxes in grey air: a blacked-out name, the corners of a collimator, padding below the air's grey value.

Such a box is flat, touches a side, and what lies around most of it is flat too, and brighter. The air before a breast
is flat as well, but around it lies skin.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

FLAT = 1
"""Largest difference of neighbouring pixels of a box, and of its surroundings, of 255 grey values."""
STEP = 3
"""Least step from a box up to the air, of 255 grey values."""
SMALLEST, LARGEST = 0.004, 0.4
"""Least and largest share of the picture that the boxes take."""
AIR_PARTS = 0.6
"""Least share of a box's surroundings that are air: a breast may lie beside it too."""
EDGE = 2
"""Pixels over which the edge of a box may be blurred."""
RING = 7
"""Distance from a box, in pixels, up to which its surroundings are looked at."""
MIN_SIDE = 32
"""Rows and columns of a picture in which a box is looked for."""


def without_boxes(picture: Picture) -> Picture:
    """Return the (rows, cols) picture with its black boxes as bright as its air; the picture itself if it has none."""
    low, high = float(picture.min()), float(picture.max())
    if min(picture.shape) < MIN_SIDE or high - low < 1e-6:
        return picture
    grey = ((picture - low) * (255 / (high - low))).astype(np.uint8)
    black = (grey <= FLAT).astype(np.uint8)
    if not SMALLEST <= black.mean() <= LARGEST:
        return picture
    _, labels, stats, _ = cv2.connectedComponentsWithStats(black, connectivity=4)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= SMALLEST * picture.size) + 1
    lifted = picture
    for label in large.tolist():
        box = (np.asarray(labels) == label).astype(np.uint8)
        air = _air_around(box, grey)
        if air is not None:
            covered = cv2.dilate(box, _square(EDGE)) > 0
            level = np.median(picture[air]).astype(np.float32)
            lifted = np.where(covered & (picture < level), level, lifted)
    return lifted


def _air_around(box: NDArray[np.uint8], grey: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return where the air around a box is, of one grey value; None: no side is touched, or there is too little air."""
    if not any(line.any() for line in (box[0], box[-1], box[:, 0], box[:, -1])):
        return None
    around = (cv2.dilate(box, _square(RING)) > 0) & (cv2.dilate(box, _square(EDGE + 1)) == 0)
    values = grey[around]
    if not values.size:
        return None
    level = int(np.median(values))
    air = around & (np.abs(grey.astype(np.int16) - level) <= FLAT)
    return air if level >= STEP and air.sum() >= AIR_PARTS * values.size else None


def _square(reach: int) -> NDArray[Any]:
    """Return a structuring element that reaches so many pixels to every side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
