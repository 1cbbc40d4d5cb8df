"""Black boxes in grey air: made as bright as the air, and nothing else taken for one."""

from dataclasses import replace

import numpy as np
import pytest

from glam.anatomy.boxes import without_boxes
from glam.config import FrameConfig
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.prepare import prepare
from glam.reading.read import read_view
from glam.reading.tissue import is_inverted
from glam.view import WHITE
from tests.samples.mammograms import file_of

PAIR = draw_pair(3, PhantomOptions(px_mm=0.48), laterality="L")
CONFIG = FrameConfig(size=126)
SHAPES = ("box", "triangle", "arc", "bottom", "two boxes", "off the sides", "over the muscle", "ragged edge")


def black_parts(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Masks of a name that was blacked out, of collimator corners, and of padding."""
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    return {
        "box": (y < 0.08) & (x > 0.7),
        "triangle": x - y > 0.7,
        "arc": np.hypot(0.8 * (x - 0.4), y - 0.5) > 0.62,
        "bottom": (y > 0.9) & (x > 0.4),
        "two boxes": (np.abs(y - 0.5) > 0.4) & (x > 0.75),
        "off the sides": (np.abs(y - 0.08) < 0.04) & (np.abs(x - 0.8) < 0.15),
        "over the muscle": (y < 0.04) & (x < 0.3),
        "ragged edge": x > 0.985 + 0.006 * np.sin(40 * y),
    }


def grey_air(view: str, level: float) -> np.ndarray:
    return np.maximum(view_of(getattr(PAIR, view), FrameConfig()).pixels, np.uint16(level * WHITE))


@pytest.mark.parametrize("view", ["cc", "mlo"])
@pytest.mark.parametrize("level", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_black_part_of_the_air_moves_nothing(view: str, level: float, shape: str) -> None:
    plain = replace(view_of(getattr(PAIR, view), FrameConfig()), pixels=grey_air(view, level))
    pixels = plain.pixels.copy()
    pixels[black_parts(pixels.shape)[shape]] = 0
    alone, covered = prepare(plain, CONFIG), prepare(replace(plain, pixels=pixels), CONFIG)
    assert alone.anatomy is not None
    assert covered.anatomy is not None
    assert plain.spacing_mm is not None
    assert np.hypot(*np.subtract(covered.anatomy.nipple, alone.anatomy.nipple)) * plain.spacing_mm[0] < 1.0
    assert not is_inverted(pixels)
    assert is_inverted(WHITE - pixels)


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_darker_than_the_air_is_air(shape: str) -> None:
    pixels = np.rint(grey_air("cc", 0.05) / WHITE * 4095).astype(np.uint16)
    part = black_parts(pixels.shape)[shape]
    spacing = [0.48, 0.48]
    alone = prepare(read_view(file_of(pixels, ImagerPixelSpacing=spacing), CONFIG), CONFIG)
    pixels[part] = 4095
    covered = prepare(read_view(file_of(pixels, PixelPaddingValue=4095, ImagerPixelSpacing=spacing), CONFIG), CONFIG)
    assert alone.anatomy is not None
    assert covered.anatomy is not None
    assert np.hypot(*np.subtract(covered.anatomy.nipple, alone.anatomy.nipple)) * 0.48 < 1.0


@pytest.mark.parametrize("view", ["cc", "mlo"])
def test_a_box_becomes_air_and_the_rest_stays(view: str) -> None:
    picture = grey_air(view, 0.05).astype(np.float32)
    air = picture.min()
    part = black_parts(picture.shape)["box"]
    covered = np.where(part, np.float32(0), picture)
    lifted = without_boxes(covered)
    np.testing.assert_array_equal(lifted[part], air)
    np.testing.assert_array_equal(lifted[~part], picture[~part])


@pytest.mark.parametrize("view", ["cc", "mlo"])
def test_a_box_beside_a_small_breast_becomes_air(view: str) -> None:
    picture = grey_air(view, 0.05).astype(np.float32)
    rows, cols = picture.shape
    picture = np.pad(picture, ((rows // 2, rows // 2), (0, 2 * cols)), constant_values=picture.min())
    covered = picture.copy()
    covered[:200, -400:] = 0
    np.testing.assert_array_equal(without_boxes(covered), picture)


def test_noise_in_the_air_hides_no_box() -> None:
    picture = grey_air("mlo", 0.05).astype(np.float32)
    picture += np.random.default_rng(0).normal(0, 0.002 * WHITE, picture.shape).astype(np.float32)
    part = black_parts(picture.shape)["box"]
    lifted = without_boxes(np.where(part, np.float32(0), picture))
    np.testing.assert_allclose(lifted[part], 0.05 * WHITE, rtol=0.02)


def test_black_air_and_a_dark_cyst_are_no_boxes() -> None:
    y, x = np.mgrid[:400, :300]
    breast = np.where(np.hypot(x, y - 200) < 150, np.float32(0.5), np.float32(0))
    cyst = np.where(np.hypot(x - 60, y - 200) < 30, np.float32(0), np.float32(0.5))
    fatty = breast * np.float32(0.3) + np.where(breast > 0, np.float32(0.02) * np.sin(x + 2 * y), 0).astype(np.float32)
    fatty[180:220, :40] = 1
    for picture in (breast, cyst, fatty, np.zeros((400, 300), np.float32), breast[:20, :20]):
        assert without_boxes(picture) is picture
