"""Points on two axes, coloured by group: panels side by side, each with its legend below."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from glam.drawing.paint import AMBER, GREY, GROUND, LIGHT, RULE, Colour, TextColumn, fitted, font, heat_colours
from glam.drawing.sheet import Plate, draw_row
from glam.prediction import NOTICE

SIDE, EDGE, SMOOTH = 560, 22, 2
MARGIN, HEADER = 40, 112
DOT_PX, RING_PX = 2.6, 8.0
KINDS: tuple[Colour, ...] = (
    *((86, 180, 233), (230, 159, 0), (0, 190, 140), (240, 228, 66), (204, 121, 167), (213, 94, 0), (120, 140, 255)),
)
"""Colours of groups without an order, which colour-blind eyes tell apart (after Okabe and Ito, 2008)."""
OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What the points of a panel are coloured by."""

    title: str
    groups: np.ndarray
    """(point,) of names."""
    order: Sequence[str] | None = None
    """Of groups that have one, from least to most. None: the largest group comes first."""


def draw_scatter(
    points: np.ndarray, groupings: Sequence[Grouping], *, title: str, notes: Sequence[str], rings: np.ndarray
) -> Image.Image:
    """Draw (point, 2) once for each grouping. `rings`: (ring, 2), places that are marked in every panel."""
    row = draw_row([_plate(points, grouping, rings) for grouping in groupings])
    width = max(row.width + 2 * MARGIN, 1240)
    foot = TextColumn(Image.new("RGB", (width - 2 * MARGIN, 1200), GROUND))
    for note in notes:
        foot.text(note, GREY, size=20, gap=4)
    sheet = Image.new("RGB", (width, HEADER + row.height + 18 + foot.y + MARGIN), GROUND)
    sheet.paste(row, (MARGIN, HEADER))
    sheet.paste(foot.image.crop((0, 0, foot.width, max(foot.y, 1))), (MARGIN, HEADER + row.height + 18))
    draw = ImageDraw.Draw(sheet)
    notice_px = font(28).getbbox(NOTICE.capitalize())[2]
    draw.text((MARGIN, 30), fitted(title, size=32, width=int(width - 3 * MARGIN - notice_px)), LIGHT, font(32))
    draw.text((width - MARGIN, 34), NOTICE.capitalize(), AMBER, font(28), anchor="ra")
    return sheet


def _plate(points: np.ndarray, grouping: Grouping, rings: np.ndarray) -> Plate:
    colours = _colours(grouping)
    of_group = {name: index for index, name in enumerate(colours)}
    groups = np.array([of_group.get(name, of_group.get(OTHERS, 0)) for name in grouping.groups])
    picture = _dots(points, np.array(list(colours.values())).reshape(-1, 3)[groups], rings)
    legend = TextColumn(Image.new("RGB", (SIDE, 34 * (len(colours) + 1)), GROUND))
    legend.y = 12
    for index, (name, colour) in enumerate(colours.items()):
        legend.draw.ellipse([2, legend.y + 6, 16, legend.y + 20], colour)
        count = f"{np.count_nonzero(groups == index):,}"
        legend.draw.text((28, legend.y), fitted(name, size=20, width=SIDE - 140), LIGHT, font(20))
        legend.draw.text((SIDE, legend.y), count, GREY, font(20), anchor="ra")
        legend.y += 30
    whole = Image.new("RGB", (SIDE, SIDE + legend.y), GROUND)
    whole.paste(picture, (0, 0))
    whole.paste(legend.image.crop((0, 0, SIDE, legend.y)), (0, SIDE))
    return Plate(whole, grouping.title, "")


def _colours(grouping: Grouping) -> dict[str, Colour]:
    """Return the colour of each group: light to lighter where they have an order, of their own where they have none."""
    if grouping.order is not None:
        shades = heat_colours(np.linspace(0.12, 1, max(len(grouping.order), 2)))
        return {name: _colour(shade) for name, shade in zip(grouping.order, shades, strict=False)}
    names, counts = np.unique(grouping.groups.astype(str), return_counts=True)
    largest = [str(name) for name in names[np.lexsort((names, -counts))]]
    colours: dict[str, Colour] = dict(zip(largest, KINDS, strict=False))
    return colours if len(largest) <= len(KINDS) else colours | {OTHERS: GREY}


def _colour(shade: np.ndarray) -> Colour:
    red, green, blue = (int(channel) for channel in shade)
    return red, green, blue


def _dots(points: np.ndarray, colours: np.ndarray, rings: np.ndarray) -> Image.Image:
    """Draw points in an order by chance, so that no group lies over the others, and rings over all of them."""
    picture = Image.new("RGB", (SIDE * SMOOTH, SIDE * SMOOTH), GROUND)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, SIDE * SMOOTH - 1, SIDE * SMOOTH - 1], outline=RULE, width=2 * SMOOTH)
    placed = _placed(np.concatenate([points, rings])) * SMOOTH
    for place in np.random.default_rng(0).permutation(len(points)):
        draw.ellipse(_around(placed[place], DOT_PX * SMOOTH), _colour(colours[place]))
    for ring in placed[len(points) :]:
        draw.ellipse(_around(ring, RING_PX * SMOOTH), outline=LIGHT, width=2 * SMOOTH)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _around(centre: np.ndarray, radius: float) -> tuple[float, float, float, float]:
    x, y = (float(value) for value in centre)
    return x - radius, y - radius, x + radius, y + radius


def _placed(points: np.ndarray) -> np.ndarray:
    """Return where points lie in a panel, both axes at one scale: (point, 2) pixels, y downwards."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (SIDE - 2 * EDGE) / max(float((high - low).max()), 1e-9)
    x, y = ((points - (low + high) / 2) * scale).T
    return np.stack([SIDE / 2 + x, SIDE / 2 - y], axis=1)
