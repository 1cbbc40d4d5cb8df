"""Bright plates that cover a part of a side of a picture: a scanner's lit plate, a label area, the corner of a frame.

A plate is an even region that touches a side and ends abruptly at straight edges along rows or columns; the air before
a breast, which is even too, ends at the skin, and that is curved.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.border import SIDES, Border, from_each_side

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]
Region = NDArray[np.uint8]
"""1 inside, 0 outside."""
Near = tuple[slice, slice]
"""Rows and columns of a part of a picture."""

EVEN = 8
"""Largest difference of neighbouring pixels of a plate, of 255 grey values."""
FLAT, FLAT_PARTS = 1, (5, 95)
"""The same of a flat plate, flatter than tissue, whose percentiles differ no more either."""
LEVEL, LEVEL_PARTS = 24, 0.7
"""Largest difference of a plate's pixels from their median, of 255 grey values, and the least share that is as near."""
STEP = 24
"""Least step from a plate down to what lies around it, of 255 grey values."""
LETTER = 1
"""Half the width, in pixels, up to which dark strokes are letters."""
TEXT = 13
"""Width, in pixels, up to which gaps of an even region are closed: letters on a plate."""
STRIP_PARTS, WIDEST_STRIP = 0.15, 0.4
"""Least share of each line of a strip that plates take, and the largest share of the picture that the strip takes."""
RIM = 4
"""Distance, in pixels, at which an even region ends before its edge."""
SMALLEST = 0.0075
"""Least share of the picture that a plate takes."""
LARGEST = 0.6
"""Largest share of the picture that a plate takes."""
STRAIGHT = 0.75
"""Least share of a plate's edge, inside the picture, that runs along rows or columns."""
SHORTEST_PIECE = 0.05
"""Share of the picture's shorter side from which a piece of that edge counts."""
DARKER_PARTS = 50
"""Percentage of what lies around a plate that is darker than it: another plate may lie beside it."""
HOLE = 0.01
"""Share of a region's part of the picture below which a hole is text."""
RING, ROUNDED = 0.98, 0.12
"""A frame with round corners takes such a share of all four sides, and of its edge so much is straight each way."""
SLANT = 0.1
"""Largest inclination of a straight piece of the edge."""
DARK = 2
"""Percentile of the pixels outside plates that is the grey value of the air."""
MOST_PLATES = 6
"""Largest number of plates apart from each other: a test card has more."""
MIN_SIDE = 32
"""Rows and columns of a picture in which a plate is looked for."""


class Scale(NamedTuple):
    """Sizes in the pixels of a picture, and how much brighter, how large and how straight a plate is at least."""

    rim: int
    blur: int
    text: int
    step: float
    smallest: float
    straight: float
    thin: bool
    """Whether a region may be one that is so thin along a side that all of its edge counts as the picture's."""


FINE = Scale(rim=RIM, blur=5, text=TEXT, step=STEP, smallest=SMALLEST, straight=STRAIGHT, thin=False)
COARSE = Scale(
    rim=RIM // 2, blur=3, text=TEXT // 2, step=0.6 * STEP, smallest=0.8 * SMALLEST, straight=0.6 * STRAIGHT, thin=True
)
"""Of the picture at half its size, where whatever may be a plate is kept."""


class BrightRegion(NamedTuple):
    """A region in a part of a picture, and the smoothed grey values there."""

    near: Near
    region: Region
    smooth: Grey


def without_plates(picture: Picture) -> Picture:
    """Return the (rows, cols) picture with its bright plates as dark as its air; the picture itself if it has none."""
    plates = plate_mask(picture)
    return picture if plates is None else darkened(picture, plates)


def darkened(picture: Picture, plates: Mask) -> Picture:
    """Return the (rows, cols) picture with its plates as dark as its air."""
    return np.where(plates, np.percentile(picture[~plates][::7], DARK).astype(np.float32), picture)


def plate_mask(picture: Picture) -> Mask | None:
    """Return where the bright plates of a (rows, cols) picture of any grey scale are; None: it has none."""
    low, high = float(picture.min()), float(picture.max())
    if min(picture.shape) < MIN_SIDE or high - low < 1e-6:
        return None
    grey = ((picture - low) * (255 / (high - low))).astype(np.uint8)
    half = np.asarray(
        cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8
    )
    if not any(_plates(half, COARSE)):  # so it is with nearly every picture
        return None
    plates = np.zeros(picture.shape, bool)
    for near, region in _plates(grey, FINE):
        plates[near] |= cv2.dilate(region, square(RIM)) > 0
    count = cv2.connectedComponents(plates.astype(np.uint8))[0] - 1
    return plates if 0 < count <= MOST_PLATES and not plates.all() else None


def _plates(grey: Grey, scale: Scale) -> Iterator[tuple[Near, Region]]:
    """Yield the plates, each in a part of the picture."""
    for near, region, smooth in _bright_regions(grey, scale):
        filled = _filled(_of_one_level(region, smooth), scale)
        if _stands_out(filled, smooth, scale) and _has_straight_edges(filled, _sides(near, grey.shape), scale):
            yield near, filled


def plate_border(picture: Picture, plates: Mask) -> Border | None:
    """Return the narrowest strip of a side with plates and nothing else but even air; None: there is no such strip.

    `picture` and `plates` are (rows, cols), of any grey scale.
    """
    low, high = float(picture.min()), float(picture.max())
    smooth = cv2.medianBlur(((picture - low) * (255 / (high - low))).astype(np.uint8), 5)
    borders: list[tuple[float, Border]] = []
    for side, lines, plate in zip(SIDES, from_each_side(smooth), from_each_side(plates), strict=True):
        of_plates = plate.mean(axis=1) >= STRIP_PARTS
        depth = 0 if of_plates.all() else int(np.argmin(of_plates))
        share = depth / len(lines)
        if depth > 2 * RIM and share <= WIDEST_STRIP and _is_even_but_for(plate[: depth - 2 * RIM], lines):
            first, last = np.flatnonzero(plate[depth // 2])[[0, -1]] / plate.shape[1]
            borders.append((share, Border(side, depth, bright=True, seen=(float(first), float(last)), exact=False)))
    return min(borders, default=(0.0, None))[1]


def _is_even_but_for(plate: Mask, lines: Grey) -> bool:
    """Say whether the first lines are of one grey value beside the plate that lies in them."""
    rest = lines[: len(plate)][~plate]
    return not rest.size or int(rest.max()) - int(rest.min()) <= EVEN


def _bright_regions(grey: Grey, scale: Scale) -> Iterator[BrightRegion]:
    """Yield the even regions that touch a side, are of a plate's size, and stand out: first the flat ones."""
    smooth = np.asarray(cv2.medianBlur(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, square(LETTER)), scale.blur), np.uint8)
    bright = smooth >= np.percentile(smooth[::4, ::4], DARK) + scale.step
    change = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, square(1))
    margin = 2 * scale.rim + 1
    for most in (FLAT, EVEN):
        even = (bright & (change <= most)).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(even, connectivity=4)
        for label in _candidates(np.asarray(stats), grey.shape, scale):
            left, top, width, height = stats[label, :4].tolist()
            rows = slice(max(0, top - margin), top + height + margin)
            cols = slice(max(0, left - margin), left + width + margin)
            region = (labels[rows, cols] == label).astype(np.uint8)
            if _stands_out(region, smooth[rows, cols], scale):
                yield BrightRegion((rows, cols), region, smooth[rows, cols])


def square(reach: int) -> NDArray[np.uint8]:
    """Return a structuring element that reaches so many pixels to every side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _candidates(stats: NDArray[Any], shape: tuple[int, ...], scale: Scale) -> list[int]:
    """Return the labels of the even regions that touch a side and are neither too small nor too large."""
    left, top, width, height, area = stats.T
    rows, cols = shape
    rim = scale.rim
    touches = (left <= rim) | (top <= rim) | (left + width >= cols - rim) | (top + height >= rows - rim)
    fits = touches & (area >= scale.smallest * rows * cols) & (area <= LARGEST * rows * cols)
    fits[0] = False  # what is not even
    return np.flatnonzero(fits).tolist()


def _sides(near: Near, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ((left, top), (right, bottom)), where the picture's sides lie in pixels of a part of it."""
    rows, cols = near
    first = np.array([cols.start, rows.start], np.float64)
    return np.stack([-first, np.array([shape[1] - 1, shape[0] - 1]) - first])


def _of_one_level(region: Region, smooth: Grey) -> Region:
    """Return the piece of a region about as bright as most of it: a plate may run into bright tissue.

    It is the region itself where that would be only a slice of it, as it is of a ramp.
    """
    level = np.float32(np.median(smooth[region > 0]))
    alike = (region > 0) & (np.abs(smooth - level) <= LEVEL)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(alike.astype(np.uint8), connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < LEVEL_PARTS * np.count_nonzero(region):
        return region
    return (labels == largest).astype(np.uint8)


def _filled(region: Region, scale: Scale) -> Region:
    """Return a region without its gaps and small holes; what lies beside the picture belongs to it."""
    text = scale.text
    padded = cv2.copyMakeBorder(region, text, text, text, text, cv2.BORDER_REPLICATE)
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square(text // 2)), np.uint8)[text:-text, text:-text]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < HOLE * region.size
    small[0] = True  # the region itself
    return small[np.asarray(labels, np.intp)].astype(np.uint8)


def _stands_out(region: Region, smooth: Grey, scale: Scale) -> bool:
    """Say whether a region is brighter than most of what lies around it, or flat, as no tissue is."""
    if np.ptp(np.percentile(smooth[region > 0], FLAT_PARTS)) <= FLAT:
        return True
    around = (cv2.dilate(region, square(2 * scale.rim)) > 0) & (cv2.dilate(region, square(scale.rim + 1)) == 0)
    level = np.median(smooth[region > 0])
    return bool(around.any() and level - np.percentile(smooth[around], DARKER_PARTS) >= scale.step)


def _has_straight_edges(region: Region, sides: NDArray[np.float64], scale: Scale) -> bool:
    """Say whether enough of a region's edge is straight along rows or columns, or it is a frame with round corners."""
    contours, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lengths = [_edge_lengths(np.asarray(contour), sides, scale.rim) for contour in contours]
    edge, across, along = np.sum(lengths, axis=0).tolist()
    if (edge or scale.thin) and across + along >= scale.straight * edge:
        return True
    rings = all(line.mean() > RING for line in (region[0], region[-1], region[:, 0], region[:, -1]))
    whole = bool(((sides[0] == 0) & (sides[1] + 1 == region.shape[::-1])).all())
    return whole and rings and min(across, along) >= ROUNDED * edge


def _edge_lengths(contour: NDArray[Any], sides: NDArray[np.float64], rim: int) -> tuple[float, float, float]:
    """Return the length of a contour inside the picture, and of its straight pieces along rows and along columns."""
    corners = cv2.approxPolyDP(contour, 2.5, closed=True)[:, 0].astype(np.float64)
    steps = np.roll(corners, -1, axis=0) - corners  # (corner, xy)
    middles, lengths = corners + steps / 2, np.hypot(*steps.T)
    beside = (middles <= sides[0] + rim + 1) | (middles >= sides[1] - rim - 1)
    inside = ~(beside & (np.abs(steps) <= rim + 2)).any(axis=1)
    long = inside & (lengths >= SHORTEST_PIECE * np.min(sides[1] - sides[0]))
    across, along = (long & (np.abs(step) <= SLANT * lengths + 1) for step in (steps[:, 1], steps[:, 0]))
    return float(lengths[inside].sum()), float(lengths[across].sum()), float(lengths[along].sum())
