"""Strokes of a figure: a grey image at a physical scale, heat and polygons laid over it, text in a column."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glam.frame import Frame

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
GROUND: Colour = (13, 15, 19)
LIGHT: Colour = (240, 242, 245)
GREY: Colour = (160, 167, 178)
RULE: Colour = (58, 63, 73)
QUERY: Colour = (64, 210, 255)
AMBER: Colour = (255, 190, 70)

SMOOTH = 3
LABEL_SIZE = 26

# Violet to yellow by equal steps of CIELAB lightness, 22 to 94: even steps of a value look even, to colour-blind eyes
# as well.
HEAT = np.array(
    [(54, 32, 134), (130, 36, 143), (193, 48, 137), (242, 80, 119), (255, 139, 107), (255, 192, 120), (255, 241, 107)]
)


def heat_colours(values: np.ndarray) -> np.ndarray:
    """Colours (..., 3) uint8 of values in [0, 1]."""
    places = np.clip(values, 0, 1) * (len(HEAT) - 1)
    channels = [np.interp(places, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def heat_opacity(values: np.ndarray) -> np.ndarray:
    """Opacity of values in [0, 1]: nothing at 0, so that what the model does not look at stays grey."""
    return 0.8 * np.clip(values / 0.4, 0, 1)


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the typeface that comes with Pillow; it has no arrows and no long dashes."""
    return ImageFont.load_default(size)


class Stroke(NamedTuple):
    """A line between two points of a panel."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: Colour
    width: float


class Label(NamedTuple):
    """Words at a point of a panel."""

    at: tuple[float, float]
    text: str
    colour: Colour


@dataclass(frozen=True)
class Panel:
    """A view drawn at `scale` (x, y) panel pixels a stored pixel, and what is to be marked on it."""

    image: Image.Image
    scale: tuple[float, float]
    marks: tuple[Stroke | Label, ...] = ()

    def with_heat(self, heat: np.ndarray, frame: Frame, *, top: float) -> "Panel":
        """Lay a (grid, grid) map over the image; `top` is the value of the last colour."""
        values = heat_values(heat, frame, self.image.size, self.scale) / top
        opacity = heat_opacity(values)[..., None]
        mixed = opacity * heat_colours(values) + (1 - opacity) * np.asarray(self.image)
        return replace(self, image=Image.fromarray(mixed.round().astype(np.uint8)))

    def with_outline(self, stored: np.ndarray, colour: Colour, *, width: float = 3) -> "Panel":
        """Mark a closed polygon of stored pixels, with a dark halo."""
        corners = self._points(stored)
        sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
        halo = [Stroke(start, end, BLACK, width + 3) for start, end in sides]
        return replace(self, marks=(*self.marks, *halo, *(Stroke(start, end, colour, width) for start, end in sides)))

    def with_dashes(self, stored: np.ndarray, colour: Colour, *, width: float = 2, dash: float = 11) -> "Panel":
        """Mark a dashed line between two stored pixels (2, 2)."""
        start, end = np.array(self._points(stored))
        length = max(float(np.hypot(*(end - start))), 1.0)
        ends = [
            [start + (end - start) * min(to, length) / length for to in (at, at + dash)] for at in _steps(length, dash)
        ]
        halo = [Stroke((a[0], a[1]), (b[0], b[1]), BLACK, width + 3) for a, b in ends]
        return replace(
            self, marks=(*self.marks, *halo, *(stroke._replace(colour=colour, width=width) for stroke in halo))
        )

    def with_cross(self, stored: tuple[float, float], colour: Colour, *, reach: float = 9) -> "Panel":
        """Mark a stored pixel (x, y)."""
        ((x, y),) = self._points(np.array([stored]))
        strokes = (Stroke((x - reach, y), (x + reach, y), colour, 2), Stroke((x, y - reach), (x, y + reach), colour, 2))
        return replace(
            self, marks=(*self.marks, *(stroke._replace(colour=BLACK, width=5) for stroke in strokes), *strokes)
        )

    def with_label(self, stored: np.ndarray, text: str, colour: Colour) -> "Panel":
        """Write beside a polygon of stored pixels, on the side with room."""
        corners = np.array(self._points(stored))
        width = font(LABEL_SIZE).getbbox(text)[2]
        right = corners[:, 0].max() + 10
        x = right if right + width < self.image.width else max(corners[:, 0].min() - 12 - width, 2)
        y = np.clip(corners[:, 1].mean() - LABEL_SIZE / 2, 2, self.image.height - LABEL_SIZE - 4)
        return replace(self, marks=(*self.marks, Label((float(x), float(y)), text, colour)))

    def picture(self) -> Image.Image:
        """Draw the marks, three times as large and shrunk, for smooth edges."""
        layer = Image.new("RGBA", (self.image.width * SMOOTH, self.image.height * SMOOTH))
        draw = ImageDraw.Draw(layer)
        for mark in self.marks:
            if isinstance(mark, Stroke):
                _draw_stroke(draw, mark)
            else:
                at = mark.at[0] * SMOOTH, mark.at[1] * SMOOTH
                draw.text(at, mark.text, mark.colour, font(LABEL_SIZE * SMOOTH), stroke_width=9, stroke_fill=BLACK)
        small = layer.reduce(SMOOTH)
        picture = self.image.copy()
        picture.paste(small, (0, 0), small)
        return picture

    def _points(self, stored: np.ndarray) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in stored * self.scale]


def _steps(length: float, dash: float) -> np.ndarray:
    return np.arange(0, length, 2 * dash)


def _draw_stroke(draw: ImageDraw.ImageDraw, stroke: Stroke) -> None:
    """Draw a line with round ends, which also join the sides of a polygon."""
    start, end = ((x * SMOOTH, y * SMOOTH) for x, y in (stroke.start, stroke.end))
    width = round(stroke.width * SMOOTH)
    draw.line([start, end], stroke.colour, width)
    for x, y in (start, end):
        draw.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], stroke.colour)


def heat_values(heat: np.ndarray, frame: Frame, size: tuple[int, int], scale: tuple[float, float]) -> np.ndarray:
    """Values (height, width) of a (grid, grid) map on a picture of `size` (width, height); 0 outside the square.

    `scale`: picture pixels a stored pixel, (x, y).
    """
    cols, rows = np.meshgrid(*(np.arange(length) + 0.5 for length in size))
    stored = np.stack([cols.ravel() / scale[0], rows.ravel() / scale[1]], -1)
    square = frame.to_square(stored)
    inside = ((square >= 0) & (square <= (frame.width, frame.height))).all(-1)
    x, y = (square * len(heat) / (frame.width, frame.height) - 0.5).T  # in patches, centre of patch i at i
    return np.where(inside, bilinear(heat, x, y), 0).reshape(rows.shape)


def bilinear(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a grid at (x, y), centre of cell i at i; the border is continued."""
    x, y = (np.clip(axis, 0, length - 1) for axis, length in ((x, grid.shape[1]), (y, grid.shape[0])))
    left, above = (
        np.minimum(axis.astype(int), length - 2) for axis, length in ((x, grid.shape[1]), (y, grid.shape[0]))
    )
    dx, dy = x - left, y - above
    upper = grid[above, left] * (1 - dx) + grid[above, left + 1] * dx
    lower = grid[above + 1, left] * (1 - dx) + grid[above + 1, left + 1] * dx
    return upper * (1 - dy) + lower * dy


def grey_panel(pixels: np.ndarray, scale: tuple[float, float], window: tuple[float, float]) -> Panel:
    """Draw an image (rows, cols) in grey, `window` (low, high) from black to white."""
    low, high = window
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    size = max(round(pixels.shape[1] * scale[0]), 1), max(round(pixels.shape[0] * scale[1]), 1)
    image = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    return Panel(image.convert("RGB"), (size[0] / pixels.shape[1], size[1] / pixels.shape[0]))


@dataclass
class TextColumn:
    """Text from top to bottom of an image; `y` is where the next line goes."""

    image: Image.Image
    y: int = 0

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        """Draw on the image."""
        return ImageDraw.Draw(self.image)

    @property
    def width(self) -> int:
        """Width of the image."""
        return self.image.width

    def text(self, text: str, colour: Colour = LIGHT, *, size: int = 21, gap: int = 0) -> None:
        """Write a paragraph, broken into lines that fit, and leave a gap below."""
        for line in wrapped(text, size=size, width=self.width):
            self.draw.text((0, self.y), line, colour, font(size))
            self.y += round(size * 1.35)
        self.y += gap

    def heading(self, text: str, note: str = "") -> None:
        """Write a heading, a grey note behind it, a rule below."""
        self.y += 22 if self.y else 0
        self.draw.text((0, self.y), text, LIGHT, font(27))
        if note:
            self.draw.text((self.width, self.y + 5), note, GREY, font(20), anchor="ra")
        self.y += 36
        self.draw.line([(0, self.y), (self.width, self.y)], RULE, 2)
        self.y += 10

    def bar(self, label: str, share: float, *, strong: bool) -> None:
        """Write a probability: its name and number, a bar below."""
        colour = LIGHT if strong else GREY
        self.draw.text((0, self.y), fitted(label, size=22, width=self.width - 92), colour, font(22))
        self.draw.text((self.width, self.y), f"{100 * share:.1f} %", colour, font(22), anchor="ra")
        self.y += 29
        self.draw.rectangle([0, self.y, self.width - 1, self.y + 7], RULE)
        if share >= 0.001:
            self.draw.rectangle([0, self.y, round((self.width - 1) * share), self.y + 7], colour)
        self.y += 15


def wrapped(text: str, *, size: int, width: int) -> list[str]:
    """Break a text at blanks into lines of at most `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getbbox(longer)[2] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fitted(text: str, *, size: int, width: int) -> str:
    """Return the text, its end cut off where it is longer than `width` pixels."""
    if font(size).getbbox(text)[2] <= width:
        return text
    while text and font(size).getbbox(f"{text}...")[2] > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
