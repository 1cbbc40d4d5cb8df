"""Muscle, nipple and axis of a whole view: what the angle was taken from, and what is told of it."""

from dataclasses import replace

import numpy as np
import pytest

from glam.anatomy.landmarks import find_landmarks
from glam.anatomy.upright import make_upright
from glam.config import FrameConfig
from glam.frame import compose, shift
from glam.phantom.in_memory import view_of
from glam.phantom.options import Difficulty
from glam.phantom.pair import Pair
from glam.prepare import prepare
from glam.view import View
from tests.samples.answers import finding_codes
from tests.samples.views import PHANTOM, phantom_pair, phantom_view, plain_breast, with_pixels

CONFIG = FrameConfig(size=252, kind="stretch")
WITHOUT_MUSCLE = replace(PHANTOM, difficulty=Difficulty(no_muscle=1.0))
PLANTED: dict[str, View] = {
    "upside_down": with_pixels(phantom_view("MLO"), np.flipud, orientation=None),
    "axis_from_nipple": phantom_view("MLO", seed=5, options=WITHOUT_MUSCLE),
    "no_pectoral_line": plain_breast("MLO", slope=0.001, spacing_mm=0.4),
    "no_nipple": plain_breast(slope=0.001, spacing_mm=0.4),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_view_trips_the_code_that_was_planted(code: str) -> None:
    assert code in finding_codes(prepare(PLANTED[code], FrameConfig(size=126)))


def test_the_nipple_is_at_the_mean_of_its_phases_and_one_far_away_does_not_count() -> None:
    upright = make_upright(phantom_view("CC"))
    others = tuple(upright._replace(matrix=compose(upright.matrix, shift(-x, 0))) for x in (1.0, 2.0, 40.0))
    alone, steady = (
        find_landmarks(each, "CC", aligned=True).landmarks.nipple for each in (upright, upright._replace(others=others))
    )
    assert (steady.x, steady.y) == pytest.approx((alone.x + 1, alone.y))
    assert steady.confidence == alone.confidence


def test_with_neither_muscle_nor_nipple_the_usual_angle_is_taken_and_told() -> None:
    prepared = prepare(plain_breast("MLO"), CONFIG)
    assert finding_codes(prepared) == ["no_pectoral_line", "no_nipple", "outside_square"]
    record = prepared.preparation
    assert record is not None
    assert (record.angle_deg, record.angle_from, record.axis_confidence) == (22, "usual", 0)


def test_without_a_muscle_the_angle_comes_from_the_nipple_and_no_tissue_is_masked() -> None:
    prepared = prepare(phantom_view("MLO", seed=5, options=WITHOUT_MUSCLE), CONFIG)
    truth = phantom_pair(5, options=WITHOUT_MUSCLE).mlo.truth
    assert "axis_from_nipple" in finding_codes(prepared)
    assert prepared.preparation is not None
    assert prepared.preparation.angle_from == "nipple"
    assert prepared.preparation.angle_deg == pytest.approx(truth.alpha_deg, abs=5)
    assert prepared.anatomy is not None
    assert prepared.anatomy.pectoral_line is None


def test_a_film_stored_head_down_is_turned_by_its_muscle(left: Pair) -> None:
    view = view_of(left.mlo, CONFIG)
    turned, upright = prepare(with_pixels(view, np.flipud, orientation=None), CONFIG), prepare(view, CONFIG)
    assert "upside_down" in finding_codes(turned)
    np.testing.assert_allclose(turned.pixels, upright.pixels, atol=0.02)
    assert "upside_down" not in finding_codes(upright)
