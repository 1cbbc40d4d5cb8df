from dataclasses import fields, replace
from typing import get_args

import cv2
import numpy as np
import pytest

from glam.config import FrameConfig, FrameKind
from glam.contrast import _without_rim
from glam.findings import InputError, finding
from glam.frame import cell_polygon
from glam.phantom.in_memory import view_of
from glam.phantom.options import Difficulty, PhantomOptions
from glam.phantom.pair import Pair, draw_pair
from glam.preparation import Preparation
from glam.prepare import PREPARE_VERSION, ModelInput, prepare, prepare_sha
from glam.view import WHITE, View

CONFIG = FrameConfig(size=252, kind="stretch")
OPTIONS = PhantomOptions(px_mm=0.48)


@pytest.fixture(scope="module")
def left() -> Pair:
    return draw_pair(1, OPTIONS)


@pytest.fixture(scope="module")
def right() -> Pair:
    return draw_pair(1, OPTIONS, laterality="R")


def gradient_view(rows: int = 600, cols: int = 500) -> View:
    """A breast whose grey value grows by its column."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    inside = (x / 300) ** 2 + ((y - 310) / 250) ** 2 < 1
    return View(pixels=(np.where(inside, 0.3 + 0.002 * x, 0) * WHITE).astype(np.uint16), view="CC", laterality="L")


def done(prepared: ModelInput) -> Preparation:
    """The record of what was done."""
    assert prepared.preparation is not None
    return prepared.preparation


def codes(made: ModelInput) -> list[str]:
    return [item.code for item in made.findings]


def test_the_square_is_grey_in_zero_to_one_and_black_outside_the_breast(left: Pair) -> None:
    made = prepare(view_of(left.cc, CONFIG), CONFIG)
    assert made.pixels.shape == (252, 252)
    assert made.pixels.dtype == np.float32
    assert (made.pixels.min(), made.pixels.max()) == (0, 1)
    assert made.pixels[0, -1] == made.pixels[-1, -1] == 0


@pytest.mark.parametrize("name", ["cc", "mlo"])
def test_a_right_breast_is_mirrored_to_face_left(left: Pair, right: Pair, name: str) -> None:
    ours, other = (prepare(view_of(getattr(pair, name), CONFIG), CONFIG) for pair in (left, right))
    assert np.abs(ours.pixels - other.pixels).mean() < 0.002
    width = left.cc.pixels.shape[1]
    points = np.array([[30.0, 200], [100, 350]])
    np.testing.assert_allclose(
        other.frame.to_square((width, 0) + points * (-1, 1)), ours.frame.to_square(points), atol=1
    )
    assert done(other).chest_wall == "right"


def test_grey_values_and_frame_agree_to_a_tenth_of_a_pixel() -> None:
    view = gradient_view()
    made = prepare(view, CONFIG)
    centres = np.array([[60.5, 120.5], [125.5, 100.5], [180.5, 130.5]])
    stored = made.frame.to_pixels(centres)[:, 0]
    seen = made.pixels[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    grey = done(made).black + seen * (done(made).white - done(made).black)
    np.testing.assert_allclose((grey - 0.3) / 0.002, stored, atol=0.1)


def test_nothing_aliases_when_a_fine_pattern_is_shrunk() -> None:
    view = gradient_view(2400, 2000)
    y, x = np.mgrid[:2400, :2000]
    inside = (x / 1500) ** 2 + ((y - 1200) / 1000) ** 2 < 1
    pixels = np.where(inside, 0.5 + 0.3 * ((x + y) % 2), 0)
    made = prepare(replace(view, pixels=(pixels * WHITE).astype(np.uint16)), CONFIG)
    inner = made.pixels[60:190, :150] * (done(made).white - done(made).black)
    assert np.ptp(inner) < 0.05


def test_the_chest_wall_lies_at_zero_and_the_nipple_at_the_far_side(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        made = prepare(view_of(projection, CONFIG), CONFIG)
        foot, nipple = made.frame.to_square([projection.truth.pnl_foot, projection.truth.nipple])
        assert foot[0] == pytest.approx(0, abs=0.06 * 252)
        assert 0.90 * 252 < nipple[0] <= 252  # the nipple stands out from the skin that the truth names


def test_the_same_tissue_falls_into_the_same_column_of_both_views() -> None:
    ours, oracle = [], []
    for seed in range(12):
        pair = draw_pair(seed, OPTIONS)
        columns, truth = [], []
        for projection in (pair.cc, pair.mlo):
            points = np.asarray(projection.truth.tissue)
            columns.append(prepare(view_of(projection, CONFIG), CONFIG).frame.to_square(points)[:, 0] / 252)
            truth.append(projection.truth.nipple_distance_mm(points) / projection.truth.pnl_mm)
        ours.append(np.abs(columns[0] - columns[1]))
        oracle.append(np.abs(truth[0] - truth[1]))
    assert np.median(ours) < 1.2 * np.median(oracle)  # positioning moves tissue, whoever aligns
    assert np.percentile(ours, 95) < 1.35 * np.percentile(oracle, 95)


def test_the_muscle_is_out_of_the_square(left: Pair) -> None:
    made = prepare(view_of(left.mlo, CONFIG), CONFIG)
    top, bottom = np.array(left.mlo.truth.pectoral_line)
    behind = (top + bottom) / 2 - 25 * np.array(left.mlo.truth.pnl_direction)
    assert made.frame.to_square([behind])[0, 0] < 0
    plain = prepare(view_of(left.mlo, CONFIG), replace(CONFIG, align_mlo=False))
    x, y = plain.frame.to_square([behind])[0]
    assert plain.pixels[int(y), int(x)] > 0
    assert done(plain).angle_deg == 0


def test_a_plain_box_is_the_breast_and_nothing_else() -> None:
    view = gradient_view()
    made = prepare(view, replace(CONFIG, align_mlo=False))
    np.testing.assert_allclose(made.frame.to_pixels([[0, 0], [252, 252]]), [[0, 60], [300, 560]], atol=8)


def test_an_isotropic_square_keeps_shapes(left: Pair) -> None:
    made = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="isotropic"))
    linear = made.frame.to_square_matrix[:2, :2]
    scale = np.sqrt(abs(np.linalg.det(linear)))
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-9)
    rows = np.flatnonzero(made.pixels.any(axis=1))
    assert rows[0] + (251 - rows[-1]) < 12  # the longer side fills the square


def test_a_breast_on_the_other_side_is_followed_and_told() -> None:
    view = gradient_view()
    flipped = replace(view, pixels=np.ascontiguousarray(view.pixels[:, ::-1]))
    made = prepare(flipped, CONFIG)
    assert codes(made) == ["side_conflict", "no_nipple"]
    np.testing.assert_allclose(made.pixels, prepare(view, CONFIG).pixels, atol=0.02)


def test_an_image_stored_upside_down_is_turned() -> None:
    view = gradient_view()
    turned = replace(view, pixels=np.ascontiguousarray(view.pixels[::-1]), orientation=("A", "L"))
    upright = replace(view, orientation=("A", "R"))
    assert done(prepare(turned, CONFIG)).upside_down
    np.testing.assert_allclose(prepare(turned, CONFIG).pixels, prepare(upright, CONFIG).pixels, atol=0.02)


def test_a_mirrored_image_whose_header_says_so_is_no_conflict_but_told() -> None:
    view = gradient_view()
    flipped = replace(view, pixels=np.ascontiguousarray(view.pixels[:, ::-1]), orientation=("P", "R"))
    assert codes(prepare(flipped, CONFIG)) == ["unusual_hanging", "no_nipple"]
    assert codes(prepare(replace(view, orientation=("A", "R")), CONFIG)) == ["no_nipple"]


def test_a_side_that_contradicts_the_orientation_is_told(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        view = view_of(projection, CONFIG)
        assert "unusual_hanging" not in codes(prepare(view, CONFIG))
        assert "unusual_hanging" in codes(prepare(replace(view, laterality="R"), CONFIG))


def test_two_breasts_in_one_image_are_told() -> None:
    view = gradient_view()
    wide = np.concatenate([view.pixels, np.zeros_like(view.pixels[:, :80]), view.pixels[:, ::-1]], axis=1)
    assert "second_body" in codes(prepare(replace(view, pixels=wide), CONFIG))
    assert "second_body" not in codes(prepare(view, CONFIG))


def test_a_breast_of_no_size_of_breasts_is_told() -> None:
    view = replace(gradient_view(), spacing_mm=(0.4, 0.4))
    assert "odd_size" not in codes(prepare(view, CONFIG))
    assert "odd_size" in codes(prepare(replace(view, spacing_mm=(0.02, 0.02)), CONFIG))


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, WHITE, (800, 640)).astype(np.uint16)
    with pytest.raises(InputError) as caught:
        prepare(View(pixels=noise, view="CC", laterality="L"), CONFIG)
    assert caught.value.code == "no_breast"


def test_with_neither_muscle_nor_nipple_the_usual_angle_is_taken_and_told() -> None:
    made = prepare(replace(gradient_view(), view="MLO"), CONFIG)
    assert codes(made) == ["no_pectoral_line", "no_nipple", "outside_square"]
    assert (done(made).angle_deg, done(made).angle_from, done(made).axis_confidence) == (22, "usual", 0)


def test_without_a_muscle_the_angle_comes_from_the_nipple_and_no_tissue_is_masked() -> None:
    pair = draw_pair(5, replace(OPTIONS, difficulty=Difficulty(no_muscle=1.0)))
    made = prepare(view_of(pair.mlo, CONFIG), CONFIG)
    assert "axis_from_nipple" in codes(made)
    assert done(made).angle_from == "nipple"
    assert done(made).angle_deg == pytest.approx(pair.mlo.truth.alpha_deg, abs=5)
    assert made.anatomy is not None
    assert made.anatomy.pectoral_line is None


def test_a_film_stored_head_down_is_turned_by_its_muscle(left: Pair) -> None:
    view = view_of(left.mlo, CONFIG)
    over = replace(view, pixels=np.ascontiguousarray(view.pixels[::-1]), orientation=None)
    made, upright = prepare(over, CONFIG), prepare(view, CONFIG)
    assert "upside_down" in codes(made)
    np.testing.assert_allclose(made.pixels, upright.pixels, atol=0.02)
    assert "upside_down" not in codes(upright)


def test_a_breast_that_runs_out_in_front_is_told() -> None:
    view = gradient_view()
    assert "clipped" not in codes(prepare(view, CONFIG))
    assert "clipped" in codes(prepare(replace(view, pixels=view.pixels[:, :220]), CONFIG))
    assert "clipped" in codes(prepare(replace(view, pixels=view.pixels[:400]), CONFIG))
    assert "clipped" in codes(prepare(replace(view, pixels=view.pixels[200:]), CONFIG))


@pytest.mark.parametrize("name", ["cc", "mlo"])
@pytest.mark.parametrize("kind", ["nipple_mm", "nipple_stretch"])
def test_columns_counted_from_the_nipple_are_the_same_millimetres_in_both_views(
    left: Pair, name: str, kind: FrameKind
) -> None:
    projection = getattr(left, name)
    made = prepare(view_of(projection, CONFIG), FrameConfig(size=252, kind=kind, span_mm=126))
    assert made.anatomy is not None
    nipple = np.array(made.anatomy.nipple)
    foot = np.array(made.anatomy.axis[0])
    back = (foot - nipple) / np.hypot(*(foot - nipple)) / projection.px_mm  # a millimetre toward the chest wall
    columns = made.frame.to_square([nipple, nipple + 10 * back, nipple + 60 * back])[:, 0]
    np.testing.assert_allclose(columns, [0.98 * 252, 0.98 * 252 - 20, 0.98 * 252 - 120], atol=0.01)


def test_a_frame_of_millimetres_keeps_shapes_unless_its_rows_are_stretched(left: Pair) -> None:
    linear = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="nipple_mm")).frame.to_square_matrix[:2, :2]
    np.testing.assert_allclose(linear @ linear.T, (0.48 * 252 / 140) ** 2 * np.eye(2), atol=1e-9)
    made = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="nipple_stretch"))
    rows = np.flatnonzero(made.pixels.any(axis=1))
    assert rows[0] + (251 - rows[-1]) < 12


def test_without_a_spacing_the_length_is_the_scale_and_told(left: Pair) -> None:
    config = FrameConfig(size=252, kind="nipple_stretch", span_mm=125)
    made = prepare(replace(view_of(left.cc, CONFIG), spacing_mm=None), config)
    assert codes(made) == ["length_as_scale"]
    assert made.anatomy is not None
    foot, nipple = made.frame.to_square(made.anatomy.axis)[:, 0]
    assert nipple - foot == pytest.approx(0.8 * 252)
    assert "length_as_scale" not in codes(prepare(replace(view_of(left.cc, CONFIG), spacing_mm=None), CONFIG))


def test_a_breast_longer_than_the_square_is_told(left: Pair) -> None:
    made = prepare(view_of(left.cc, CONFIG), FrameConfig(size=252, kind="nipple_stretch", span_mm=60))
    assert "outside_square" in codes(made)


@pytest.mark.parametrize(("axis", "spacing_mm", "factors"), [(0, (0.24, 0.48), (1, 2)), (1, (0.48, 0.24), (2, 1))])
def test_pixels_that_are_not_square_give_the_same_square(
    axis: int, spacing_mm: tuple[float, float], factors: tuple[int, int]
) -> None:
    points = np.array([[50, 200], [100, 300], [20, 250]])
    for seed in range(5):
        view = view_of(draw_pair(seed, OPTIONS).mlo, CONFIG)
        stretched = replace(view, pixels=np.repeat(view.pixels, 2, axis=axis), spacing_mm=spacing_mm)
        ours, other = prepare(view, CONFIG), prepare(stretched, CONFIG)
        # Two of the narrow pixels make one of the small picture: it is that of the plain view, to the bit.
        np.testing.assert_allclose(other.frame.to_square(points * factors), ours.frame.to_square(points), atol=1e-6)
        assert np.corrcoef(ours.pixels.ravel(), other.pixels.ravel())[0, 1] > 0.998


def test_the_muscle_stays_where_it_is_wanted(left: Pair) -> None:
    config = FrameConfig(size=252, kind="nipple_stretch")
    top, bottom = np.array(left.mlo.truth.pectoral_line)
    behind = (top + bottom) / 2 - 15 * np.array(left.mlo.truth.pnl_direction)
    seen = []
    for mask_muscle in (True, False):
        made = prepare(view_of(left.mlo, CONFIG), replace(config, mask_muscle=mask_muscle))
        x, y = made.frame.to_square([behind])[0]
        seen.append(made.pixels[int(y), int(x)] > 0)
    assert seen == [False, True]


def test_what_was_seen_is_told_in_stored_pixels(right: Pair) -> None:
    truth, made = right.mlo.truth, prepare(view_of(right.mlo, CONFIG), CONFIG)
    assert made.anatomy is not None
    assert np.hypot(*np.subtract(made.anatomy.nipple, truth.nipple)) * 0.48 < 8
    assert made.anatomy.pectoral_line is not None
    assert truth.pectoral_line is not None
    (x0, y0), (x1, y1) = truth.pectoral_line
    for x, y in made.anatomy.pectoral_line:
        assert abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / np.hypot(x1 - x0, y1 - y0) * 0.48 < 8
    rows, cols = right.mlo.pixels.shape
    assert (made.anatomy.outline >= 0).all()
    assert (made.anatomy.outline <= (cols, rows)).all()


def test_findings_of_the_view_come_first() -> None:
    view = replace(gradient_view(), findings=(finding("film"),))
    flipped = replace(view, pixels=np.ascontiguousarray(view.pixels[:, ::-1]))
    assert codes(prepare(flipped, CONFIG)) == ["film", "side_conflict", "no_nipple"]


@pytest.mark.parametrize("pixels", [np.zeros((80, 60)), np.full((80, 60), 0.7), np.zeros((1, 1))])
def test_an_image_without_a_breast_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        prepare(View(pixels=(pixels * WHITE).astype(np.uint16), view="CC", laterality="L"), CONFIG)
    assert caught.value.code == "no_breast"


def test_what_leaves_the_square_black_is_refused() -> None:
    pixels = (np.tile(np.linspace(60_000, 0, 8), (8, 1))).astype(np.uint16)
    with pytest.raises(InputError) as caught:
        prepare(View(pixels=pixels, view="CC", laterality="L", spacing_mm=(0.1, 0.2)), FrameConfig(size=98))
    assert caught.value.code == "no_breast"


def test_preparing_is_deterministic_and_leaves_the_view_alone(left: Pair) -> None:
    view = view_of(left.mlo, CONFIG)
    before = view.pixels.copy()
    first, second = prepare(view, CONFIG), prepare(view, CONFIG)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.frame == second.frame
    np.testing.assert_array_equal(view.pixels, before)


def test_the_hash_follows_every_parameter() -> None:
    assert PREPARE_VERSION == 3
    changes = [
        {},
        {"size": 518},
        {"kind": "isotropic"},
        {"align_mlo": False},
        {"mask_muscle": False},
        {"span_mm": 120.0},
        {"voi": "breast"},
    ]
    assert {name for change in changes for name in change} == {field.name for field in fields(FrameConfig)}
    assert len({prepare_sha(replace(CONFIG, **change)) for change in changes}) == len(changes)
    assert prepare_sha(CONFIG) == prepare_sha(FrameConfig(size=252, kind="stretch"))


@pytest.mark.parametrize("kind", get_args(FrameKind))
@pytest.mark.parametrize("align_mlo", [True, False])
@pytest.mark.parametrize("name", ["cc", "mlo"])
def test_every_frame_leads_back_and_its_cells_lie_on_the_image(
    right: Pair, kind: FrameKind, align_mlo: bool, name: str
) -> None:
    projection = getattr(right, name)
    made = prepare(view_of(projection, CONFIG), FrameConfig(size=98, kind=kind, align_mlo=align_mlo))
    rows, cols = projection.pixels.shape
    points = np.random.default_rng(0).uniform((0, 0), (cols, rows), (50, 2))
    np.testing.assert_allclose(made.frame.to_pixels(made.frame.to_square(points)), points, atol=0.5)
    for row, col in np.ndindex(9, 9):
        polygon = cell_polygon(made.frame, 9, row, col)
        assert (polygon >= 0).all()
        assert (polygon <= (cols, rows)).all()


def levels(view: View) -> tuple[float, float]:
    record = done(prepare(view, FrameConfig(size=252)))
    return record.black, record.white


def test_the_black_level_does_not_move_with_the_phase_of_the_pixels_or_their_size(
    left: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for projection in (left.cc, left.mlo):
        view = view_of(projection, CONFIG)
        variants = [replace(view, pixels=view.pixels[top:, start:]) for top, start in ((0, 0), (1, 0), (2, 1), (5, 3))]
        for factor in (0.7, 0.9, 1.15):
            pixels = cv2.resize(view.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            variants.append(replace(view, pixels=pixels, spacing_mm=(0.48 / factor, 0.48 / factor)))
        monkeypatch.undo()
        ours = np.array([levels(variant) for variant in variants])
        monkeypatch.setattr("glam.contrast.RIM_SHARE", 0.0)
        with_rim = np.array([levels(variant) for variant in variants])
        moved, moved_with_rim = (np.ptp(found[:, 0]) / np.ptp(found.mean(axis=0)) for found in (ours, with_rim))
        assert moved < 0.01
        assert moved < moved_with_rim / 4


def test_next_to_nothing_of_the_breast_is_cut_off_as_black(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        made = prepare(view_of(projection, CONFIG), FrameConfig(size=252))
        inside = cv2.morphologyEx((made.pixels > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
        assert (made.pixels[inside] == 0).mean() < 0.05


def test_a_breast_thinner_than_two_rims_keeps_its_levels() -> None:
    thin = np.zeros((252, 252), bool)
    thin[100:105, :200] = True
    assert 0.5 * thin.sum() <= _without_rim(thin).sum() < thin.sum()
    thin[101:105] = False
    np.testing.assert_array_equal(_without_rim(thin), thin)
    assert not _without_rim(np.zeros((252, 252), bool)).any()


def test_the_cleared_muscle_is_told_in_share_and_area(left: Pair) -> None:
    record = done(prepare(view_of(left.mlo, CONFIG), CONFIG))
    kept = done(prepare(view_of(left.mlo, CONFIG), replace(CONFIG, mask_muscle=False)))
    top = left.mlo.truth.pectoral_line[0]
    y, x = np.mgrid[: left.mlo.truth.rows, : left.mlo.truth.cols] + 0.5
    normal = np.array(left.mlo.truth.pnl_direction)
    muscle = (left.mlo.pixels > 0) & ((x - top[0]) * normal[0] + (y - top[1]) * normal[1] < 0)
    assert record.muscle_share == pytest.approx(muscle.sum() / (left.mlo.pixels > 0).sum(), abs=0.03)
    assert record.muscle_mm2 == pytest.approx(muscle.sum() * 0.48**2, rel=0.1)
    assert (kept.muscle_share, kept.muscle_mm2) == (0, 0)
    assert done(prepare(view_of(left.cc, CONFIG), CONFIG)).muscle_share == 0
    unscaled = done(prepare(replace(view_of(left.mlo, CONFIG), spacing_mm=None), CONFIG))
    assert (unscaled.muscle_share, unscaled.muscle_mm2) == (record.muscle_share, None)
    assert record.as_json()["muscle_mm2"] == record.muscle_mm2
