import numpy as np
import pytest

from glam.phantom import PhantomOptions
from glam.phantom.habitus import draw_geometry, draw_habitus
from glam.phantom.mapping import Detector


def half_ball(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform((0, -1, -1), (1, 1, 1), (4 * count, 3))
    return points[(points**2).sum(axis=1) < 0.98][:count]


def geometries(seed: int, **options):
    chosen = PhantomOptions(**options)
    return draw_geometry(seed, draw_habitus(seed, chosen), chosen).values()


@pytest.mark.parametrize("positioning_mm", [0.0, 2.5, 5.0])
def test_what_the_image_shows_maps_to_the_body_and_back_exactly(positioning_mm):
    xi, eta, zeta = half_ball(2000).T
    for seed in range(8):
        for geometry in geometries(seed, positioning_mm=positioning_mm):
            nu = eta * np.cos(geometry.theta) + zeta * np.sin(geometry.theta)
            u, v = geometry.detector_of(xi, nu)
            body = geometry.body_of(u, v)
            shown = body.x_mm > 0
            assert shown.mean() > 0.9
            np.testing.assert_allclose(body.xi[shown], xi[shown], atol=1e-5)
            np.testing.assert_allclose(body.nu[shown], nu[shown], atol=1e-5)


def test_pixels_map_to_the_body_and_back():
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(15, 60, 20), np.linspace(-40, 40, 20)))
    for seed in range(5):
        for geometry in geometries(seed):
            body = geometry.body_of(u, v)
            inside = (body.depth_mm > 2) & (body.x_mm > 0)
            assert inside.any()
            back = geometry.detector_of(body.xi[inside], body.nu[inside])
            np.testing.assert_allclose(back, (u[inside], v[inside]), atol=1e-4)


def test_the_skin_lies_at_depth_zero_and_what_is_outside_is_negative():
    for geometry in geometries(3):
        angle = np.linspace(-1.2, 1.2, 50)
        u, v = geometry.detector_of(np.cos(angle), np.sin(angle))
        np.testing.assert_allclose(geometry.body_of(u, v).depth_mm, 0, atol=1e-2)
        beyond = geometry.body_of(u + 5 * np.cos(geometry.alpha), v - 5 * np.sin(geometry.alpha))
        assert (beyond.depth_mm < 0).all()


def test_cc_has_no_gantry_angle_and_mlo_lies_in_its_range():
    angles = [[np.degrees(view.theta) for view in geometries(seed, theta_deg=(30, 70))] for seed in range(40)]
    cc, mlo = np.array(angles).T
    assert (cc == 0).all()
    assert mlo.min() >= 30
    assert mlo.max() <= 70
    assert np.ptp(mlo) > 20


def test_a_right_detector_mirrors_the_columns():
    left = Detector(rows=8, cols=6, px_mm=0.5, laterality="L")
    right = Detector(rows=8, cols=6, px_mm=0.5, laterality="R")
    u, v = np.array([0.25]), np.array([1.75])
    np.testing.assert_allclose(left.pixels_of(u, v), [[0.5, 0.5]])
    np.testing.assert_allclose(right.pixels_of(u, v), [[5.5, 0.5]])
    np.testing.assert_allclose(right.places_of(right.pixels_of(u, v)), (u, v))
