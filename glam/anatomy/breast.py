"""Breast mask, chest-wall side, chest wall and skin: numpy in, numpy out, each with a confidence.

Everything works on a small picture (long side about 512) of any grey scale with bright tissue; points are (x, y) with
the centre of pixel i at i + 0.5. Lines and skin take the chest wall to be at x = 0.
"""

from functools import cache
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

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
SKIN_LEVEL = 0.045
"""The skin line, as a share of the way from background to tissue."""
GLOW_WIDTH = 1 / 18
"""Bright bands narrower than this share of the picture (film glow along a border, folds) are cut off the breast."""
NIPPLE_SIZE = 0.12
"""A nipple is no larger than this share of the picture."""
NIPPLE_GAP = 7
"""Pixels of darkness that may lie between a faint nipple and the skin."""
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
    """Return the largest bright body, without border strips, labels, dust and film glow."""
    low, high = (float(value) for value in np.percentile(picture[::4, ::4], (1, 99)))
    mask = np.zeros(picture.shape, bool)
    if high - low < 1e-6:
        return BreastMask(mask, (slice(0, picture.shape[0]), slice(0, picture.shape[1])))
    scaled = np.clip((picture - low) / (high - low), 0, 1)
    inner = _inside_strips(scaled)
    if not scaled[inner].size:
        return BreastMask(mask, inner)
    body, rival = _largest_body(np.asarray(cv2.GaussianBlur(scaled[inner], (0, 0), 1.0), np.float32))
    is_of_size = SMALLEST_BREAST <= body.mean() <= LARGEST_BREAST and min(picture.shape) >= SMALLEST_SIDE
    if is_of_size and is_breast(scaled[inner], body):
        mask[inner] = body
    return BreastMask(mask, inner, rival)


def chest_wall_side(mask: Mask) -> tuple[Literal["left", "right"], float]:
    """Return the border, left or right, that the breast lies against, and how sure the pixels are (0..1)."""
    cols = np.flatnonzero(mask.any(axis=0))
    depth = max(1, round(0.03 * mask.shape[1]))
    left = float(mask[:, cols[0] : cols[0] + depth].mean())
    right = float(mask[:, cols[-1] + 1 - depth : cols[-1] + 1].mean())
    return "left" if left >= right else "right", abs(left - right) / max(left, right)


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


@cache
def disc(radius: int) -> NDArray[np.uint8]:
    """Return a round structuring element."""
    side = 2 * max(1, radius) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


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


def _largest_body(scaled: Picture) -> tuple[Mask, float]:
    """Threshold between background and tissue, cut off thin tails, keep the largest piece, fill its holes.

    Return also the area of the second largest, as a share of the largest's.
    """
    background = float(np.percentile(scaled[::4, ::4], 2))
    otsu, _ = cv2.threshold((scaled * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = scaled[scaled > otsu / 255]
    if not len(bright):
        return np.zeros(scaled.shape, bool), 0.0
    level = background + SKIN_LEVEL * (float(bright.mean()) - background)
    binary = (scaled > level).astype(np.uint8)
    radius = round(max(scaled.shape) * GLOW_WIDTH / 4)  # of a disc in a picture of half the size
    core, rival = _largest_pieces(_opened(binary[::2, ::2], disc(radius)))
    around_core = cv2.resize(cv2.dilate(core, disc(radius + 1)), binary.shape[::-1], interpolation=cv2.INTER_NEAREST)
    body = _largest_filled(binary & np.asarray(around_core, np.uint8))
    return _largest_filled(_with_nipple(binary, body)).astype(bool), rival


def _with_nipple(binary: NDArray[np.uint8], body: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add the small piece that was cut off the breast and stands free of the borders: a nipple, fainter than the skin.

    What is cut off along a border is glow, and what lies apart from the breast is a label. Looked for at half the size.
    """
    apart = np.ascontiguousarray((binary & (1 - body))[::2, ::2])
    around = np.asarray(cv2.dilate(np.ascontiguousarray(body[::2, ::2]), disc(NIPPLE_GAP // 2 + 1)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(apart, connectivity=8)
    is_near = np.bincount(labels[(around & apart) > 0], minlength=count) > 0
    rows, cols = apart.shape
    left, top, width, height, area = stats.T
    is_free = (left > 0) & (top > 0) & (left + width < cols) & (top + height < rows)
    is_of_size = (np.maximum(width, height) <= NIPPLE_SIZE * max(rows, cols)) & (4 * area >= NIPPLE_GAP**2)
    is_nipple = is_near & is_free & is_of_size
    if not is_nipple.any():
        return body
    piece = (labels == int(np.argmax(np.where(is_nipple, area, 0)))).astype(np.uint8)
    piece = np.asarray(cv2.resize(piece, binary.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8) & binary
    return np.asarray(cv2.morphologyEx(body | piece, cv2.MORPH_CLOSE, disc(NIPPLE_GAP)), np.uint8)


def _opened(binary: NDArray[np.uint8], kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Open the picture as if it were dark outside: film glow along a border goes, as any thin piece does."""
    pad = kernel.shape[0]
    padded = cv2.copyMakeBorder(binary, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=[0])
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)
    return np.asarray(opened, np.uint8)[pad:-pad, pad:-pad]


def _largest_pieces(binary: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return the largest piece, and the area of the next as a share of its own."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(binary), connectivity=8)
    if count < 2:
        return np.zeros_like(binary), 0.0
    areas = stats[1:, cv2.CC_STAT_AREA]
    *_, second, largest = (0, *np.sort(areas).tolist())
    return (labels == 1 + int(np.argmax(areas))).astype(np.uint8), second / largest


def _largest_filled(binary: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest piece without its holes, by its outer contour."""
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(binary)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, [1], thickness=cv2.FILLED)
    return filled
