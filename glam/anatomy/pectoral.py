"""The pectoral line of an MLO view: searched as a straight edge, then fitted along the muscle's curve.

Pictures, masks and lines are those of `glam.anatomy.breast`, the chest wall at x = 0.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.body import disc
from glam.anatomy.breast import Line, Mask, Picture, Points, chest_wall, furthest, skin_points

ANGLE_STEP_DEG = 4.0
ANGLES_DEG = np.arange(6.0, 46.0, ANGLE_STEP_DEG)
USUAL_ANGLE_DEG = 22.0
"""Usual angle of the pectoral line to the vertical: the mean of 1,463 breasts of patients, whose standard deviation is
6.1 degrees (`glam.phantom.patients` has the source)."""
PRIOR_SPREAD_DEG = 18.0
REACH = (0.3, 0.6)
"""How far from the chest-wall edge, along the axis to the nipple, a line may meet it: behind and before."""
USUAL_REACH = (0.05, 0.3)
"""Where along that axis lines usually meet it: middle and spread."""
LINE_LENGTH = 0.25
"""A line at least so long, as a share of the picture's height, has its full weight."""
EDGE_PROFILE = np.bartlett(13) / 6
"""Weights of the darkening over neighbouring offsets: wide enough that noise averages out."""
UNEVEN = 0.2
"""Standard deviation of the grey values behind a line, as a share of the breast's range, that halves its score."""
EDGE_MARGIN = 4
"""How far behind a line, in pixels of the small picture, what it covers begins: the edge itself is not even."""
MIN_CONFIDENCE = 0.15
"""Noise without an edge stays below it."""
FIT_WIDTHS = (8.0, 6.0, 5.0)
"""How far from the line, in pixels of the small picture, an edge counts in each round of the fit."""
FIT_REACH = 40.0
"""No round of the fit moves the line further than this, in pixels of the small picture."""
SPARSE = 4
"""The search for a line looks at every so many rows and columns."""
FIT_ROWS = 2
"""The fit of a line looks at every so many rows."""
BLUR_REACH = 12
"""Pixels around those that are looked at, which blur and slope reach."""
SMALLEST_REGION = 400
"""Pixels in which an edge may be looked for."""
STRAIGHTNESS = 0.1
"""Weight of keeping the fitted edge straight."""


class EdgePoints(NamedTuple):
    """Where an edge may run, and how fast the picture darkens there."""

    places: Points
    """(n, 2)"""
    darkening: NDArray[Any]
    """(n, 2) along x and y; 1 is as steep as the steepest tenth."""
    grey: NDArray[Any]
    """(n,) smoothed; 1 is the range from the 5th to the 95th percentile."""


def pectoral_line(picture: Picture, mask: Mask) -> Line | None:
    """Return the edge from bright muscle to darker breast in the upper chest-wall corner.

    Among all lines of 6 to 45 degrees to the vertical that pass behind the breast: the one across which the picture
    darkens most, on average and for long enough, weighed by how usual its angle and place are. None: none stands out.
    """
    skin, wall_col = skin_points(mask), chest_wall(mask).offset
    region = _region(mask, skin)
    if np.count_nonzero(region) < SMALLEST_REGION:
        return None
    slopes = _slopes(picture[: len(region) + BLUR_REACH])
    coarse = _edge_points(slopes, region & _every(SPARSE, SPARSE, region.shape))

    def line_at(angle_deg: float) -> Line:
        return _best_line(coarse, _wall_axis(skin[::SPARSE], wall_col, angle_deg), angle_deg, mask.shape[0])

    best = max(map(line_at, ANGLES_DEG), key=lambda line: line.confidence)
    between = (best.angle_deg + side * ANGLE_STEP_DEG / 2 for side in (-1, 1))
    best = max(best, *map(line_at, between), key=lambda line: line.confidence)
    if best.confidence < MIN_CONFIDENCE:
        return None
    near_line = region & _near(best, region.shape, FIT_REACH) & _every(FIT_ROWS, 1, region.shape)
    return _fitted(best, _edge_points(slopes, near_line), np.array(furthest(skin, best)))


def line_of_angle(mask: Mask, angle_deg: float, confidence: float) -> Line:
    """Return the line of an angle whose chest-nipple axis starts at the picture's chest-wall edge."""
    foot, _ = _wall_axis(skin_points(mask), chest_wall(mask).offset, angle_deg)
    return Line(angle_deg, foot, confidence)


def muscle_mask(shape: tuple[int, ...], line: Line) -> Mask:
    """Return the (rows, cols) pixels behind the edge that a line stands for."""
    before = _projections(shape, line.normal, line.offset)
    above = np.minimum(_projections(shape, line.tangent, line.end), 0)
    return before < np.float32(line.bend) * above**2


def _region(mask: Mask, skin: Points) -> Mask:
    """Return where in the breast the muscle's edge may run: away from the skin, in the rows above the nipple."""
    bottom = max(round(furthest(skin, Line(USUAL_ANGLE_DEG, 0.0, 0.0))[1]), 1)
    radius = max(mask.shape) // 50
    upper = mask[: bottom + radius].astype(np.uint8)
    eroded = cv2.erode(upper, disc(radius), borderType=cv2.BORDER_CONSTANT, borderValue=[1])
    return np.asarray(eroded, np.uint8)[:bottom].astype(bool)


def _every(rows: int, cols: int, shape: tuple[int, ...]) -> Mask:
    """Return a grid of every so many rows and columns."""
    grid = np.zeros(shape, bool)
    grid[::rows, ::cols] = True
    return grid


def _near(line: Line, shape: tuple[int, ...], reach: float) -> Mask:
    """Return the pixels within a distance of a line."""
    return np.abs(_projections(shape, line.normal, line.offset)) < reach


def _projections(shape: tuple[int, ...], direction: NDArray[np.float64], offset: float) -> Picture:
    """Return how far each pixel of (rows, cols) lies along a direction (x, y), beyond an offset."""
    y, x = (np.arange(length, dtype=np.float32) + np.float32(0.5) for length in shape)
    across, down = direction.astype(np.float32)
    return (y * down - np.float32(offset))[:, None] + x * across


def _slopes(picture: Picture) -> tuple[Picture, Picture, Picture]:
    """Return how fast a picture darkens along x and y, and its grey values, smoothed."""
    smooth = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.0), np.float32)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, scale=-0.125) for dx, dy in ((1, 0), (0, 1)))
    return np.asarray(across, np.float32), np.asarray(down, np.float32), smooth


def _edge_points(slopes: tuple[Picture, Picture, Picture], where: Mask) -> EdgePoints:
    rows, cols = np.nonzero(where)
    across, down, grey = (values[rows, cols] for values in slopes)
    darkening = np.stack([across, down], axis=1)
    steep = np.percentile(np.hypot(across, down), 90) if len(rows) else 1.0
    low, high = np.percentile(grey, (5, 95)) if len(rows) else (0.0, 1.0)
    places = np.stack([cols, rows], axis=1).astype(np.float64) + 0.5
    return EdgePoints(places, darkening / max(float(steep), 1e-9), grey / max(float(high - low), 1e-9))


def _best_line(edges: EdgePoints, axis: tuple[float, float], angle_deg: float, rows: int) -> Line:
    """Return the best line of an angle; its confidence is its score.

    The score of an offset is the mean darkening across the line, -1..1, times how long the line is, 0..1, times how
    usual angle and place are. `axis` is that of `_wall_axis`. Only a grid of edge points is here.
    """
    normal = Line(angle_deg, 0.0, 0.0).normal
    start, length = axis
    lowest = int(start - length * REACH[0])
    num_offsets = int(length * sum(REACH))
    if num_offsets < len(EDGE_PROFILE):
        return Line(float(angle_deg), start, 0.0)  # too shallow a breast to see the edge of a muscle in it
    index = (edges.places @ normal - lowest).astype(np.intp)
    inside = (index >= 0) & (index < num_offsets)
    total = np.bincount(index[inside], np.clip(edges.darkening[inside] @ normal, -1, 1), num_offsets)
    count = np.bincount(index[inside], minlength=num_offsets)
    total, count = (np.convolve(values, EDGE_PROFILE, "same") for values in (total, count))
    score = total / np.maximum(count, 1 / SPARSE**2) * np.minimum(SPARSE**2 * count / (LINE_LENGTH * rows), 1)
    score *= np.exp(-0.5 * ((angle_deg - USUAL_ANGLE_DEG) / PRIOR_SPREAD_DEG) ** 2)
    score *= _evenness(edges, index, num_offsets)
    reach = (lowest + np.arange(num_offsets) + 0.5 - start) / length
    score *= np.exp(-0.5 * ((reach - USUAL_REACH[0]) / USUAL_REACH[1]) ** 2)
    best = int(np.argmax(score))
    return Line(float(angle_deg), lowest + best + 0.5, float(np.clip(score[best], 0, 1)))


def _evenness(edges: EdgePoints, index: NDArray[np.intp], num_offsets: int) -> NDArray[np.float64]:
    """Return 1 for offsets behind which the picture is as even as a muscle, toward 0 where it varies like a breast."""
    behind = np.clip(index + EDGE_MARGIN, 0, num_offsets - 1)
    count = np.bincount(behind, minlength=num_offsets).cumsum()
    powers = (edges.grey, edges.grey * edges.grey)
    total, squares = (np.bincount(behind, values, num_offsets).cumsum() for values in powers)
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    return np.asarray(1 / (1 + (deviation / UNEVEN) ** 4))


def _fitted(line: Line, edges: EdgePoints, tip: NDArray[np.float64]) -> Line:
    """Return the tangent, at the end next to the nipple's level, of the slightly curved edge along a line."""
    for width in FIT_WIDTHS:
        along, across = edges.places @ line.tangent, edges.places @ line.normal - line.offset
        near = np.abs(across) < width
        weight = np.clip(edges.darkening[near] @ line.normal, 0, 2) ** 2
        if weight.sum() < 1e-6:
            return line
        middle = np.average(along[near], weights=weight)
        hundreds = (along[near] - middle) / 100
        curve = _weighted_parabola(hundreds, across[near], weight)
        end = float(np.clip((tip @ line.tangent - middle) / 100, hundreds.min(), hundreds.max() + 0.3))
        line = _tangent_line(line, curve, end, middle)
    return line


def _weighted_parabola(along: Points, across: Points, weight: Points) -> NDArray[np.float64]:
    """Return (offset, slope, bend) of the distance across a line over the place along it, the bend held back."""
    terms = np.stack([np.ones_like(along), along, along**2])
    normal_matrix = (terms * weight) @ terms.T
    normal_matrix[2, 2] += STRAIGHTNESS * weight.sum()
    return np.asarray(np.linalg.solve(normal_matrix, (terms * weight) @ across), np.float64)


def _tangent_line(line: Line, curve: NDArray[np.float64], end: float, middle: float) -> Line:
    """Return the tangent of a curve that is given over a line, in hundreds of pixels from `middle`, at `end`."""
    offset, slope, bend = curve.tolist()
    point = line.normal * (line.offset + offset + slope * end + bend * end**2)
    point = point + line.tangent * (middle + 100 * end)
    angle_deg = line.angle_deg - float(np.rad2deg(np.arctan((slope + 2 * bend * end) / 100)))
    turned = line._replace(angle_deg=angle_deg, bend=bend / 100**2)
    return turned._replace(offset=float(point @ turned.normal), end=float(point @ turned.tangent))


def _wall_axis(skin: Points, wall_col: float, angle_deg: float) -> tuple[float, float]:
    """Return where an axis of that angle through the nipple leaves the picture at the chest wall, and its length."""
    line = Line(angle_deg, 0.0, 0.0)
    x, y = furthest(skin, line)
    foot = np.array([wall_col, y - (x - wall_col) * np.tan(np.deg2rad(angle_deg))]) @ line.normal
    return float(foot), float(np.array([x, y]) @ line.normal - foot)
