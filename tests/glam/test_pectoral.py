import numpy as np
import pytest

from glam.anatomy import breast, pectoral
from glam.anatomy.breast import Line
from glam.anatomy.nipple import chest_nipple_axis, find_nipple
from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.options import PhantomOptions
from glam.phantom.pair import draw_pair


def oblique(angle_deg: float = 20, top: float = 130, contrast: float = 0.2, bend: float = 0.0) -> np.ndarray:
    """A breast with a bright muscle left of a line that meets the upper border at `top`."""
    y, x = np.mgrid[:512, :400] + 0.5
    body = (x / 260) ** 2 + ((y - 240) / 280) ** 2 < 1
    tangent = np.tan(np.deg2rad(angle_deg))
    picture = np.where(body, 0.4, 0) + contrast * (body & (x < top - y * tangent + bend * (y - 300) ** 2))
    noise = np.random.default_rng(0).normal(0, 0.02, picture.shape)
    return np.where(body, picture + noise, 0).astype(np.float32)


@pytest.mark.parametrize("angle_deg", [10, 15, 20, 28, 36])
def test_a_straight_muscle_edge_is_found(angle_deg: float) -> None:
    picture = oblique(angle_deg)
    line = pectoral.pectoral_line(picture, picture > 0)
    assert line is not None
    assert line.angle_deg == pytest.approx(angle_deg, abs=1)
    assert line.offset == pytest.approx(130 * np.cos(np.deg2rad(angle_deg)), abs=2)
    assert line.confidence > 0.35


def test_the_muscle_behind_a_bent_edge_is_masked_to_the_edge() -> None:
    picture = oblique(bend=3e-4)
    body = picture > 0
    line = pectoral.pectoral_line(picture, body)
    assert line is not None
    seen = pectoral.muscle_mask(picture.shape, line) & body
    y, x = np.mgrid[:512, :400] + 0.5
    true = body & (x < 130 - y * np.tan(np.deg2rad(20)) + 3e-4 * (y - 300) ** 2) & (y < 300)
    assert (seen & true)[:300].sum() / (seen | true)[:300].sum() > 0.9


def test_without_a_muscle_there_is_no_line() -> None:
    picture = oblique(contrast=0.0)
    assert pectoral.pectoral_line(picture, picture > 0) is None


def test_the_line_of_an_angle_starts_the_axis_at_the_edge_of_the_picture() -> None:
    body = oblique() > 0
    line = pectoral.line_of_angle(body, 19.0, 0.0)
    assert (line.angle_deg, line.confidence) == (19, 0)
    assert chest_nipple_axis(find_nipple(body, 19.0), line).foot[0] == pytest.approx(0, abs=0.5)


def test_behind_a_vertical_line_at_the_edge_there_is_no_muscle() -> None:
    assert not pectoral.muscle_mask((20, 30), Line(0.0, 0.0, 1.0)).any()


def test_the_angle_of_most_phantoms_is_found_within_two_degrees() -> None:
    errors = []
    for seed in range(8):
        projection = draw_pair(seed, PhantomOptions(px_mm=0.48)).mlo
        picture = breast.small(view_of(projection, FrameConfig()).pixels)
        line = pectoral.pectoral_line(picture, breast.breast_mask(picture).mask)
        assert line is not None
        errors.append(line.angle_deg - projection.truth.alpha_deg)
    assert np.median(np.abs(errors)) < 1.5
    assert np.quantile(np.abs(errors), 0.8) < 4


def test_a_breast_too_shallow_for_an_edge_has_no_muscle() -> None:
    y, x = np.mgrid[:500, :300].astype(np.float32)
    picture = np.where(x < 14, 0.4 + 0.2 * np.cos(y / 40), 0).astype(np.float32)
    assert pectoral.pectoral_line(picture, picture > 0) is None
