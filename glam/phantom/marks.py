"""What lies on a mammogram beside the breast: a view label in the air, bright strips along the borders."""

import numpy as np

from glam.phantom.exposure import MAX_STORED
from glam.phantom.options import PhantomOptions, Seed, Stream, ViewName, stream

_GLYPHS = {  # five rows of three dots
    "L": ("#..", "#..", "#..", "#..", "###"),
    "C": ("###", "#..", "#..", "#..", "###"),
    "M": ("#.#", "###", "###", "#.#", "#.#"),
    "O": ("###", "#.#", "#.#", "#.#", "###"),
}
_DOT_MM = 2.0
_STRIP_MM = (1.0, 4.0)
_MARKS: dict[ViewName, Stream] = {"CC": Stream.MARKS_CC, "MLO": Stream.MARKS_MLO}


def add_marks(image: np.ndarray, view: ViewName, seed: Seed, options: PhantomOptions) -> None:
    """Draw into a left image (rows, cols) what the difficulty asks for."""
    rng = stream(seed, _MARKS[view])
    label, strip = rng.random(2) < options.difficulty.marks
    border, width, place = rng.random(3).tolist()
    if label:
        _add_label(image, f"L{view}", place, options.px_mm)
    if strip:
        depth = round((_STRIP_MM[0] + width * (_STRIP_MM[1] - _STRIP_MM[0])) / options.px_mm)
        strips = (np.s_[:depth], np.s_[-depth:], np.s_[:, -depth:])
        image[strips[int(3 * border)]] = np.uint16(0.85 * MAX_STORED)


def _add_label(image: np.ndarray, text: str, place: float, px_mm: float) -> None:
    """Write near the border away from the chest wall, in the upper or lower quarter, where a technologist puts it."""
    dots = np.concatenate([np.pad(_glyph(letter), ((0, 0), (0, 1))) for letter in text], axis=1)
    size = max(1, round(_DOT_MM / px_mm))
    letters = np.kron(dots, np.ones((size, size), bool))  # (5 size, 4 letters size)
    rows, cols = image.shape
    top = round((0.04 + 0.1 * place if place < 0.5 else 0.8 + 0.1 * place) * rows)
    left = cols - letters.shape[1] - round(4 / px_mm)
    image[top : top + letters.shape[0], left : left + letters.shape[1]][letters] = MAX_STORED


def _glyph(letter: str) -> np.ndarray:
    return np.array([[dot == "#" for dot in row] for row in _GLYPHS[letter]])
