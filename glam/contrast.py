"""Contrast of the square: black and white taken from the breast itself, image by image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.body import Picture, disc
from glam.findings import input_error

GREY_PERCENTILES = (1.0, 99.9)
"""Percentiles of the grey values of the breast, without its rim, between which the contrast is spread."""
BLACK_MARGIN = 0.03
"""Distance of black below the lower percentile, as a share of the range: nipples on film are fainter than breasts."""
RIM_SHARE = 0.008
"""Width of the rim along skin and cleared muscle, where a pixel shows half air, as a share of the square's side."""
LEAST_CORE = 0.5
"""Smallest share of a breast that may be left without its rim; of a thin breast less of the rim is taken off."""
MIN_CONTRAST = 1e-4
"""Smallest range of grey values, of 0 to 1, that a breast has."""
SAMPLE_SIDE = 252
"""Approximate side that a larger square is sampled down to for the percentiles."""


def spread_contrast(square: Picture, inside: NDArray[np.bool_]) -> tuple[Picture, tuple[float, float]]:
    """Return the square with the breast's own range spread over [0, 1] and all else 0, and the two ends of the range.

    `inside` says where the breast lies. InputError `no_breast` where there is none, or no contrast in it.
    """
    step = max(1, len(square) // SAMPLE_SIDE)
    sample, breast = square[::step, ::step], inside[::step, ::step]
    if not breast.any():
        raise input_error("no_breast")
    low, high = np.percentile(sample[_without_rim(breast)], GREY_PERCENTILES).tolist()
    if high - low < MIN_CONTRAST:  # an even breast: what contrast there is lies in its rim
        low, high = np.percentile(sample[breast], GREY_PERCENTILES).tolist()
    if high - low < MIN_CONTRAST:
        raise input_error("no_breast")
    low = max(low - BLACK_MARGIN * (high - low), 0.0)
    grey = np.clip((square - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    grey[~inside] = 0
    return grey, (low, high)


def _without_rim(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the breast without what lies next to skin or cleared muscle; the square's own border is no rim."""
    radius = round(RIM_SHARE * len(inside))
    core = inside
    while radius and (core is inside or np.count_nonzero(core) < LEAST_CORE * np.count_nonzero(inside)):
        core = np.asarray(cv2.erode(inside.astype(np.uint8), disc(radius)), np.uint8).astype(bool)
        radius //= 2
    return core if np.count_nonzero(core) >= LEAST_CORE * np.count_nonzero(inside) else inside
