"""The exposed field of an image: what lies inside even borders, such as a lit scanner plate or a collimated margin.

A border is a run of even lines along a side of the picture that ends at a straight edge. Air before a breast is even
too, but the skin, where it ends, is curved.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.border import SIDES, Border, to_a_pixel
from glam.anatomy.boxes import without_boxes
from glam.anatomy.breast import Picture, averaged, shrink_factors, small
from glam.anatomy.margins import drawn_margins
from glam.anatomy.plates import darkened, plate_border, plate_mask
from glam.view import Field

BLOCKS = 32
"""Number of parts of a line by whose means it is judged."""
EVEN = 0.06
"""Distance of the parts of an even line from one straight ramp, as a share of the picture's range."""
EVEN_PARTS = 0.75
"""Least share of a line's parts within that distance; a label or the border of another side may take the others."""
EVEN_LINES = 0.9
"""Least share of a border's lines that are even."""
STEP = 0.08
"""Change of a part's grey value over two lines that counts as an edge, as a share of the picture's range."""
EDGE_PARTS = 0.65
"""Least share of the parts that change along one straight edge."""
BRIGHT_EDGE_PARTS = 0.4
"""The same where all of them darken from the border inward; the flat front of a breast brightens."""
FAINT_STEP, FAINT_EDGE_PARTS, FLAT = 0.03, 0.6, 0.015
"""A collimated margin may be hardly darker than the air, but it and the air are flat up to the edge."""
THIN, THIN_EDGE_PARTS = 0.03, 0.75
"""Up to this share of the picture a border is thin, and needs so many parts: the glow of a film ends in fewer."""
MOST_GROWTH = 0.12
"""Largest share of the parts that change further inside only, as they do behind a skin line and not behind an edge."""
GROWN = 0.2
"""Least change of such a part, as a share of the picture's range."""
GROWTH_DEPTHS = (0.012, 0.1)
"""Distances just behind an edge and further inside, as shares of all lines."""
EDGE_WIDTH = 1 / 128
"""Width of an edge, as a share of all lines; at least one line."""
LONG_SIDE = 256
"""About how many rows or columns the picture has in which borders are looked for; a strip of one, longer than 8 times
its width, has more, so that its width has BLOCKS."""
SLOPES = np.linspace(-0.04, 0.04, 9)
"""Inclinations of an edge, in lines a line."""
DEEPEST = 0.4
"""Largest share of the picture that a border takes."""
ROUNDS = 12
"""Largest number of borders taken off one after the other: four sides, and borders within borders."""
MIN_SIDE = 32
"""Least rows and columns of a picture in which a border is looked for."""


class _Edge(NamedTuple):
    """The lines between which the edge of a border runs."""

    first: int
    last: int


class SmallField(NamedTuple):
    """The small picture of an image's field."""

    picture: Picture
    field: Field
    """In pixels of the image itself."""
    factors: tuple[int, int]
    """How many of the image's rows and columns make a pixel of the picture."""


def has_border(picture: NDArray[Any]) -> bool:
    """Return whether a (rows, cols) picture of any grey scale has a border along a side."""
    return _widest_border(picture) is not None


def small_field(image: NDArray[Any], known: Field | None = None, *, aspect: float = 1.0) -> SmallField:
    """Return the small picture of what lies inside an image's borders: the same as of an image without any.

    Margins that a program drew go first, then the widest border, to a stored pixel, then the rest; of plates over a
    part of a side, the strip of that side where else nothing is, and the others are made dark; black boxes are made as
    bright as the air. Nothing outside `known` is looked at. `aspect` is the distance of the image's rows over that of
    its columns.
    """
    field, plates = _without_margins(known or whole_field(image), image), None
    picture = small(field.crop(image))
    for _ in range(ROUNDS):
        border = _widest_border(picture)
        if border is None:
            averaged_picture, picture = picture, without_boxes(picture)
            field = field._replace(exact=field.exact and picture is averaged_picture)
            plates = plate_mask(picture)
            border = None if plates is None else plate_border(picture, plates)
        if border is None:
            break
        field = _without_margins(_inside(field, to_a_pixel(border, field.crop(image))), image)
        picture, plates = small(field.crop(image)), None
    part = field.crop(image)
    factors = shrink_factors(part.shape, aspect)
    if aspect != 1:
        picture = without_boxes(np.asarray(averaged(part, *factors), np.float32))
        plates = plate_mask(picture)
    if plates is not None:
        picture, field = darkened(picture, plates), field._replace(bright_border=True, exact=False)
    return SmallField(picture, field, factors)


def _without_margins(field: Field, image: NDArray[Any]) -> Field:
    """Return the part of an image's field inside the margins that a program drew, and others within those."""
    for _ in SIDES:
        margins = tuple(drawn_margins(field.crop(image)))
        if not margins:
            break
        for margin in margins:
            field = _inside(field, margin)
    return field


def _inside(field: Field, border: Border) -> Field:
    """Return the part of a field inside one more border."""
    top, bottom, left, right = (border.depth if border.side == side else 0 for side in SIDES)
    return Field(
        slice(field.rows.start + top, field.rows.stop - bottom),
        slice(field.cols.start + left, field.cols.stop - right),
        field.bright_border or border.bright,
        field.dark_border or not border.bright,
        field.exact and border.exact,
    )


def whole_field(image: NDArray[Any]) -> Field:
    """Return the field of an image without borders."""
    rows, cols = image.shape
    return Field(slice(0, rows), slice(0, cols))


def _widest_border(picture: NDArray[Any]) -> Border | None:
    """Return the widest border of a (rows, cols) picture of any grey scale; None: it has none."""
    if min(picture.shape) < MIN_SIDE:
        return None
    every = max(1, min(round(max(picture.shape) / LONG_SIDE), min(picture.shape) // BLOCKS))
    sparse = picture[::every, ::every].astype(np.float32)
    low, high = (float(value) for value in np.percentile(sparse[::2, ::2], (1, 99)))
    if high - low < 1e-6:
        return None
    scaled = np.clip((sparse - np.float32(low)) / np.float32(high - low), 0, 1)
    rows, cols = _line_parts(scaled), _line_parts(scaled.T)
    borders = [_border(side, lines) for side, lines in zip(SIDES, (rows, rows[::-1], cols, cols[::-1]), strict=True)]
    widest = max(borders, key=lambda border: border.depth)
    return widest._replace(depth=every * widest.depth) if widest.depth else None


def _line_parts(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (line, block) means of the rows of a picture."""
    width = part.shape[1] // BLOCKS
    whole = np.ascontiguousarray(part[:, : width * BLOCKS])
    return np.asarray(cv2.resize(whole, (BLOCKS, len(part)), interpolation=cv2.INTER_AREA), np.float32)


def _border(side: str, lines: NDArray[np.float32]) -> Border:
    """Return which of the first (line, block) lines are a border: those before the first straight edge across them."""
    edge = _first_edge(lines)
    if edge is None or (edge.first and _are_even(lines[: edge.first]).mean() < EVEN_LINES) or _grows(lines, edge):
        return Border(side, 0, bright=False)
    step = lines[edge.first : edge.last] - lines[edge.first + 2 : edge.last + 2]
    bright = bool(np.median(step[np.abs(step) > FAINT_STEP]) > 0)
    return Border(side, edge.last + 1, bright=bright)


def _first_edge(lines: NDArray[np.float32]) -> _Edge | None:
    """Return between which (line, block) lines enough blocks change along one straight, perhaps inclined edge."""
    deepest, width = int(DEEPEST * len(lines)), max(1, round(EDGE_WIDTH * len(lines)))
    step = lines[:deepest] - lines[2 : deepest + 2]  # (line, block)
    flat = np.abs(lines[:-2] - lines[2:]) < FLAT
    before, behind = np.pad(flat, ((2, 0), (0, 0)), constant_values=True)[:deepest], flat[2 : deepest + 2]
    kinds = (
        (step > STEP, BRIGHT_EDGE_PARTS),
        (np.abs(step) > STEP, EDGE_PARTS),
        ((np.abs(step) > FAINT_STEP) & before & behind, FAINT_EDGE_PARTS),
    )
    inclined = np.rint(np.outer(SLOPES * len(lines) / BLOCKS, np.arange(BLOCKS) - BLOCKS / 2)).astype(np.intp)
    reach = int(np.ptp(inclined)) + width
    kinds = [(where, parts) for where, parts in kinds if _near(where, reach).mean(axis=1).max() >= parts]
    if not kinds:
        return None  # as for most pictures: not even within all the lines that an edge may touch
    places = np.clip(np.arange(deepest)[:, None, None] + inclined, 0, deepest - 1)  # (line, slope, block)
    thin = np.arange(deepest)[:, None] < THIN * len(lines)
    votes = np.maximum.reduce(
        [
            _near(where, width)[places, np.arange(BLOCKS)].mean(axis=2) / np.where(thin, THIN_EDGE_PARTS, parts)
            for where, parts in kinds
        ]
    )  # (line, slope)
    if not len(edges := np.flatnonzero(votes.max(axis=1) >= 1)):
        return None
    line = int(edges[0])
    line += int(np.argmax(votes[line : line + width + 1].max(axis=1)))
    edge = places[line, int(np.argmax(votes[line]))]  # (block,)
    return _Edge(int(edge.min()), min(int(edge.max()) + width, deepest))


def _near(where: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return where one of so many (line, block) lines, from each on, is True."""
    padded = np.pad(where, ((0, width - 1), (0, 0)))
    return np.logical_or.reduce([padded[start : start + len(where)] for start in range(width)])


def _grows(lines: NDArray[np.float32], edge: _Edge) -> bool:
    """Whether a good part of a line differs from that before an edge not just behind the edge, but further inside."""
    soon, later = (min(edge.last + 1 + round(share * len(lines)), len(lines) - 1) for share in GROWTH_DEPTHS)
    near, far = (np.abs(lines[line] - lines[max(edge.first - 1, 0)]) for line in (soon, later))
    return bool(np.mean((near < FAINT_STEP) & (far > GROWN)) > MOST_GROWTH)


def _are_even(lines: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of the (line, block) lines are a straight ramp, but for some of their parts."""
    half = BLOCKS // 2
    slope = np.median(lines[:, half:] - lines[:, :half], axis=1, keepdims=True) / half
    rest = lines - slope * np.arange(BLOCKS, dtype=np.float32)
    rest -= np.median(rest, axis=1, keepdims=True)
    return (np.abs(rest) < EVEN).mean(axis=1) >= EVEN_PARTS
