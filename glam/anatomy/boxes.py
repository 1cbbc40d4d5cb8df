"""Black boxes in grey air: a blacked-out name, the corners of a collimator, padding below the air's grey value.

They are seen by the grey values of the whole picture, wherever they lie: black, then hardly anything, then the air, of
one grey value, and then the breast. Where the air itself is black, the skin has all the values up to the tissue.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import SMALLEST_BREAST

Picture = NDArray[np.float32]

FLAT = 1
"""Largest distance of the pixels of a box from black, and of flat air from its grey value, of 255 grey values."""
STEP, BRIGHTEST = 3, 64
"""Least and largest grey value of the air."""
SMALLEST, LARGEST = 0.004, 0.4
"""Least and largest share of the picture that the boxes take."""
LEAST_AIR = 0.05
"""Least share of the picture that is flat air."""
NEAR, FLAT_PARTS = 10, 0.5
"""Of the pixels within so many grey values of the air, the least share that is as flat as air, and no tissue."""
BETWEEN = 0.25
"""Largest number of pixels from black half-way to the air, as a share of the black ones: blurred edges of the boxes."""
EDGE = 2
"""Pixels over which the edge of a box may be blurred."""
MIN_SIDE = 32
"""Rows and columns of a picture in which a box is looked for."""


def without_boxes(picture: Picture) -> Picture:
    """Return the (rows, cols) picture with its black boxes as bright as its air; the picture itself if it has none."""
    low, high = float(picture.min()), float(picture.max())
    if min(picture.shape) < MIN_SIDE or high - low < 1e-6:
        return picture
    grey = ((picture - low) * (255 / (high - low))).astype(np.uint8)
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    level = _air_above_black(counts / np.float64(grey.size))
    if level is None:
        return picture
    air = np.median(picture[np.abs(grey.astype(np.int16) - level) <= FLAT]).astype(np.float32)
    covered = cv2.dilate((grey <= FLAT).astype(np.uint8), _square(EDGE)) > 0
    return np.where(covered & (picture < air), air, picture)


def _air_above_black(shares: NDArray[np.float64]) -> int | None:
    """Return the grey value of the air, by the share of each of 256 values; None: there are no boxes darker than it."""
    black = shares[: FLAT + 1].sum()
    if not SMALLEST <= black <= LARGEST:
        return None
    level = STEP + int(np.argmax(shares[STEP : BRIGHTEST + 1]))
    flat = shares[level - FLAT : level + FLAT + 1].sum()
    near = shares[max(level - NEAR, FLAT + 1) : level + NEAR + 1].sum()
    between, breast = shares[FLAT + 1 : level // 2 + 1].sum(), shares[level + NEAR + 1 :].sum()
    is_air = flat >= LEAST_AIR and flat >= FLAT_PARTS * near and breast >= SMALLEST_BREAST
    return level if is_air and between <= BETWEEN * black else None


def _square(reach: int) -> NDArray[Any]:
    """Return a structuring element that reaches so many pixels to every side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
