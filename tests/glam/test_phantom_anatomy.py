from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from glam.phantom import PhantomOptions, draw_breast
from glam.phantom.gland import draw_gland, gland_seen
from glam.phantom.habitus import draw_geometry, draw_habitus
from glam.phantom.lesions import CALC_TYPES, Lesion3D, draw_kinds, draw_lesion, grains, mass_body, spicules
from glam.phantom.options import DENSITY_THRESHOLDS, child, density_class, draw_gland_fraction
from glam.phantom.truth import assessment


def fractions(options: PhantomOptions, count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([draw_gland_fraction(rng, options) for _ in range(count)])


def test_one_density_law_reaches_all_classes_without_gaps():
    drawn = np.sort(fractions(PhantomOptions()))
    assert set(map(density_class, drawn)) == set("abcd")
    assert np.diff(np.log(drawn)).max() < 0.03
    low, high = PhantomOptions().gland_fraction
    assert low <= drawn[0]
    assert drawn[-1] <= high


def test_classes_can_be_balanced_or_left_out():
    balanced = Counter(map(density_class, fractions(PhantomOptions(density_weights=(1, 1, 1, 1)))))
    assert all(400 < balanced[name] < 600 for name in "abcd")
    assert set(map(density_class, fractions(PhantomOptions(density_weights=(0, 1, 0, 1))))) == {"b", "d"}


def test_the_density_class_grows_with_the_gland_fraction():
    classes = [density_class(fraction) for fraction in np.geomspace(0.01, 0.4, 50)]
    assert classes == sorted(classes)
    assert [density_class(edge) for edge in DENSITY_THRESHOLDS] == ["b", "c", "d"]


def test_more_gland_is_drawn_for_a_higher_fraction():
    means = [draw_gland(np.random.default_rng(4), fraction).mean() for fraction in (0.01, 0.05, 0.2, 0.4)]
    assert means == sorted(means)


def test_both_views_see_the_same_amount_of_gland():
    gland = draw_gland(np.random.default_rng(5), 0.2)
    options = PhantomOptions()
    cc, mlo = draw_geometry(0, draw_habitus(0, options), options).values()
    across = (np.arange(128) + 0.5) / 64 - 1
    chord = 2 * np.sqrt(1 - across**2)
    profiles = [(gland_seen(gland, view) * chord).sum(axis=1) for view in (cc, mlo)]
    np.testing.assert_allclose(profiles[0], profiles[1], rtol=0.02)


def test_the_same_seed_draws_the_same_breast():
    first, second = draw_breast(11), draw_breast(11)
    np.testing.assert_array_equal(first.gland, second.gland)
    np.testing.assert_array_equal(first.tissue, second.tissue)
    assert first.geometry == second.geometry
    assert first.lesions == second.lesions
    assert draw_breast(12).geometry != first.geometry


def test_lesions_and_pixel_size_leave_the_rest_of_the_breast_as_it_is():
    first = draw_breast(7, PhantomOptions(px_mm=0.24))
    second = draw_breast(7, PhantomOptions(px_mm=0.48, lesion_weights=(0, 1, 0, 0, 0, 0, 0)), with_lesions=False)
    np.testing.assert_array_equal(first.gland, second.gland)
    assert first.geometry == second.geometry
    assert second.lesions == ()


def test_a_child_seed_is_what_spawning_gives():
    expected = np.random.SeedSequence(9).spawn(3)[2]
    assert (child(9, 2).generate_state(4) == expected.generate_state(4)).all()


def test_every_mix_of_lesions_is_drawn_and_kept_apart():
    options = PhantomOptions(lesion_weights=(1,) * 7)
    rng = np.random.default_rng(0)
    assert len({draw_kinds(rng, options) for _ in range(200)}) == 7
    none = PhantomOptions(lesion_weights=(1, 0, 0, 0, 0, 0, 0))
    assert draw_kinds(rng, none) == ()


def test_masses_keep_their_bounds_and_densities():
    options = PhantomOptions(mass_mm=(9, 26), mass_densities=("equal", "high"))
    rng = np.random.default_rng(0)
    masses = [draw_lesion(rng, "mass", options) for _ in range(200)]
    assert all(9 <= mass.size_mm <= 26 for mass in masses)
    assert {mass.density for mass in masses} == {"equal", "high"}
    assert all(mass.margin != "circumscribed" for mass in masses if mass.shape == "irregular")


def test_a_round_mass_is_a_ball_of_its_diameter():
    mass = Lesion3D(
        kind="mass", point=(0, 0, 0), size_mm=20, shape="round", margin="circumscribed", density="equal", detail_seed=1
    )
    along = np.linspace(0, 20, 201)
    for axis in np.eye(3):
        inside = mass_body(mass).inside(along[:, None] * axis)
        assert inside[0] > 0.99
        assert inside[-1] < 0.01
        assert np.interp(-0.5, -inside, along) == pytest.approx(10, abs=1.5)


@pytest.mark.parametrize("calc_type", CALC_TYPES)
def test_grains_have_the_size_and_extent_of_their_type(calc_type):
    for distribution, extent in {"grouped": 6.0, "linear": 16.0, "segmental": 20.0, "regional": 30.0}.items():
        lesion = Lesion3D(
            kind="calcification",
            point=(0, 0, 0),
            size_mm=extent,
            calc_type=calc_type,
            distribution=distribution,
            detail_seed=3,
        )
        places, diameters = grains(lesion)
        assert len(places) == len(diameters) >= 7
        assert 0.1 < diameters.min() <= diameters.max() <= 1.5
        assert np.abs(places).max() < extent / 2 + 6


def test_spicules_of_a_distortion_start_in_its_middle_and_taper():
    away, weights = spicules(Lesion3D(kind="distortion", point=(0, 0, 0), size_mm=20, detail_seed=2))
    distance = np.linalg.norm(away, axis=1)
    assert distance.min() < 2
    assert weights.max() <= 1
    assert weights[distance < 3].mean() > weights[distance > 12].mean()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"kind": "mass", "shape": "round", "margin": "circumscribed", "density": "low"}, 2),
        ({"kind": "mass", "shape": "oval", "margin": "circumscribed", "density": "equal"}, 3),
        ({"kind": "mass", "shape": "oval", "margin": "indistinct", "density": "equal"}, 4),
        ({"kind": "mass", "shape": "irregular", "margin": "spiculated", "density": "equal"}, 5),
        ({"kind": "calcification", "calc_type": "popcorn", "distribution": "grouped"}, 2),
        ({"kind": "calcification", "calc_type": "punctate", "distribution": "grouped"}, 3),
        ({"kind": "calcification", "calc_type": "amorphous", "distribution": "regional"}, 4),
        ({"kind": "calcification", "calc_type": "fine pleomorphic", "distribution": "segmental"}, 5),
        ({"kind": "distortion"}, 4),
        ({"kind": "asymmetry"}, 3),
    ],
)
def test_words_call_for_their_assessment(words, expected):
    assert assessment((Lesion3D(point=(0, 0, 0), size_mm=10, **words),)) == expected


def test_calcifications_in_a_mass_are_suspicious():
    mass = Lesion3D(kind="mass", point=(0, 0, 0), size_mm=9, shape="oval", margin="circumscribed", density="low")
    grouped = Lesion3D(kind="calcification", point=(0, 0, 0), size_mm=5, calc_type="punctate", distribution="grouped")
    assert assessment((mass, grouped)) == 4
    assert assessment(()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"px_mm": 5.0}, "px_mm 5.0"),
        ({"gland_fraction": (0.05, 0.4)}, "does not reach"),
        ({"lesion_weights": (1.0,)}, "needs 7 shares"),
        ({"density_weights": (0, 0, 0, 0)}, "leave them out"),
        ({"mass_mm": (20, 10)}, "not an interval"),
    ],
)
def test_options_that_cannot_be_drawn_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PhantomOptions(), **changes)
