import numpy as np
import pytest

from glam.anatomy import breast
from glam.anatomy.chest_side import chest_wall_side
from glam.anatomy.nipple import chest_nipple_axis, find_nipple
from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.options import PhantomOptions
from glam.phantom.pair import draw_pair


def half_ellipse(rows: int = 512, cols: int = 400, background: float = 0.0) -> np.ndarray:
    """A breast against the left edge, 200 px deep and 320 px high, with a nipple at its tip."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    depth = 1 - (x / 200) ** 2 - ((y - rows / 2) / 160) ** 2
    nipple = (np.hypot(x - 202, y - rows / 2) < 10) * 0.3
    return np.maximum(np.where(depth > 0, 0.4 + 0.4 * depth, nipple), background).astype(np.float32)


def overlap(mask: np.ndarray, expected: np.ndarray) -> float:
    return float((mask & expected).sum() / (mask | expected).sum())


def test_a_clean_breast_is_masked_with_its_nipple() -> None:
    picture = half_ellipse()
    mask = breast.breast_mask(picture).mask
    assert overlap(mask, picture > 0) > 0.98
    assert mask[256, 208]


def test_strips_labels_glow_dust_and_noise_are_left_out() -> None:
    clean = half_ellipse()
    picture = half_ellipse(background=0.05)
    picture += np.random.default_rng(0).normal(0, 0.01, picture.shape).astype(np.float32)
    picture[:7] = picture[-9:] = 0.95
    picture[:, :2] = 0.9
    picture[:, -4:] = 1.0
    picture[60:90, 250:330] = 0.9
    picture[400:404, 300:304] = 1.0
    glow = np.linspace(0.2, 0.05, 16)
    picture[9:-9, 2:18] = np.maximum(picture[9:-9, 2:18], glow)
    found = breast.breast_mask(picture)
    assert overlap(found.mask, clean > 0) > 0.94
    assert not found.mask[:9].any()
    assert not found.mask[:, :2].any()
    rows, cols = found.inner
    assert (rows.start, cols.start) >= (7, 2)
    assert rows.stop <= 512 - 9
    assert cols.stop <= 400 - 4


@pytest.mark.parametrize("turn", [0.0, 0.2])
def test_white_letters_or_a_plate_in_the_air_change_no_pixel_of_the_mask(turn: float) -> None:
    picture = 0.5 * half_ellipse()
    y, x = np.mgrid[:512, :400]
    across, down = x - 330 + turn * (y - 70), y - 70 - turn * (x - 330)
    labelled = np.where((np.abs(across) < 40) & (np.abs(down) < 30), np.float32(1), picture)
    alone, found = breast.breast_mask(picture), breast.breast_mask(labelled)
    np.testing.assert_array_equal(found.mask, alone.mask)
    assert found.inner == alone.inner


def test_a_breast_that_touches_the_upper_border_is_no_strip() -> None:
    picture = half_ellipse()[150:]
    found = breast.breast_mask(picture)
    assert found.inner == (slice(0, 362), slice(0, 400))
    assert overlap(found.mask, picture > 0) > 0.97


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_even_picture_holds_no_breast(value: float) -> None:
    assert not breast.breast_mask(np.full((300, 200), value, np.float32)).mask.any()


def test_a_label_alone_is_no_breast() -> None:
    picture = np.zeros((512, 400), np.float32)
    picture[20:50, 300:340] = 1
    assert not breast.breast_mask(picture).mask.any()


def test_the_grey_scale_does_not_matter() -> None:
    picture = half_ellipse()
    np.testing.assert_array_equal(breast.breast_mask(picture).mask, breast.breast_mask(60000 * picture + 300).mask)


def test_the_chest_wall_is_seen_on_either_side() -> None:
    mask = half_ellipse() > 0
    assert chest_wall_side(mask)[0] == "left"
    side, confidence = chest_wall_side(mask[:, ::-1])
    assert side == "right"
    assert confidence > 0.5


def test_the_small_picture_averages_whole_pixels() -> None:
    image = np.arange(1040 * 700, dtype=np.float32).reshape(1040, 700)
    picture = breast.small(image)
    assert breast.shrink_factor(image.shape) == 2
    assert picture.shape == (520, 350)
    np.testing.assert_allclose(picture[3, 5], image[6:8, 10:12].mean())


def test_the_nipple_is_the_furthest_point_and_the_axis_leads_to_it() -> None:
    mask = half_ellipse() > 0
    axis = chest_nipple_axis(find_nipple(mask, 0.0), breast.chest_wall(mask))
    np.testing.assert_allclose(axis.nipple, (212, 256), atol=2)
    np.testing.assert_allclose(axis.foot, (0, 256), atol=2)
    assert axis.length == pytest.approx(212, abs=2)


@pytest.mark.parametrize("seed", range(3))
def test_the_nipple_of_a_phantom_is_found_within_its_height(seed: int) -> None:
    projection = draw_pair(seed, PhantomOptions(px_mm=0.48)).cc
    mask = breast.breast_mask(breast.small(view_of(projection, FrameConfig()).pixels)).mask
    x, y, confidence = find_nipple(mask, 0.0)
    assert confidence > 0.3
    expected = np.array(projection.truth.nipple)
    assert abs(x * 0.48 - expected[0] * 0.48) < 7  # mm: the truth is the skin, the nipple stands 5.5 mm out
    assert abs(y * 0.48 - expected[1] * 0.48) < 5


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (3, 3), (20, 3000)])
def test_a_picture_too_small_for_its_strips_has_no_breast_or_a_mask_within_it(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random(shape).astype(np.float32)
    found = breast.breast_mask(picture)
    assert found.mask.shape == shape
    assert not found.mask.any() or found.mask[found.inner].sum() == found.mask.sum()


def test_a_ragged_body_is_no_breast() -> None:
    y, x = np.mgrid[:512, :400]
    cross = np.where((np.abs(x - 60) < 50) | (np.abs(y - 256) < 50), 0.5, 0).astype(np.float32)
    assert not breast.breast_mask(cross).mask.any()
    assert breast.breast_mask(half_ellipse()).mask.any()


@pytest.mark.parametrize("shape", [(65_535, 90), (65_535, 1), (90, 65_535), (1, 1)])
def test_an_image_narrower_than_what_is_averaged_is_averaged_over_its_width(shape: tuple[int, int]) -> None:
    values = np.full(shape, 700, np.uint16)
    averaged = breast.averaged(values, 128, 128)
    assert averaged.shape == tuple(max(1, length // 128) for length in shape)
    assert (averaged == 700).all()
