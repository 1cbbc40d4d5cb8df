"""Breast mask, pectoral line, nipple, chest-nipple axis: numpy in, numpy out, each with a confidence.

Everything works on a small picture (long side 512) of any grey scale with bright tissue; points are (x, y) with the
centre of pixel i at i + 0.5. From `pectoral_line` on, the chest wall is at x = 0.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]

LONG_SIDE = 512
STRIP_DEPTH = 0.03
"""A bright strip along a border (film edge, scanner) reaches at most this share into the picture."""
STRIP_STEP = 0.08
"""How much brighter a strip is than what lies behind it, as a share of the picture's range."""
SKIN_LEVEL = 0.06
"""The skin line, as a share of the way from background to tissue."""
ANGLES_DEG = np.arange(6.0, 46.0)
PRIOR_ANGLE_DEG = 19.0
"""Usual angle of the pectoral line to the vertical; taken where no line is found."""
PRIOR_SPREAD_DEG = 9.0
REACH = (0.3, 0.42)
"""How far from the chest-wall edge, along the axis to the nipple, a pectoral line may meet it: behind and before."""
LINE_LENGTH = 0.25
"""A line at least so long, as a share of the picture's height, has its full weight."""
MIN_CONFIDENCE = 0.2


class BreastMask(NamedTuple):
    """Where the breast is in a small picture."""

    mask: Mask
    """(rows, cols); all False where no breast can be seen."""
    inner: tuple[slice, slice]
    """Rows and columns inside any bright strips along the borders."""


class Line(NamedTuple):
    """The points with x cos(angle) + y sin(angle) = offset; its normal (cos, sin) points to the nipple."""

    angle_deg: float
    offset: float
    confidence: float
    """0..1; 0 for one that was assumed."""


class Axis(NamedTuple):
    """The chest-nipple axis: from the foot on the pectoral line or chest wall to the tip of the nipple."""

    foot: tuple[float, float]
    nipple: tuple[float, float]
    length: float


def small(image: NDArray[Any], long_side: int = LONG_SIDE) -> Picture:
    """Return the image shrunk, by averaging, to that long side; never enlarged."""
    rows, cols = image.shape
    factor = min(1.0, long_side / max(rows, cols))
    size = max(1, round(cols * factor)), max(1, round(rows * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def breast_mask(picture: Picture) -> BreastMask:
    """Return the largest bright body, without border strips, labels, dust and film glow."""
    low, high = (float(value) for value in np.percentile(picture, (1, 99)))
    empty = np.zeros(picture.shape, bool)
    if high - low < 1e-6:
        return BreastMask(empty, (slice(None), slice(None)))
    scaled = np.clip((picture - low) / (high - low), 0, 1)
    inner = _inside_strips(scaled)
    body = _largest_body(np.asarray(cv2.GaussianBlur(scaled[inner], (0, 0), 1.0), np.float32))
    if body.mean() < 0.02:
        return BreastMask(empty, inner)
    empty[inner] = body
    return BreastMask(empty, inner)


def chest_wall_side(mask: Mask) -> tuple[str, float]:
    """Return the border, left or right, that the breast lies against, and how sure the pixels are (0..1)."""
    cols = np.flatnonzero(mask.any(axis=0))
    depth = max(1, round(0.03 * mask.shape[1]))
    left = float(mask[:, cols[0] : cols[0] + depth].mean())
    right = float(mask[:, cols[-1] + 1 - depth : cols[-1] + 1].mean())
    side = "left" if left >= right else "right"
    return side, abs(left - right) / max(left, right)


def pectoral_line(picture: Picture, mask: Mask) -> Line | None:
    """Return the straight edge from bright muscle to darker breast in the upper chest-wall corner of an MLO view.

    Among all lines of 6 to 45 degrees to the vertical that pass behind the breast: the one across which the picture
    darkens most, on average and for long enough, weighed by how usual its angle is. None: no line stands out.
    """
    region = _pectoral_region(mask)
    rows, cols = np.nonzero(region)
    if len(rows) < 100:
        return None
    smooth = cv2.GaussianBlur(picture, (0, 0), 2.5)
    slopes = np.stack([cv2.Sobel(smooth, cv2.CV_32F, *axes, scale=-0.125)[region] for axes in ((1, 0), (0, 1))])
    slopes /= max(float(np.percentile(np.hypot(*slopes), 90)), 1e-9)
    points = np.stack([cols, rows]).astype(np.float64) + 0.5
    best = max((_best_line(points, slopes, mask, angle) for angle in ANGLES_DEG), key=lambda line: line.confidence)
    return best if best.confidence >= MIN_CONFIDENCE else None


def assumed_line(mask: Mask) -> Line:
    """Return the line of the usual angle whose chest-nipple axis starts at the picture's chest-wall edge."""
    return Line(PRIOR_ANGLE_DEG, _edge_axis(mask, PRIOR_ANGLE_DEG)[0], 0.0)


def chest_wall(mask: Mask) -> Line:
    """Return the vertical line where the breast meets the chest-wall edge: the zero of a CC view."""
    return Line(0.0, float(_chest_edge(mask)), 1.0)


def nipple(mask: Mask, line: Line) -> tuple[float, float]:
    """Return the point of the skin that is furthest from the line; the middle one if several are."""
    points = _border_points(mask)
    distance = _along(line, points)
    tip = points[distance >= distance.max() - 1.0]
    x, y = np.median(tip, axis=0)
    return float(x), float(y)


def chest_nipple_axis(mask: Mask, line: Line) -> Axis:
    """Return the axis from the line to the nipple, perpendicular to the line."""
    x, y = nipple(mask, line)
    length = float(_along(line, np.array([[x, y]]))[0]) - line.offset
    angle = np.deg2rad(line.angle_deg)
    return Axis((float(x - length * np.cos(angle)), float(y - length * np.sin(angle))), (x, y), length)


def _inside_strips(scaled: Picture) -> tuple[slice, slice]:
    top, bottom = _strip_width(scaled), _strip_width(scaled[::-1])
    left, right = _strip_width(scaled.T), _strip_width(scaled.T[::-1])
    rows, cols = scaled.shape
    return slice(top, rows - bottom), slice(left, cols - right)


def _strip_width(scaled: NDArray[np.float32]) -> int:
    """How many first rows are a strip: brighter than the rows behind along three quarters of their length."""
    depth = max(2, round(STRIP_DEPTH * scaled.shape[0]))
    excess = np.percentile(scaled[:depth] - scaled[depth], 25, axis=1)
    bright = np.flatnonzero(excess > STRIP_STEP)
    return int(bright[-1]) + 2 if len(bright) else 0


def _largest_body(scaled: Picture) -> Mask:
    """Threshold between background and tissue, cut off thin tails, keep the largest piece, fill its holes."""
    background = float(np.percentile(scaled, 2))
    otsu, _ = cv2.threshold((scaled * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = scaled[scaled > otsu / 255]
    if not len(bright) or float(np.median(bright)) - background < 0.02:
        return np.zeros(scaled.shape, bool)
    level = background + SKIN_LEVEL * (float(np.median(bright)) - background)
    binary = (scaled > level).astype(np.uint8)
    radius = max(scaled.shape) // 48
    core = _largest_piece(_opened(binary, _disc(radius)))
    near = np.asarray(cv2.dilate(core, _disc(radius + 2)), np.uint8)
    return _filled(_largest_piece(binary & near))


def _opened(binary: NDArray[np.uint8], kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Open the picture as if it were dark outside: film glow along a border goes, as any thin piece does."""
    pad = kernel.shape[0]
    padded = cv2.copyMakeBorder(binary, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=[0])
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)
    return np.asarray(opened, np.uint8)[pad:-pad, pad:-pad]


def _largest_piece(binary: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(binary), connectivity=8)
    if count < 2:
        return np.zeros_like(binary)
    return (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def _filled(binary: NDArray[np.uint8]) -> Mask:
    """Fill the holes of one piece by drawing its outer contour."""
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(binary)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * max(1, radius) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


def _pectoral_region(mask: Mask) -> Mask:
    """Return where in the breast the muscle's edge may run: above the nipple and away from the skin."""
    inside = cv2.erode(
        mask.astype(np.uint8), _disc(max(mask.shape) // 50), borderType=cv2.BORDER_CONSTANT, borderValue=1
    ).astype(bool)
    _, nipple_y = nipple(mask, Line(PRIOR_ANGLE_DEG, 0.0, 0.0))
    inside[round(nipple_y) :] = False
    return inside


def _best_line(points: NDArray[np.float64], slopes: NDArray[np.floating], mask: Mask, angle_deg: float) -> Line:
    """Return the best line of an angle; its confidence is its score.

    The score of an offset is the mean darkening across the line, -1..1, times how long the line is, 0..1, times how
    usual the angle is. `points` (2, n) are (x, y), `slopes` (2, n) the darkening along x and y.
    """
    direction = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])
    start, length = _edge_axis(mask, angle_deg)
    lowest = int(start - length * REACH[0])
    bins = max(int(length * sum(REACH)), 1)
    index = (direction @ points - lowest).astype(np.intp)
    inside = (index >= 0) & (index < bins)
    darkening = np.clip(direction @ slopes, -1, 1)
    total = np.bincount(index[inside], darkening[inside], bins)
    count = np.bincount(index[inside], minlength=bins)
    total, count = (np.convolve(values, np.ones(3) / 3, "same") for values in (total, count))
    score = total / np.maximum(count, 1) * np.minimum(count / (LINE_LENGTH * mask.shape[0]), 1)
    score *= np.exp(-0.5 * ((angle_deg - PRIOR_ANGLE_DEG) / (2 * PRIOR_SPREAD_DEG)) ** 2)
    best = int(np.argmax(score))
    return Line(float(angle_deg), lowest + best + 0.5, float(np.clip(score[best], 0, 1)))


def _edge_axis(mask: Mask, angle_deg: float) -> tuple[float, float]:
    """Return where an axis of that angle through the nipple leaves the picture at the chest wall, and its length."""
    line = Line(angle_deg, 0.0, 0.0)
    tip = nipple(mask, line)
    start = _chest_edge(mask)
    tangent = np.tan(np.deg2rad(angle_deg))
    foot, end = _along(line, np.array([[start, tip[1] - (tip[0] - start) * tangent], tip]))
    return float(foot), float(end - foot)


def _chest_edge(mask: Mask) -> int:
    """First column that holds a good part of the breast's height."""
    heights = mask.sum(axis=0)
    return int(np.argmax(heights > 0.2 * heights.max()))


def _border_points(mask: Mask) -> NDArray[np.float64]:
    """Right end of every row of the mask, as (n, 2) points."""
    rows = np.flatnonzero(mask.any(axis=1))
    last = mask.shape[1] - np.argmax(mask[rows, ::-1], axis=1)
    return np.stack([last, rows + 0.5], axis=1).astype(np.float64)


def _along(line: Line, points: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.deg2rad(line.angle_deg)
    return points @ np.array([np.cos(angle), np.sin(angle)])
