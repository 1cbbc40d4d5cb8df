"""An image's tissue as evidence for its grey values: the exposed field, whether tissue is dark, the breast's range."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.boxes import without_boxes
from glam.anatomy.breast import breast_mask
from glam.anatomy.field import has_border, small_field, whole_field
from glam.anatomy.margins import drawn_margins
from glam.anatomy.plates import without_plates
from glam.view import Field

FLAT_SHARE = 0.05
"""Share of the range within which grey values count as the darkest or the brightest one."""
MUCH_AIR = 0.3
"""Least share of the picture that is much air: dark parts of a breast that fills the picture take less."""
SMOOTH = 0.015
"""Largest change between neighbouring pixels of a little air, as a share of the contrast of breast and air."""


def exposed_field(stored: NDArray[Any], table: NDArray[np.uint16], step: int) -> Field:
    """Return the field of (rows, cols) bit patterns inside their borders.

    Borders are looked for before the breast's range clips border and tissue alike, and in every `step`-th row and
    column; only an image that has some is searched as a whole.
    """
    if not has_border(table[stored[::step, ::step]]) and not any(drawn_margins(stored)):
        return whole_field(stored)
    return small_field(cv2.LUT(stored, table)).field


def is_inverted(sample: NDArray[Any]) -> bool:
    """Return whether a display picture has its tissue dark; `sample` has no borders, glam/anatomy/field.py.

    A bright, even background with next to nothing brighter says so, and so does a picture in which no breast can be
    seen; but either is believed only where a breast and its air can be seen once the picture is inverted: a picture
    that the breast fills stays as it is. The background is looked for along the left and the right side: one of them
    has none of the breast. An even dark side settles that the picture is as it should be.
    """
    picture = -_plain(-_plain(sample.astype(np.float32)))
    low, high = (float(value) for value in np.percentile(picture, (1, 99)))
    if high <= low:
        return False
    rows, cols = (length // 16 for length in picture.shape)
    inner = np.clip((picture[rows : len(picture) - rows, cols : picture.shape[1] - cols] - low) / (high - low), 0, 1)
    depth = max(1, inner.shape[1] // 12)
    spread = [np.percentile(side, (5, 50, 95)) for side in (inner[:, :depth], inner[:, -depth:])]
    levels = [middle for low, middle, high in spread if high - low < 0.1]
    if levels and min(levels) < 0.5:
        return False
    if levels:
        darker, brighter = (inner < levels[0] - 0.1).mean(), (inner > levels[0] + 0.1).mean()
        suspect = brighter < 0.1 * darker
    else:  # air is the largest even part of a mammogram, and it is bright only where the pixels are inverted
        scaled = (picture - low) / (high - low)
        suspect = (scaled > 1 - FLAT_SHARE).mean() > (scaled < FLAT_SHARE).mean()
        suspect = bool(suspect) and not breast_mask(picture).mask.any()
    return bool(suspect) and _shows_breast_and_air(-picture)


def _plain(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture without black boxes and bright plates."""
    return without_plates(without_boxes(picture))


def _shows_breast_and_air(picture: NDArray[np.float32]) -> bool:
    """Return whether a breast can be seen, and beside it much air, or a little that is smooth, as no tissue is."""
    breast = breast_mask(picture).mask
    air = cv2.dilate(breast.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    if not breast.any() or not air.any():
        return False
    change = cv2.morphologyEx(cv2.GaussianBlur(picture, (0, 0), 1.0), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    contrast = np.median(picture[breast]) - np.median(picture[air])
    return bool(air.mean() >= MUCH_AIR or np.median(change[air]) <= SMOOTH * contrast)


def breast_range(picture: NDArray[Any]) -> tuple[float, float] | None:
    """Return the values of a display picture to show as black and white: from background and breast, not from labels.

    Black is the darkest percentile inside any border, white the breast's 99.9th. None: no breast.
    """
    small_picture = small_field(picture).picture
    breast = breast_mask(small_picture)
    if not breast.mask.any():
        return None
    return float(np.percentile(small_picture[breast.inner], 1)), float(np.percentile(small_picture[breast.mask], 99.9))
