"""How a view is turned upright, and what is told of it: the side of the chest wall, the hanging, borders that cut."""

from dataclasses import replace

import numpy as np
import pytest

from glam.anatomy.chest_side import straight_side
from glam.anatomy.upright import make_upright
from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.prepare import prepare
from glam.view import WHITE, View, ViewName
from tests.samples.answers import finding_codes, refusal
from tests.samples.views import phantom_pair, phantom_view, plain_breast, with_pixels

CONFIG = FrameConfig(size=252, kind="stretch")
CC = phantom_view("CC")
NIPPLE_COL = phantom_pair().cc.truth.nipple[0]


def prepared_codes(view: View) -> list[str]:
    return finding_codes(prepare(view, CONFIG))


def striped(pixels: np.ndarray) -> np.ndarray:
    striped = pixels.copy()
    striped[:6] = WHITE
    return striped


PLANTED: dict[str, View] = {
    "side_conflict": with_pixels(CC, lambda pixels: pixels[:, ::-1]),
    "side_unclear": plain_breast(shift=250, depth=150, slope=0.001, spacing_mm=0.4),
    "strips_removed": with_pixels(CC, striped),
    "unusual_hanging": replace(CC, laterality="R"),
    "clipped": with_pixels(CC, lambda pixels: pixels[:, : round(0.8 * NIPPLE_COL)]),
    "second_body": with_pixels(CC, lambda pixels: np.concatenate([pixels, pixels[:, ::-1]], axis=1)),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_view_trips_the_code_that_was_planted(code: str) -> None:
    assert code in finding_codes(prepare(PLANTED[code], FrameConfig(size=126)))


def test_a_breast_on_the_other_side_is_followed_and_told() -> None:
    view = plain_breast()
    mirrored = with_pixels(view, np.fliplr)
    prepared = prepare(mirrored, CONFIG)
    assert finding_codes(prepared) == ["side_conflict", "no_nipple"]
    np.testing.assert_allclose(prepared.pixels, prepare(view, CONFIG).pixels, atol=0.02)


def wedged(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """A black band of 40 columns beside the chest wall, its edge inclined: a film that lies askew."""
    band = np.pad(pixels, ((0, 0), (40, 0)), mode="edge")
    y, x = np.mgrid[: len(band), : band.shape[1]]
    return np.where(x + np.tan(np.deg2rad(degrees)) * (y - len(band) / 2) < 40, 0, band).astype(np.uint16)


@pytest.mark.parametrize("seed", [3, 6])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_black_wedge_at_the_chest_wall_overrules_no_header_that_is_right(seed: int, mirrored: bool) -> None:
    view = replace(phantom_view("MLO", seed=seed), orientation=None)
    alone, covered = view, with_pixels(view, lambda pixels: wedged(pixels, 4))
    if mirrored:
        alone, covered = (with_pixels(each, np.fliplr, laterality="R") for each in (alone, covered))
    expected, prepared = (prepare(each, CONFIG) for each in (alone, covered))
    assert "side_conflict" not in finding_codes(prepared)
    assert "side_unclear" in finding_codes(prepared)
    assert expected.anatomy is not None
    assert prepared.anatomy is not None
    offset = (0 if mirrored else 40, 0)
    assert np.hypot(*np.subtract(prepared.anatomy.nipple, expected.anatomy.nipple) - offset) * 0.48 < 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["CC", "MLO"])
def test_the_chest_wall_is_the_straight_end_of_a_breast(seed: int, name: str) -> None:
    mask = make_upright(phantom_view(name, seed=seed)).mask  # type: ignore[arg-type]
    y, x = np.mgrid[: len(mask), : mask.shape[1]]
    for inclined in (mask, mask & (x + 0.07 * (y - len(mask) / 2) > 20), mask & ((x > 25) | (y < 0.2 * len(mask)))):
        assert straight_side(inclined) == "left"
        assert straight_side(inclined[:, ::-1]) == "right"


def hollowed(pixels: np.ndarray, share: float) -> np.ndarray:
    """Black before a parabola that is so deep in the middle, as a share of the rows: the edge of a curved paddle."""
    y, x = np.mgrid[: len(pixels), : pixels.shape[1]]
    return np.where(x < share * len(pixels) * (1 - (2 * y / len(pixels) - 1) ** 2), 0, pixels).astype(np.uint16)


@pytest.mark.parametrize(
    ("name", "seed", "front"), [("CC", 6, 0.85), ("CC", 9, 0.7), ("MLO", 6, 0.95), ("MLO", 9, 0.85)]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_curved_cut_overrules_no_header_where_the_breast_is_cut_in_front(
    name: ViewName, seed: int, front: float, mirrored: bool
) -> None:
    view = replace(phantom_view(name, seed=seed), orientation=None)
    depth = np.flatnonzero(make_upright(view).mask.any(axis=0))[-1] / make_upright(view).mask.shape[1]
    cut = with_pixels(view, lambda pixels: hollowed(pixels[:, : round(front * depth * pixels.shape[1])], 0.06))
    if mirrored:
        cut = with_pixels(cut, np.fliplr, laterality="R")
    upright = make_upright(cut)
    assert upright.chest_wall == ("right" if mirrored else "left")
    assert "side_unclear" in {each.code for each in upright.findings}


def cut_in_front(view: View, share: float, degrees: float) -> View:
    """The view without orientation, this share of its breast's depth left, behind a wedge at the chest wall."""
    mask = make_upright(view).mask
    front = round(share * np.flatnonzero(mask.any(axis=0))[-1] / mask.shape[1] * view.pixels.shape[1])
    return with_pixels(view, lambda pixels: wedged(pixels, degrees)[:, : 40 + front], orientation=None)


@pytest.mark.parametrize(("name", "seed"), [("CC", 3), ("CC", 9), ("MLO", 6), ("MLO", 9)])
@pytest.mark.parametrize("degrees", [-12, -9, 9, 12])
def test_a_steep_wedge_overrules_no_header_where_the_breast_is_cut_in_front(
    name: ViewName, seed: int, degrees: float
) -> None:
    upright = make_upright(cut_in_front(phantom_view(name, seed=seed), 0.9, degrees))
    assert upright.chest_wall == "left"
    assert "side_conflict" not in {each.code for each in upright.findings}


@pytest.mark.parametrize(("name", "seed"), [("CC", 3), ("CC", 9), ("MLO", 6), ("MLO", 9)])
@pytest.mark.parametrize("degrees", [-8, 4, 8])
def test_a_header_that_pixels_do_not_clearly_bear_out_is_not_followed_in_silence(
    name: ViewName, seed: int, degrees: float
) -> None:
    wrong = replace(cut_in_front(phantom_view(name, seed=seed), 0.9, degrees), laterality="R")
    assert {each.code for each in make_upright(wrong).findings} & {"side_conflict", "side_unclear"}


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_unclear_about_a_whole_breast(seed: int) -> None:
    for name in ("CC", "MLO"):
        upright = make_upright(phantom_view(name, seed=seed))
        assert upright.chest_wall == "left"
        assert not {each.code for each in upright.findings} & {"side_conflict", "side_unclear"}


@pytest.mark.parametrize("seed", [3, 6, 9])
def test_a_wrong_header_is_told_beside_a_curved_cut(seed: int) -> None:
    view = replace(phantom_view("CC", seed=seed), orientation=None, laterality="R")
    upright = make_upright(with_pixels(view, lambda pixels: hollowed(pixels, 0.05)))
    assert upright.chest_wall == "left"
    assert "side_conflict" in {each.code for each in upright.findings}


def test_no_end_is_straighter_where_both_are_straight() -> None:
    y, x = np.mgrid[:400, :300]
    both_straight = (np.abs(y - 200) < 150) & (x < 200)
    wedges = [both_straight & (x > 75 + slope * (y - 200)) for slope in (-0.2, -0.1, 0.05, 0.15, 0.25)]
    for mask in (both_straight, both_straight[:, ::-1], *wedges):
        assert straight_side(mask) is None


@pytest.mark.parametrize(("depth", "straight"), [(40, "left"), (-40, None)])
def test_a_hollow_end_is_a_cut_and_a_bulging_one_may_be_skin(depth: int, straight: str | None) -> None:
    y, x = np.mgrid[:400, :300]
    curve = 1 - (y / 200 - 1) ** 2
    assert straight_side((x > 60 + depth * curve) & (x < 240 + 40 * curve)) == straight


def test_an_image_stored_upside_down_is_turned() -> None:
    view = plain_breast()
    turned = prepare(with_pixels(view, np.flipud, orientation=("A", "L")), CONFIG)
    upright = prepare(replace(view, orientation=("A", "R")), CONFIG)
    assert turned.preparation is not None
    assert turned.preparation.upside_down
    np.testing.assert_allclose(turned.pixels, upright.pixels, atol=0.02)


def test_a_mirrored_image_whose_header_says_so_is_no_conflict_but_told() -> None:
    view = plain_breast()
    assert prepared_codes(with_pixels(view, np.fliplr, orientation=("P", "R"))) == ["unusual_hanging", "no_nipple"]
    assert prepared_codes(replace(view, orientation=("A", "R"))) == ["no_nipple"]


def test_a_side_that_contradicts_the_orientation_is_told(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        view = view_of(projection, CONFIG)
        assert "unusual_hanging" not in prepared_codes(view)
        assert "unusual_hanging" in prepared_codes(replace(view, laterality="R"))


def test_two_breasts_in_one_image_are_told() -> None:
    view = plain_breast()
    gap = np.zeros_like(view.pixels[:, :80])
    assert "second_body" in prepared_codes(
        with_pixels(view, lambda pixels: np.concatenate([pixels, gap, pixels[:, ::-1]], axis=1))
    )
    assert "second_body" not in prepared_codes(view)


def test_a_breast_that_runs_out_in_front_is_told() -> None:
    view = plain_breast()
    assert "clipped" not in prepared_codes(view)
    assert "clipped" in prepared_codes(replace(view, pixels=view.pixels[:, :220]))
    assert "clipped" in prepared_codes(replace(view, pixels=view.pixels[:400]))
    assert "clipped" in prepared_codes(replace(view, pixels=view.pixels[200:]))


def test_a_breast_that_touches_no_edge_leaves_its_side_unclear() -> None:
    y, x = np.mgrid[:400, :300]
    for centre, unclear in ((150, True), (0, False)):
        distance = np.hypot(y - 200, x - centre)
        disc = np.where(distance < 100, 50_000 - 100 * distance, 0).astype(np.uint16)
        prepared = prepare(View(pixels=disc, view="CC", laterality="L"), FrameConfig(size=126))
        assert ("side_unclear" in finding_codes(prepared)) == unclear


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, WHITE, (800, 640)).astype(np.uint16)
    view = View(pixels=noise, view="CC", laterality="L")
    assert refusal(lambda: prepare(view, CONFIG)).code == "no_breast"


@pytest.mark.parametrize("pixels", [np.zeros((80, 60)), np.full((80, 60), 0.7), np.zeros((1, 1))])
def test_an_image_without_a_breast_is_refused(pixels: np.ndarray) -> None:
    view = View(pixels=(pixels * WHITE).astype(np.uint16), view="CC", laterality="L")
    assert refusal(lambda: prepare(view, CONFIG)).code == "no_breast"
