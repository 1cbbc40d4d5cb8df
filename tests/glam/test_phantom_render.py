import json
from dataclasses import replace

import numpy as np
import pytest

from glam.phantom import Pair, PhantomOptions, draw_breast, draw_pair, pair_of, render, report_facts
from glam.phantom.image import blur, cubic_matrix, fine_texture, splat
from glam.words.report import report_text

COARSE = PhantomOptions(px_mm=0.48, num_tissue_points=40)
ONE_MASS = (0, 1, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return draw_pair(3, COARSE)


def test_the_detector_is_the_same_at_every_pixel_size():
    assert PhantomOptions(px_mm=0.24).image_shape == (1024, 832)
    assert PhantomOptions(px_mm=0.48).image_shape == (512, 416)
    rows, cols = PhantomOptions(px_mm=0.1).image_shape
    assert rows * 0.1 == pytest.approx(245.76, abs=0.5)
    assert cols * 0.1 == pytest.approx(199.68, abs=0.5)


def test_pixels_are_12_bit_with_air_at_zero(pair):
    for projection in pair[:2]:
        assert projection.pixels.dtype == np.uint16
        assert projection.pixels.max() <= 4095
        assert projection.pixels.max() > 2000
        assert (projection.pixels[:, -40:] == 0).all()
        assert (projection.pixels[:, 5] > 0).mean() > 0.3


def test_the_same_seed_gives_the_same_pixels_in_any_order(pair):
    breast = draw_breast(3, COARSE)
    mlo_first, cc_second = render(breast, "MLO"), render(breast, "CC")
    np.testing.assert_array_equal(mlo_first.pixels, pair.mlo.pixels)
    np.testing.assert_array_equal(cc_second.pixels, pair.cc.pixels)


def test_a_right_breast_is_the_mirror_image_with_its_points_and_boxes(pair):
    mirrored = draw_pair(3, COARSE, laterality="R")
    assert pair.truth.lesions
    for left, right in zip(pair[:2], mirrored[:2], strict=True):
        cols = left.truth.cols
        np.testing.assert_array_equal(right.pixels, left.pixels[:, ::-1])
        np.testing.assert_allclose(right.truth.tissue[:, 0], cols - left.truth.tissue[:, 0])
        np.testing.assert_allclose(right.truth.nipple[0], cols - left.truth.nipple[0])
        assert right.truth.pnl_direction[0] == pytest.approx(-left.truth.pnl_direction[0])
        for of_left, of_right in zip(left.truth.lesions, right.truth.lesions, strict=True):
            x0, y0, x1, y1 = of_left.box
            assert of_right.box == pytest.approx((cols - x1, y0, cols - x0, y1))
            assert of_right.nipple_distance_mm == pytest.approx(of_left.nipple_distance_mm)


def test_truth_points_are_where_the_breast_maps_them(pair):
    breast = draw_breast(3, COARSE)
    for view, truth in pair.truth.views.items():
        np.testing.assert_allclose(breast.pixels_of(pair.truth.tissue, view), truth.tissue)
        for lesion in pair.truth.lesions:
            np.testing.assert_allclose(breast.pixels_of(np.array([lesion.point]), view)[0], lesion.views[view].centre)


def test_tissue_points_lie_inside_the_breast_of_both_images(pair):
    assert pair.truth.tissue.shape == (40, 3)
    assert pair.truth.tissue_gland.shape == (40,)
    for projection in pair[:2]:
        x, y = projection.truth.tissue.astype(int).T
        assert (projection.pixels[y, x] > 0).all()


def test_tissue_points_fill_the_breast_evenly():
    points = draw_breast(5, replace(COARSE, num_tissue_points=1000)).tissue
    radius = np.sqrt(1 - points[:, :1] ** 2)
    half_ball = points * np.concatenate([np.ones_like(radius), radius, radius], axis=1)
    for axis in (1, 2):
        assert abs(half_ball[:, axis].mean()) < 0.06
    assert 0.3 < half_ball[:, 0].mean() < 0.45  # 3/8 in a whole half ball


def test_the_nipple_is_the_foremost_point_of_the_cc_view():
    for seed in range(3):
        projection = render(draw_breast(seed, COARSE), "CC")
        x, _ = projection.truth.nipple
        reached = np.flatnonzero((projection.pixels > 0).any(axis=0))[-1]
        assert 0 < (reached - x) * projection.px_mm < 8


def test_the_posterior_nipple_line_has_the_angle_alpha(pair):
    for truth in pair.truth.views.values():
        along = np.subtract(truth.nipple, truth.pnl_foot)
        assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(truth.alpha_deg, abs=1e-6)
        assert truth.nipple_distance_mm(np.array([truth.nipple]))[0] == pytest.approx(0)
        assert truth.nipple_distance_mm(np.array([truth.pnl_foot]))[0] == pytest.approx(truth.pnl_mm)
    assert pair.truth.views["CC"].pectoral_line is None


def test_the_pectoral_line_parts_muscle_from_fat():
    fat = replace(COARSE, density_weights=(1, 0, 0, 0), lesion_weights=(1, 0, 0, 0, 0, 0, 0))
    for seed in range(2):
        projection = render(draw_breast(seed, fat), "MLO")
        (x0, y0), (x1, y1) = projection.truth.pectoral_line
        part = np.linspace(0.35, 0.75, 30)
        x, y = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
        kept = (x > 14) & (y > 14)
        rows = y[kept].astype(int)
        behind = projection.pixels[rows, (x[kept] - 12).astype(int)].astype(float)
        ahead = projection.pixels[rows, (x[kept] + 12).astype(int)].astype(float)
        assert (behind - ahead).mean() > 100


@pytest.mark.parametrize("kind", range(1, 7))
def test_a_lesion_changes_the_image_in_its_box_and_nowhere_far(kind):
    weights = tuple(float(index == kind) for index in range(7))
    options = replace(COARSE, lesion_weights=weights, density_weights=(1, 1, 0, 0), mass_densities=("high",))
    breast = draw_breast(20 + kind, options)
    for view in ("CC", "MLO"):
        shown, plain = render(breast, view), render(replace(breast, lesions=()), view)
        change = shown.pixels.astype(float) - plain.pixels
        near = np.zeros(change.shape, bool)
        for place in shown.truth.lesions:
            x0, y0, x1, y1 = np.array(place.box).astype(int)
            near[y0 : y1 + 1, x0 : x1 + 1] = True
            assert change[y0 : y1 + 1, x0 : x1 + 1].max() > 60
            assert x0 <= place.centre[0] <= x1 + 1
            assert y0 <= place.centre[1] <= y1 + 1
        assert change[near].mean() > 5 * abs(change[~near].mean())


def test_a_mass_is_brighter_than_its_surroundings():
    options = replace(
        COARSE, lesion_weights=ONE_MASS, mass_densities=("high",), mass_mm=(14, 20), density_weights=(1, 0, 0, 0)
    )
    contrasts = []
    for seed in range(3):
        for projection in draw_pair(seed, options)[:2]:
            (x, y), (x0, _, x1, _) = projection.truth.lesions[0].centre, projection.truth.lesions[0].box
            rows, cols = np.ogrid[: projection.truth.rows, : projection.truth.cols]
            distance = np.hypot(cols + 0.5 - x, rows + 0.5 - y) / (x1 - x0)
            ring = (distance > 0.9) & (distance < 1.2) & (projection.pixels > 0)
            contrasts.append(projection.pixels[distance < 0.3].mean() - projection.pixels[ring].mean())
    assert np.median(contrasts) > 200


def test_depth_words_follow_the_nipple_line(pair):
    for lesion in pair.truth.lesions:
        for view, place in lesion.views.items():
            share = place.nipple_distance_mm / pair.truth.views[view].pnl_mm
            assert place.depth == ("anterior" if share < 1 / 3 else "middle" if share < 2 / 3 else "posterior")


def test_a_dense_breast_is_measured_denser_than_a_fatty_one():
    densities = []
    for weights in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        options = replace(COARSE, density_weights=weights)
        densities.append([render(draw_breast(seed, options), "CC").truth.volumetric_density for seed in range(2)])
    means = np.mean(densities, axis=1)
    assert (np.diff(means) > 0).all()
    assert means[0] < 0.06 < 0.25 < means[-1]


def test_truth_is_json_and_tells_the_screening_class(pair):
    data = json.loads(json.dumps(pair.truth.as_json()))
    assert data["views"]["MLO"]["nipple"] == list(pair.mlo.truth.nipple)
    assert len(data["tissue"]) == 40
    assert data["birads"] == 5
    assert data["birads_screening"] == 0
    assert data["cancer"] == 1
    assert replace(pair.truth, birads=2).birads_screening == 2


def test_the_report_names_what_was_drawn(pair):
    text = report_text(report_facts(pair.truth, "MLO", age=61))
    assert "61 years old" in text
    assert "left breast with MLO view" in text
    assert pair.truth.lesions[0].margin in text


def test_pairs_of_a_breast_are_what_draw_pair_gives(pair):
    again = pair_of(draw_breast(3, COARSE))
    np.testing.assert_array_equal(again.mlo.pixels, pair.mlo.pixels)
    assert again.truth.lesions == pair.truth.lesions


def test_splatted_weights_keep_their_sum_and_centre():
    image = splat(np.array([3.3]), np.array([5.8]), np.array([2.0]), (10, 8))
    rows, cols = np.mgrid[:10, :8] + 0.5
    assert image.sum() == pytest.approx(2)
    assert (image * cols).sum() / 2 == pytest.approx(3.3)
    assert (image * rows).sum() / 2 == pytest.approx(5.8)
    assert splat(np.array([-3.0]), np.array([5.0]), np.array([1.0]), (10, 8)).sum() == 0


def test_cubic_interpolation_is_exact_for_a_line_inside():
    coarse = np.arange(10) + 0.5
    fine = cubic_matrix(40, 10, 4) @ coarse
    np.testing.assert_allclose(fine[8:-8], ((np.arange(40) + 0.5) / 4)[8:-8], atol=1e-6)


def test_fine_texture_has_unit_variance_and_no_long_waves():
    texture = fine_texture(np.random.default_rng(0), (256, 256), 0.24)
    assert texture.std() == pytest.approx(1, abs=0.1)
    assert blur(texture, 20).std() < 0.1
