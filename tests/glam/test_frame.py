import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glam.frame import (
    Frame,
    cell_polygon,
    compose,
    crop,
    flip_columns,
    flip_rows,
    frame_from_json,
    index_matrix,
    make_frame,
    rotate,
    scale,
    transform,
)

STEPS = st.one_of(
    st.builds(flip_columns, st.floats(1, 5000)),
    st.builds(flip_rows, st.floats(1, 5000)),
    st.builds(crop, st.floats(-2000, 2000), st.floats(-2000, 2000)),
    st.builds(rotate, st.floats(-180, 180)),
    st.builds(scale, st.floats(0.2, 5), st.floats(0.2, 5)),
)
POINTS = st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 5000)), min_size=1, max_size=8)


def identity_frame(size: int = 90, rows: int = 90, cols: int = 90) -> Frame:
    return make_frame(np.eye(3), size=size, rows=rows, cols=cols)


@settings(max_examples=1000)
@given(st.lists(STEPS, max_size=8), POINTS)
def test_a_way_there_and_back_ends_within_half_a_pixel(steps: list[np.ndarray], points: list[tuple]) -> None:
    frame = make_frame(compose(*steps), size=518, rows=5000, cols=5000)
    np.testing.assert_allclose(frame.to_pixels(frame.to_square(points)), points, atol=0.5)


@given(st.lists(STEPS, max_size=6), POINTS)
def test_a_composition_is_its_steps_one_by_one(steps: list[np.ndarray], points: list[tuple]) -> None:
    expected = np.asarray(points, float)
    for step in steps:
        expected = transform(step, expected)
    np.testing.assert_allclose(transform(compose(*steps), points), expected, rtol=1e-6, atol=1e-3)


@given(st.lists(STEPS, max_size=6), st.integers(0, 8), st.integers(0, 8))
def test_a_cell_lies_inside_the_image(steps: list[np.ndarray], row: int, col: int) -> None:
    frame = make_frame(compose(*steps), size=518, rows=400, cols=300)
    polygon = cell_polygon(frame, 9, row, col)
    assert polygon.shape == (4, 2)
    assert (polygon >= 0).all()
    assert (polygon <= (300, 400)).all()


def test_a_frame_survives_json() -> None:
    matrix = compose(rotate(19), scale(0.1, 0.3), crop(5, -7))
    frame = make_frame(matrix, size=252, rows=10, cols=20)
    assert frame_from_json(json.loads(json.dumps(frame.as_json()))) == frame


def test_a_matrix_without_an_inverse_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an inverse"):
        make_frame(scale(0, 1), size=252, rows=10, cols=10)


def test_the_direction_of_the_angle_becomes_the_x_axis() -> None:
    turned = transform(rotate(30), [[np.cos(np.pi / 6), np.sin(np.pi / 6)]])
    np.testing.assert_allclose(turned, [[1, 0]], atol=1e-12)


def test_a_mirrored_pixel_centre_stays_a_pixel_centre() -> None:
    np.testing.assert_allclose(transform(flip_columns(10), [[0.5, 3]]), [[9.5, 3]])


def test_indices_are_half_a_pixel_from_places() -> None:
    halved = index_matrix(scale(0.5, 0.5))
    np.testing.assert_allclose(transform(halved, [[0.5, 0.5]]), [[0, 0]])


def test_a_cell_has_its_corners_in_order() -> None:
    corners = cell_polygon(identity_frame(), 9, 1, 2)
    np.testing.assert_allclose(corners, [[20, 10], [30, 10], [30, 20], [20, 20]])


def test_a_cell_beyond_the_image_is_drawn_to_its_edge() -> None:
    corners = cell_polygon(identity_frame(rows=15), 9, 1, 2)
    np.testing.assert_allclose(corners, [[20, 10], [30, 10], [30, 15], [20, 15]])
