"""The lengths and muscle angles of phantoms against the table of patients; no image is drawn."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from glam.phantom import PhantomOptions, draw_pair
from glam.phantom.difficulty import Positioned, positioned
from glam.phantom.habitus import draw_habitus, draw_lengths
from glam.phantom.landmarks import Lengths, TrueLandmarks, lengths_in, lengths_of
from glam.phantom.options import LENGTHS_MM, Difficulty, Proportions, varied
from glam.phantom.patients import PATIENTS, LengthTable, length_table
from glam.phantom.render import NIPPLE_MM

HEIGHT_MM, WIDTH_MM = 245.76, 199.68
NUM_BREASTS = 500
BOUNDS = {
    "cc_mm": 2.0,
    "mlo_mm": 2.0,
    "difference_mm": 1.0,
    "difference_spread_mm": 0.8,
    "absolute_median_mm": 0.9,
    "absolute_p90_mm": 1.6,
    "within_10_mm": 0.05,
    "ratio_p5": 0.025,
    "ratio_median": 0.02,
    "ratio_p95": 0.045,
    "muscle_deg": 1.0,
    "muscle_spread_deg": 0.7,
    "muscle_p1_deg": 2.5,
    "muscle_p99_deg": 2.5,
}
"""Wider than the tolerances of bench/phantom_geometry.py, because a few hundred breasts scatter more."""


def views_of(seed: int, options: PhantomOptions, **changes: float) -> Positioned:
    return positioned(seed, replace(draw_habitus(seed, options), **changes), options)


def measured(options: PhantomOptions) -> list[Lengths]:
    found = (lengths_in(views_of(seed, options), height_mm=HEIGHT_MM) for seed in range(NUM_BREASTS))
    return [lengths for lengths in found if lengths]


@pytest.fixture(scope="module", params=["usual", "varied"])
def table(request: pytest.FixtureRequest) -> LengthTable:
    return length_table(measured({"usual": PhantomOptions(), "varied": varied()}[request.param]))


@pytest.mark.parametrize("name", BOUNDS)
def test_phantoms_are_as_long_and_their_muscles_as_steep_as_in_patients(table: LengthTable, name: str) -> None:
    assert getattr(table, name) == pytest.approx(getattr(PATIENTS, name), abs=BOUNDS[name])


def test_the_table_of_patients_agrees_with_itself() -> None:
    assert PATIENTS.mlo_mm - PATIENTS.cc_mm == pytest.approx(PATIENTS.difference_mm)
    assert set(BOUNDS) == set(asdict(PATIENTS)) - {"breasts"}


def test_a_table_of_two_breasts_is_what_can_be_counted_by_hand() -> None:
    table = length_table([Lengths(80, 90, 20), Lengths(100, 80, 30)])
    assert (table.breasts, table.cc_mm, table.mlo_mm, table.difference_mm) == (2, 90, 85, -5)
    assert (table.difference_spread_mm, table.absolute_median_mm, table.within_10_mm) == (15, 15, 0.5)
    assert table.ratio_median == pytest.approx((90 / 80 + 80 / 100) / 2)
    assert (table.muscle_deg, table.muscle_spread_deg) == (25, 5)


def test_lengths_are_measured_to_the_edge_in_cc_and_across_the_line_in_mlo() -> None:
    cc = TrueLandmarks(nipple=(71.0, 5.0), foot=(0.0, 5.0), pectoral_line=None)
    mlo = TrueLandmarks(nipple=(60.0, 0.0), foot=(0.0, 0.0), pectoral_line=((50.0, 100.0), (0.0, 0.0)))
    lengths = lengths_of(cc, mlo)
    assert lengths is not None
    assert lengths.cc_mm == 71
    assert lengths.muscle_deg == pytest.approx(np.degrees(np.arctan2(50, 100)))
    assert lengths.mlo_mm == pytest.approx(60 * 100 / np.hypot(50, 100))
    assert lengths.difference_mm == pytest.approx(lengths.mlo_mm - 71)
    assert lengths_of(cc, cc) is None


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_the_truth_of_an_image_measures_the_same(laterality: str) -> None:
    options = replace(varied(), px_mm=0.96, num_tissue_points=10)
    truths = draw_pair(2, options, laterality=laterality).truth.views  # type: ignore[arg-type]
    cc, mlo = truths["CC"], truths["MLO"]
    lengths = lengths_in(views_of(2, options), height_mm=HEIGHT_MM)
    assert lengths is not None
    assert mlo.pectoral_line is not None
    edge = 0 if laterality == "L" else cc.cols
    assert abs(cc.nipple[0] - edge) * cc.px_mm == pytest.approx(lengths.cc_mm)
    top, bottom = np.array(mlo.pectoral_line)
    along = (bottom - top) / np.hypot(*(bottom - top))
    away = np.array(mlo.nipple) - top
    assert abs(along[0] * away[1] - along[1] * away[0]) * mlo.px_mm == pytest.approx(lengths.mlo_mm)


def test_a_truncated_cc_view_is_shorter_by_what_is_missing_and_never_by_more_than_a_fifth() -> None:
    usual = PhantomOptions()
    cut = replace(usual, difficulty=Difficulty(truncated_mm=15.0))
    missing = []
    for seed in range(80):
        whole, rest = (lengths_in(views_of(seed, options), height_mm=HEIGHT_MM) for options in (usual, cut))
        assert whole is not None
        assert rest is not None
        assert rest.mlo_mm == whole.mlo_mm
        missing.append((whole.cc_mm - rest.cc_mm, whole.cc_mm))
    millimetres, lengths = np.array(missing).T
    assert 12 < millimetres.max() <= 15
    assert millimetres.min() < 1
    assert (millimetres <= 0.2 * lengths * 1.03).all()  # the outline is uneven by some per cent


def test_views_without_a_spread_of_their_own_are_in_one_proportion() -> None:
    options = PhantomOptions(proportions=Proportions(view_spread=0.0))
    ratios = []
    for seed in range(20):
        lengths = draw_lengths(seed, draw_habitus(seed, options), options)
        ratios.append(lengths["MLO"] / lengths["CC"])
    np.testing.assert_allclose(ratios, 76.2 / 73.9)


@pytest.mark.parametrize("options", [PhantomOptions(), varied()], ids=["usual", "varied"])
@pytest.mark.parametrize("size", [-4.0, -1.0, 0.0, 1.0, 4.0])
def test_breasts_of_every_length_lie_on_the_detector_with_their_nipples(options: PhantomOptions, size: float) -> None:
    for seed in range(30):
        for name, view in views_of(seed, options, size=size).geometry.items():
            assert LENGTHS_MM[0] <= view.length_mm <= LENGTHS_MM[1]
            u, v = view.skin_mm()
            assert u.max() + NIPPLE_MM[0] < WIDTH_MM
            assert v[u >= 0].min() > -HEIGHT_MM / 2
            assert name == "MLO" or v[u >= 0].max() < HEIGHT_MM / 2
            tip_u, tip_v = view.detector_of(np.array([1.0]), np.array([0.0]))
            assert tip_u[0] > 15
            assert abs(tip_v[0]) < HEIGHT_MM / 2 - 20


@pytest.mark.parametrize("size", [-4.0, 0.0, 4.0])
def test_places_of_breasts_of_every_length_map_to_the_image_and_back(size: float) -> None:
    xi, nu = (axis.ravel() for axis in np.meshgrid(np.linspace(0.1, 0.7, 13), np.linspace(-0.6, 0.6, 13)))
    for seed in range(6):
        for view in views_of(seed, varied(), size=size).geometry.values():
            body = view.body_of(*view.detector_of(xi, nu))
            shown = body.x_mm > 0
            np.testing.assert_allclose(body.xi[shown], xi[shown], atol=1e-5)
            np.testing.assert_allclose(body.nu[shown], nu[shown], atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cc_mm": 20.0}, "fit the detector"),
        ({"mlo_mm": 200.0}, "fit the detector"),
        ({"view_spread": -0.1}, "negative"),
        ({"muscle_deg": (22.0, -1.0)}, "negative"),
    ],
)
def test_impossible_proportions_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Proportions(**values)  # type: ignore[arg-type]
