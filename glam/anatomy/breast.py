"""Breast mask, chest wall and skin: numpy in, numpy out, each with a confidence.

Everything works on a small picture (long side about 512) of any grey scale with bright tissue; points are (x, y) with
the centre of pixel i at i + 0.5. Lines and skin take the chest wall to be at x = 0.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.body import disc, largest_body
from glam.anatomy.evidence import is_breast

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

LONG_SIDE = 512
BAND = 512
"""Rows of an image that are shrunk at a time."""
STRIP_DEPTH = 0.03
"""A bright strip along a border (film edge, scanner) reaches at most this share into the picture."""
STRIP_STEP = 0.08
"""How much brighter a strip is than what lies behind it, as a share of the picture's range."""
LABEL_WHITE = 0.1
"""Labels are taken out where they raise white by this share of the picture's range."""
LABEL_GAP = 3
"""Pixels around the breast in which nothing is a label."""
LARGEST_BREAST = 0.98
"""Share of the picture above which there is no air beside a body, and it is no breast."""
SMALLEST_SIDE = 32
"""Rows and columns, of the image or its small picture, below which nothing can be told."""
SMALLEST_BREAST = 0.02
"""Share of the picture below which a bright body is no breast."""


class BreastMask(NamedTuple):
    """Where the breast is in a small picture."""

    mask: Mask
    """(rows, cols); all False where no breast can be seen."""
    inner: tuple[slice, slice]
    """Rows and columns inside any bright strips along the borders."""
    rival: float = 0.0
    """Area of the second largest body, as a share of the breast's."""


class Line(NamedTuple):
    """The points with x cos(angle) + y sin(angle) = offset; its normal (cos, sin) points to the nipple."""

    angle_deg: float
    offset: float
    confidence: float
    """0..1; 0 for one that was assumed."""
    bend: float = 0.0
    """Above `end`, what the line stands for is an edge that lies bend * (distance from `end`)^2 before it."""
    end: float = 0.0
    """A place along the line, as -x sin(angle) + y cos(angle)."""

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the line, toward the nipple."""
        angle = np.deg2rad(self.angle_deg)
        return np.array([np.cos(angle), np.sin(angle)])

    @property
    def tangent(self) -> NDArray[np.float64]:
        """Unit vector down the line."""
        x, y = self.normal
        return np.array([-y, x])


class Axis(NamedTuple):
    """The chest-nipple axis: from the foot on the pectoral line or chest wall to the tip of the nipple."""

    foot: tuple[float, float]
    nipple: tuple[float, float]
    length: float


def shrink_factor(shape: tuple[int, ...]) -> int:
    """Return how many pixels of an image along each axis make one of its small picture."""
    return max(1, round(max(shape) / LONG_SIDE))


def shrink_factors(shape: tuple[int, ...], aspect: float) -> tuple[int, int]:
    """Return how many rows and how many columns of an image make a pixel, about square, of its small picture.

    `aspect` is the distance of the image's rows over that of its columns.
    """
    height, width = max(aspect, 1.0), max(1 / aspect, 1.0)  # of a stored pixel, the shorter one as unit
    side = max(1.0, shape[0] * height / LONG_SIDE, shape[1] * width / LONG_SIDE)
    return max(1, round(side / height)), max(1, round(side / width))


def small(image: NDArray[Any]) -> Picture:
    """Return the image averaged over squares of `shrink_factor` pixels; the few rows and columns left over are cut."""
    factor = shrink_factor(image.shape)
    return np.asarray(averaged(image, factor, factor), np.float32)


def averaged(image: NDArray[Any], down: int, across: int) -> NDArray[Any]:
    """Return the image averaged over rectangles of so many rows and columns; what is left over at its end is cut.

    It is worked through in bands of rows, so that what lies between stays in the processor's cache, and halved as long
    as both numbers are even: OpenCV is several times as fast at that as at any other factor.
    """
    down, across = min(down, image.shape[0]), min(across, image.shape[1])
    rows, cols = image.shape[0] // down, image.shape[1] // across
    shrunk = np.empty((rows, cols), image.dtype)
    band_rows = max(1, BAND // down)
    for first in range(0, rows, band_rows):
        last = min(first + band_rows, rows)
        band, factors = image[first * down : last * down, : cols * across], (down, across)
        while factors[0] % 2 == factors[1] % 2 == 0:
            band = cv2.resize(band, (band.shape[1] // 2, band.shape[0] // 2), interpolation=cv2.INTER_AREA)
            factors = factors[0] // 2, factors[1] // 2
        # Exactly in the middle of two pixels a linear look-up is their mean.
        interpolation = cv2.INTER_LINEAR if max(factors) <= 2 else cv2.INTER_AREA
        cv2.resize(band, (cols, last - first), dst=shrunk[first:last], interpolation=interpolation)
    return shrunk


def breast_mask(picture: Picture) -> BreastMask:
    """Return the largest bright body, without border strips, labels, dust and film glow.

    Where letters or a plate beside it, and not the breast, decide what is white, they are taken out and it is looked
    for again.
    """
    low, high = _black_and_white(picture[::4, ::4])
    found = _bright_body(picture, low, high)
    labels = _labels(picture, found)
    if not labels[::4, ::4].any():
        return found
    unlabelled = np.where(labels, np.float32(low), picture)
    _, white = _black_and_white(unlabelled[::4, ::4])
    if white - low > (1 - LABEL_WHITE) * (high - low):
        return found
    return _bright_body(unlabelled, low, white)._replace(rival=found.rival)


def _bright_body(picture: Picture, low: float, high: float) -> BreastMask:
    """Return it in a picture whose black and white are given."""
    mask = np.zeros(picture.shape, bool)
    if high - low < 1e-6:
        return BreastMask(mask, (slice(0, picture.shape[0]), slice(0, picture.shape[1])))
    scaled = np.clip((picture - low) / (high - low), 0, 1)
    inner = _inside_strips(scaled)
    if not scaled[inner].size:
        return BreastMask(mask, inner)
    body, rival = largest_body(np.asarray(cv2.GaussianBlur(scaled[inner], (0, 0), 1.0), np.float32))
    is_of_size = SMALLEST_BREAST <= body.mean() <= LARGEST_BREAST and min(picture.shape) >= SMALLEST_SIDE
    if is_of_size and is_breast(scaled[inner], body):
        mask[inner] = body
    return BreastMask(mask, inner, rival)


def _labels(picture: Picture, found: BreastMask) -> Mask:
    """Return what lies beside the breast, and in no strip, and is brighter than most of the breast."""
    if not found.mask.any():
        return found.mask
    tissue = np.median(picture[::4, ::4][found.mask[::4, ::4]])
    labels = np.zeros(picture.shape, bool)
    labels[found.inner] = picture[found.inner] > tissue
    return labels & (cv2.dilate(found.mask.astype(np.uint8), disc(LABEL_GAP)) == 0)


def _black_and_white(pixels: Picture) -> tuple[float, float]:
    low, high = np.percentile(pixels, (1, 99))
    return float(low), float(high)


def chest_wall(mask: Mask) -> Line:
    """Return the vertical line where the breast meets the chest-wall edge: the zero of a CC view."""
    heights = mask.sum(axis=0)
    return Line(0.0, float(np.argmax(heights > 0.2 * heights.max())), 1.0)


def skin_points(mask: Mask) -> Points:
    """Return the (n, 2) outer ends of the mask's rows."""
    rows = np.flatnonzero(mask.any(axis=1))
    last = mask.shape[1] - np.argmax(mask[rows, ::-1], axis=1)
    return np.stack([last, rows + 0.5], axis=1).astype(np.float64)


def furthest(skin: Points, line: Line) -> tuple[float, float]:
    """Return the point of the skin that is furthest from the line; the middle one if several are."""
    distance = skin @ line.normal
    x, y = np.median(skin[distance >= distance.max() - 1.0], axis=0)
    return float(x), float(y)


def _inside_strips(scaled: Picture) -> tuple[slice, slice]:
    top, bottom = _strip_width(scaled), _strip_width(scaled[::-1])
    left, right = _strip_width(scaled.T), _strip_width(scaled.T[::-1])
    rows, cols = scaled.shape
    return slice(top, rows - bottom), slice(left, cols - right)


def _strip_width(scaled: NDArray[np.float32]) -> int:
    """How many first rows are a strip: brighter than the rows behind along three quarters of their length."""
    depth = min(max(2, round(STRIP_DEPTH * scaled.shape[0])), scaled.shape[0] - 1)
    excess = np.percentile(scaled[:depth, ::2] - scaled[depth, ::2], 25, axis=1)
    bright = np.flatnonzero(excess > STRIP_STEP)
    return int(bright[-1]) + 2 if len(bright) else 0
