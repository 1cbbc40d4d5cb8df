"""The released code's way to align a mammogram (XYPB/GLAM b863b78), its steps done again with scikit-image.

Only for comparison: labels removed, Otsu's box, Canny of sigma 6, Hough lines of 10 to 60 degrees, a rotation about
where the line meets the chest-wall edge, Otsu's box again, stretched to the square. Its known faults are kept.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import canny
from skimage.filters import threshold_otsu
from skimage.transform import hough_line, hough_line_peaks

from glam.frame import Matrix, compose, crop, flip_columns, index_matrix, rotate, scale, shift

LONG_SIDE = 1080
SIGMA = 6.0
ANGLES_DEG = (10.0, 60.0)
MAX_DISTANCE = 300.0
MAX_SHARE = 0.6
FALLBACK_DEG = 18.0
BLIND_SHARE = 0.1

Image = NDArray[np.uint8]


class Line(NamedTuple):
    """A line to the vertical, and where it is in the cropped image."""

    angle_deg: float
    offset: float


class Released(NamedTuple):
    """What the recipe makes of a view."""

    to_box: Matrix
    """(3, 3) from stored pixels to the last crop, in pixels of the shrunk image."""
    width: int
    height: int
    """Of the last crop, which is stretched to the square."""
    line: Line | None
    """None: the fallback was taken, or no line was looked for."""


def released(pixels: NDArray[np.uint16], *, is_mlo: bool) -> Released:
    """Return where the recipe puts the pixels (rows, cols) of a view."""
    factor = LONG_SIDE / max(pixels.shape)
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    shown = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) >> 8, np.uint8)
    matrix = scale(size[0] / pixels.shape[1], size[1] / pixels.shape[0])
    shown = _without_labels(shown)
    half = shown.shape[1] // 2
    if np.count_nonzero(shown[:, half:]) > np.count_nonzero(shown[:, :half]):
        shown = np.ascontiguousarray(shown[:, ::-1])
        matrix = compose(matrix, flip_columns(size[0]))
    shown, matrix = _boxed(shown, matrix)
    line = None
    if is_mlo:
        line = released_line(shown)
        angle, centre = _turn(line, shown)
        turned = compose(shift(0, -centre), rotate(angle), shift(0, centre))
        shown = np.asarray(cv2.warpAffine(shown, index_matrix(turned)[:2], shown.shape[::-1]), np.uint8)
        shown, matrix = _boxed(shown, compose(matrix, turned))
    return Released(matrix, shown.shape[1], shown.shape[0], line)


def released_line(shown: Image) -> Line | None:
    """Return the Hough line behind which the grey values vary least; None: none passes the recipe's conditions."""
    edges = canny(shown / 255, sigma=SIGMA)
    edges[round((1 - BLIND_SHARE) * len(edges)) :] = False
    angles = np.deg2rad(np.arange(ANGLES_DEG[0], ANGLES_DEG[1] + 1))
    _, angle_peaks, offsets = hough_line_peaks(*hough_line(edges, theta=angles))
    furthest = min(MAX_DISTANCE, MAX_SHARE * shown.shape[1])
    lines = [Line(float(np.rad2deg(angle)), float(offset)) for angle, offset in zip(angle_peaks, offsets, strict=True)]
    kept = [line for line in lines if 0 < line.offset <= furthest]
    return min(kept, key=lambda line: _unevenness(shown, line), default=None)


def _without_labels(shown: Image) -> Image:
    """Keep the largest bright piece."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(np.asarray(shown > threshold_otsu(shown), np.uint8))
    if count < 2:
        return shown
    kept = cv2.dilate((pieces == 1 + int(np.argmax(stats[1:, 4]))).astype(np.uint8), np.ones((25, 25), np.uint8))
    return np.where(kept > 0, shown, 0).astype(np.uint8)


def _unevenness(shown: Image, line: Line) -> float:
    y, x = np.ogrid[: shown.shape[0], : shown.shape[1]]
    angle = np.deg2rad(line.angle_deg)
    behind = shown[(x * np.cos(angle) + y * np.sin(angle) < line.offset) & (shown > 0)]
    return float(behind.std()) if len(behind) else float("inf")


def _turn(line: Line | None, shown: Image) -> tuple[float, float]:
    """Return the angle, and the row of the chest-wall edge to turn about."""
    if line is None:
        return FALLBACK_DEG, len(shown) / 2
    return line.angle_deg, line.offset / np.sin(np.deg2rad(line.angle_deg))


def _boxed(shown: Image, matrix: Matrix) -> tuple[Image, Matrix]:
    """Crop to the box of what is brighter than Otsu's threshold."""
    bright = shown > threshold_otsu(shown)
    rows, cols = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
    box = shown[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return np.ascontiguousarray(box), compose(matrix, crop(float(cols[0]), float(rows[0])))
