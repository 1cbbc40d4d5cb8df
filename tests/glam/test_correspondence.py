import numpy as np
import pytest

from glam.attention import Attention, compose_map
from glam.correspondence import queries, query_regions, row_bands, row_scores
from glam.frame import cells_of, inside_square, make_frame

SIDE, GRID = 3, 6
FRAME = make_frame(np.diag([0.5, 0.5, 1.0]), size=30, rows=60, cols=60)


def local_pooling() -> np.ndarray:
    """Each region sees its own 2 x 2 patches."""
    pooling = np.zeros((SIDE**2, GRID, GRID))
    for region in range(SIDE**2):
        row, col = divmod(region, SIDE)
        pooling[region, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2] = 0.25
    return pooling.reshape(SIDE**2, -1)


def random_attention(seed: int) -> Attention:
    rng = np.random.default_rng(seed)
    slices = [rng.dirichlet(np.ones(SIDE), (SIDE, SIDE)) for _ in range(2)]
    pooling = [rng.dirichlet(np.ones(GRID**2), SIDE**2) for _ in range(2)]
    return Attention(cc_to_mlo=slices[0], mlo_to_cc=slices[1], pooling_cc=pooling[0], pooling_mlo=pooling[1])


@pytest.fixture
def shifted() -> Attention:
    """Row r of CC looks at row r + 1 of MLO (mod 3), and back."""
    down = np.tile(np.roll(np.eye(SIDE), 1, axis=1), (SIDE, 1, 1))
    return Attention(
        cc_to_mlo=down, mlo_to_cc=down.transpose(0, 2, 1), pooling_cc=local_pooling(), pooling_mlo=local_pooling()
    )


def test_cells_count_rows_down_and_cols_right():
    assert cells_of(np.array([[1.0, 1.0], [59.0, 1.0], [1.0, 59.0]]), FRAME, SIDE).tolist() == [[0, 0], [0, 2], [2, 0]]


def test_a_point_beyond_the_square_is_not_inside():
    assert inside_square(np.array([[30.0, 30.0], [61.0, 30.0], [30.0, -1.0]]), FRAME).tolist() == [True, False, False]


def test_row_bands_keep_the_weight():
    bands = row_bands(random_attention(0).pooling_cc, grid=GRID, side=SIDE)
    np.testing.assert_allclose(bands.sum(axis=1), 1)
    np.testing.assert_array_equal(row_bands(local_pooling(), grid=GRID, side=SIDE)[4], [0, 1, 0])


@pytest.mark.parametrize("query", ["cc", "mlo"])
def test_row_scores_are_the_composed_map_summed_by_rows(query):
    attention = random_attention(1)
    regions = np.array([[0, 2], [1, 1], [2, 0]])
    direction = {"cc": "cc_to_mlo", "mlo": "mlo_to_cc"}[query]
    expected = [
        compose_map(attention, direction=direction, row=row, col=col, grid=GRID).reshape(SIDE, 2, GRID).sum((1, 2))
        for row, col in regions
    ]
    np.testing.assert_allclose(row_scores(attention, query, regions, grid=GRID), expected)


def test_the_query_is_the_region_with_the_most_weight_at_the_point(shifted):
    points = np.array([[10.0, 50.0], [50.0, 10.0]])
    assert query_regions(shifted, "cc", points, FRAME, grid=GRID).tolist() == [[2, 0], [0, 2]]


def test_a_model_that_looks_at_the_right_row_scores_it_highest(shifted):
    here = np.array([[10.0, 10.0], [30.0, 30.0], [99.0, 30.0]])
    there = here + np.array([0, 20])
    found = queries(shifted, "cc", {"cc": FRAME, "mlo": FRAME}, {"cc": here, "mlo": there}, grid=GRID)
    assert found.true_rows.tolist() == [1, 2]  # the third lies outside
    assert found.scores.argmax(axis=1).tolist() == [1, 2]
    back = queries(shifted, "mlo", {"cc": FRAME, "mlo": FRAME}, {"cc": here, "mlo": there}, grid=GRID)
    assert back.scores.argmax(axis=1).tolist() == back.true_rows.tolist() == [0, 1]
