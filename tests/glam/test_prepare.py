from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest

from glam.config import FrameConfig, FrameKind
from glam.findings import finding
from glam.frame import cell_polygon
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.preparation import Preparation
from glam.prepare import PREPARE_VERSION, ModelInput, prepare, prepare_sha
from glam.view import WHITE, View
from tests.samples.answers import finding_codes, refusal
from tests.samples.views import phantom_pair, phantom_view, plain_breast, with_pixels

CONFIG = FrameConfig(size=252, kind="stretch")


def done(prepared: ModelInput) -> Preparation:
    """The record of what was done."""
    assert prepared.preparation is not None
    return prepared.preparation


def test_the_square_is_grey_in_zero_to_one_and_black_outside_the_breast(left: Pair) -> None:
    prepared = prepare(view_of(left.cc, CONFIG), CONFIG)
    assert prepared.pixels.shape == (252, 252)
    assert prepared.pixels.dtype == np.float32
    assert (prepared.pixels.min(), prepared.pixels.max()) == (0, 1)
    assert prepared.pixels[0, -1] == prepared.pixels[-1, -1] == 0


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
    prepared = prepare(plain_breast(), CONFIG)
    centres = np.array([[60.5, 120.5], [125.5, 100.5], [180.5, 130.5]])
    stored = prepared.frame.to_pixels(centres)[:, 0]
    seen = prepared.pixels[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    grey = done(prepared).black + seen * (done(prepared).white - done(prepared).black)
    np.testing.assert_allclose((grey - 0.3) / 0.002, stored, atol=0.1)


def test_nothing_aliases_when_a_fine_pattern_is_shrunk() -> None:
    y, x = np.mgrid[:2400, :2000]
    inside = (x / 1500) ** 2 + ((y - 1200) / 1000) ** 2 < 1
    pixels = (np.where(inside, 0.5 + 0.3 * ((x + y) % 2), 0) * WHITE).astype(np.uint16)
    prepared = prepare(View(pixels=pixels, view="CC", laterality="L"), CONFIG)
    inner = prepared.pixels[60:190, :150] * (done(prepared).white - done(prepared).black)
    assert np.ptp(inner) < 0.05


def test_the_chest_wall_lies_at_zero_and_the_nipple_at_the_far_side(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        prepared = prepare(view_of(projection, CONFIG), CONFIG)
        foot, nipple = prepared.frame.to_square([projection.truth.pnl_foot, projection.truth.nipple])
        assert foot[0] == pytest.approx(0, abs=0.06 * 252)
        assert 0.90 * 252 < nipple[0] <= 252  # the nipple stands out from the skin that the truth names


def test_the_same_tissue_falls_into_the_same_column_of_both_views() -> None:
    ours, oracle = [], []
    for seed in range(12):
        pair = phantom_pair(seed)
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
    prepared = prepare(view_of(left.mlo, CONFIG), CONFIG)
    top, bottom = np.array(left.mlo.truth.pectoral_line)
    behind = (top + bottom) / 2 - 25 * np.array(left.mlo.truth.pnl_direction)
    assert prepared.frame.to_square([behind])[0, 0] < 0
    plain = prepare(view_of(left.mlo, CONFIG), replace(CONFIG, align_mlo=False))
    x, y = plain.frame.to_square([behind])[0]
    assert plain.pixels[int(y), int(x)] > 0
    assert done(plain).angle_deg == 0


def test_a_plain_box_is_the_breast_and_nothing_else() -> None:
    prepared = prepare(plain_breast(), replace(CONFIG, align_mlo=False))
    np.testing.assert_allclose(prepared.frame.to_pixels([[0, 0], [252, 252]]), [[0, 60], [300, 560]], atol=8)


def test_an_isotropic_square_keeps_shapes(left: Pair) -> None:
    prepared = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="isotropic"))
    linear = prepared.frame.to_square_matrix[:2, :2]
    scale = np.sqrt(abs(np.linalg.det(linear)))
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-9)
    rows = np.flatnonzero(prepared.pixels.any(axis=1))
    assert rows[0] + (251 - rows[-1]) < 12  # the longer side fills the square


def test_a_breast_of_no_size_of_breasts_is_told() -> None:
    view = plain_breast(spacing_mm=0.4)
    assert "odd_size" not in finding_codes(prepare(view, CONFIG))
    assert "odd_size" in finding_codes(prepare(replace(view, spacing_mm=(0.02, 0.02)), CONFIG))


@pytest.mark.parametrize("name", ["cc", "mlo"])
@pytest.mark.parametrize("kind", ["nipple_mm", "nipple_stretch"])
def test_columns_counted_from_the_nipple_are_the_same_millimetres_in_both_views(
    left: Pair, name: str, kind: FrameKind
) -> None:
    projection = getattr(left, name)
    prepared = prepare(view_of(projection, CONFIG), FrameConfig(size=252, kind=kind, span_mm=126))
    assert prepared.anatomy is not None
    nipple = np.array(prepared.anatomy.nipple)
    foot = np.array(prepared.anatomy.axis[0])
    back = (foot - nipple) / np.hypot(*(foot - nipple)) / projection.px_mm  # a millimetre toward the chest wall
    columns = prepared.frame.to_square([nipple, nipple + 10 * back, nipple + 60 * back])[:, 0]
    np.testing.assert_allclose(columns, [0.98 * 252, 0.98 * 252 - 20, 0.98 * 252 - 120], atol=0.01)


def test_a_frame_of_millimetres_keeps_shapes_unless_its_rows_are_stretched(left: Pair) -> None:
    linear = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="nipple_mm")).frame.to_square_matrix[:2, :2]
    np.testing.assert_allclose(linear @ linear.T, (0.48 * 252 / 140) ** 2 * np.eye(2), atol=1e-9)
    prepared = prepare(view_of(left.mlo, CONFIG), FrameConfig(size=252, kind="nipple_stretch"))
    rows = np.flatnonzero(prepared.pixels.any(axis=1))
    assert rows[0] + (251 - rows[-1]) < 12


def test_without_a_spacing_the_length_is_the_scale_and_told(left: Pair) -> None:
    config = FrameConfig(size=252, kind="nipple_stretch", span_mm=125)
    view = replace(view_of(left.cc, CONFIG), spacing_mm=None)
    prepared = prepare(view, config)
    assert finding_codes(prepared) == ["length_as_scale"]
    assert prepared.anatomy is not None
    foot, nipple = prepared.frame.to_square(prepared.anatomy.axis)[:, 0]
    assert nipple - foot == pytest.approx(0.8 * 252)
    assert "length_as_scale" not in finding_codes(prepare(view, CONFIG))


def test_a_breast_longer_than_the_square_is_told(left: Pair) -> None:
    prepared = prepare(view_of(left.cc, CONFIG), FrameConfig(size=252, kind="nipple_stretch", span_mm=60))
    assert "outside_square" in finding_codes(prepared)


@pytest.mark.parametrize(("axis", "spacing_mm", "factors"), [(0, (0.24, 0.48), (1, 2)), (1, (0.48, 0.24), (2, 1))])
def test_pixels_that_are_not_square_give_the_same_square(
    axis: int, spacing_mm: tuple[float, float], factors: tuple[int, int]
) -> None:
    points = np.array([[50, 200], [100, 300], [20, 250]])
    for seed in range(5):
        view = view_of(phantom_pair(seed).mlo, CONFIG)
        stretched = replace(view, pixels=np.repeat(view.pixels, 2, axis=axis), spacing_mm=spacing_mm)
        ours, other = prepare(view, CONFIG), prepare(stretched, CONFIG)
        # Two of the narrow pixels make one of the small picture: it is that of the plain view, to the bit.
        np.testing.assert_allclose(other.frame.to_square(points * factors), ours.frame.to_square(points), atol=1e-6)
        assert np.corrcoef(ours.pixels.ravel(), other.pixels.ravel())[0, 1] > 0.998


def test_the_muscle_stays_where_it_is_wanted(left: Pair) -> None:
    top, bottom = np.array(left.mlo.truth.pectoral_line)
    behind = (top + bottom) / 2 - 15 * np.array(left.mlo.truth.pnl_direction)
    seen = []
    for mask_muscle in (True, False):
        prepared = prepare(view_of(left.mlo, CONFIG), replace(CONFIG, kind="nipple_stretch", mask_muscle=mask_muscle))
        x, y = prepared.frame.to_square([behind])[0]
        seen.append(prepared.pixels[int(y), int(x)] > 0)
    assert seen == [False, True]


PLANTED: dict[str, View] = {
    "odd_size": replace(phantom_view("CC"), spacing_mm=(0.02, 0.02)),
    "length_as_scale": replace(phantom_view("CC"), spacing_mm=None),
    "outside_square": replace(phantom_view("CC"), spacing_mm=(160 / phantom_pair().cc.truth.nipple[0],) * 2),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_view_trips_the_code_that_was_planted(code: str) -> None:
    assert code in finding_codes(prepare(PLANTED[code], FrameConfig(size=126)))


@pytest.mark.parametrize("seed", range(3))
def test_plain_views_trip_no_code(seed: int) -> None:
    pair = phantom_pair(seed, laterality="R" if seed % 2 else "L")
    for projection in (pair.cc, pair.mlo):
        assert prepare(view_of(projection, CONFIG), FrameConfig(size=126)).findings == ()


def test_findings_of_the_view_come_first() -> None:
    view = replace(plain_breast(), findings=(finding("film"),))
    assert finding_codes(prepare(with_pixels(view, np.fliplr), CONFIG)) == ["film", "side_conflict", "no_nipple"]


def test_what_leaves_the_square_black_is_refused() -> None:
    pixels = np.tile(np.linspace(60_000, 0, 8), (8, 1)).astype(np.uint16)
    view = View(pixels=pixels, view="CC", laterality="L", spacing_mm=(0.1, 0.2))
    assert refusal(lambda: prepare(view, FrameConfig(size=98))).code == "no_breast"


def test_preparing_is_deterministic_and_leaves_the_view_alone(left: Pair) -> None:
    view = view_of(left.mlo, CONFIG)
    before = view.pixels.copy()
    first, second = prepare(view, CONFIG), prepare(view, CONFIG)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.frame == second.frame
    np.testing.assert_array_equal(view.pixels, before)


def test_the_hash_follows_every_parameter() -> None:
    assert PREPARE_VERSION == 3
    changes = {"size": 518, "span_mm": 120.0, "align_mlo": False, "mask_muscle": False}
    changes |= {"kind": "isotropic", "voi": "breast"}
    assert set(changes) == {field.name for field in fields(FrameConfig)}
    others = {prepare_sha(replace(CONFIG, **{name: value})) for name, value in changes.items()}
    assert len({prepare_sha(CONFIG), *others}) == len(changes) + 1
    assert prepare_sha(CONFIG) == prepare_sha(FrameConfig(size=252, kind="stretch"))


@pytest.mark.parametrize("kind", get_args(FrameKind))
@pytest.mark.parametrize("align_mlo", [True, False])
@pytest.mark.parametrize("name", ["cc", "mlo"])
def test_every_frame_leads_back_and_its_cells_lie_on_the_image(
    right: Pair, kind: FrameKind, align_mlo: bool, name: str
) -> None:
    projection = getattr(right, name)
    prepared = prepare(view_of(projection, CONFIG), FrameConfig(size=98, kind=kind, align_mlo=align_mlo))
    rows, cols = projection.pixels.shape
    points = np.random.default_rng(0).uniform((0, 0), (cols, rows), (50, 2))
    np.testing.assert_allclose(prepared.frame.to_pixels(prepared.frame.to_square(points)), points, atol=0.5)
    for row, col in np.ndindex(9, 9):
        polygon = cell_polygon(prepared.frame, 9, row, col)
        assert (polygon >= 0).all()
        assert (polygon <= (cols, rows)).all()
