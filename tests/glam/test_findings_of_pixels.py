"""Every code that preparation may add: a view that plants it, and plain views that trip none."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.findings import CODES
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.phantom.options import Difficulty
from glam.prepare import prepare
from glam.view import WHITE, View

OPTIONS = PhantomOptions(px_mm=0.48)
PAIR = draw_pair(1, OPTIONS)
CC, MLO = view_of(PAIR.cc, FrameConfig()), view_of(PAIR.mlo, FrameConfig())
WITHOUT_MUSCLE = view_of(draw_pair(5, replace(OPTIONS, difficulty=Difficulty(no_muscle=1.0))).mlo, FrameConfig())


def with_pixels(view: View, change: Callable[[np.ndarray], np.ndarray], **changes: object) -> View:
    return replace(view, pixels=np.ascontiguousarray(change(view.pixels)), **changes)  # type: ignore[arg-type]


def smooth(view: str = "CC", shift: int = 0, depth: int = 300) -> View:
    """A breast without nipple and muscle."""
    y, x = np.mgrid[:600, :500] + 0.5
    inside = ((x - shift) / depth) ** 2 + ((y - 310) / 250) ** 2 < 1
    grey = (np.where(inside, 0.3 + 0.001 * x, 0) * WHITE).astype(np.uint16)
    return View(pixels=grey, view=view, laterality="L", spacing_mm=(0.4, 0.4))  # type: ignore[arg-type]


def striped(pixels: np.ndarray) -> np.ndarray:
    striped = pixels.copy()
    striped[:6] = WHITE
    return striped


PLANTED: dict[str, View] = {
    "side_conflict": with_pixels(CC, lambda pixels: pixels[:, ::-1]),
    "side_unclear": smooth(shift=250, depth=150),
    "strips_removed": with_pixels(CC, striped),
    "unusual_hanging": replace(CC, laterality="R"),
    "clipped": with_pixels(CC, lambda pixels: pixels[:, : round(0.8 * PAIR.cc.truth.nipple[0])]),
    "second_body": with_pixels(CC, lambda pixels: np.concatenate([pixels, pixels[:, ::-1]], axis=1)),
    "upside_down": with_pixels(MLO, lambda pixels: pixels[::-1], orientation=None),
    "axis_from_nipple": WITHOUT_MUSCLE,
    "no_pectoral_line": smooth("MLO"),
    "no_nipple": smooth(),
    "odd_size": replace(CC, spacing_mm=(0.02, 0.02)),
    "length_as_scale": replace(CC, spacing_mm=None),
    "outside_square": replace(CC, spacing_mm=(160 / PAIR.cc.truth.nipple[0],) * 2),
}


def codes(view: View) -> set[str]:
    return {found.code for found in prepare(view, FrameConfig(size=126)).findings}


@pytest.mark.parametrize("code", PLANTED)
def test_a_view_trips_the_code_that_was_planted(code: str) -> None:
    assert code in CODES
    assert code in codes(PLANTED[code])


@pytest.mark.parametrize("seed", range(3))
def test_plain_views_trip_none(seed: int) -> None:
    pair = draw_pair(seed, OPTIONS, laterality="R" if seed % 2 else "L")
    assert codes(view_of(pair.cc, FrameConfig())) == codes(view_of(pair.mlo, FrameConfig())) == set()
