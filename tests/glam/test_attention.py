import numpy as np
import pytest

from glam.attention import (
    Attention,
    Region,
    compose_map,
    concentration,
    default_query,
    hottest_cells,
    patch_at,
    query_map,
    region_of_patch,
    return_query,
    tissue_patches,
)
from glam.frame import Frame, flip_columns, make_frame, scale

SIDE, GRID = 2, 4
WHOLE = make_frame(scale(0.5, 0.5), size=100, rows=200, cols=200)


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values)
    return powers / powers.sum(-1, keepdims=True)


def random_attention(seed: int = 0) -> Attention:
    rng = np.random.default_rng(seed)
    slices = [softmax(rng.normal(size=(SIDE, SIDE, SIDE))) for _ in range(2)]
    pooling = [softmax(rng.normal(size=(SIDE**2, GRID**2))) for _ in range(2)]
    return Attention(slices[0], slices[1], pooling[0], pooling[1])


def one_patch_a_region() -> np.ndarray:
    """(region, patch): region (i, j) pools patch (2i, 2j) alone."""
    pooling = np.zeros((SIDE**2, GRID**2))
    for row in range(SIDE):
        for col in range(SIDE):
            pooling[row * SIDE + col, 2 * row * GRID + 2 * col] = 1
    return pooling


@pytest.mark.parametrize("direction", ["cc_to_mlo", "mlo_to_cc"])
def test_a_map_is_slice_attention_times_the_pooling_of_its_keys(direction: str):
    attention = random_attention()
    slices, pooling = {
        "cc_to_mlo": (attention.cc_to_mlo, attention.pooling_mlo),
        "mlo_to_cc": (attention.mlo_to_cc, attention.pooling_cc),
    }[direction]
    for row in range(SIDE):
        for col in range(SIDE):
            naive = np.zeros(GRID**2)
            for key in range(SIDE):
                naive += slices[col, row, key] * pooling[key * SIDE + col]
            heat = compose_map(attention, direction=direction, row=row, col=col, grid=GRID)
            np.testing.assert_allclose(heat, naive.reshape(GRID, GRID))
            assert heat.sum() == pytest.approx(1)


def test_the_sides_are_read_off_the_arrays():
    attention = random_attention()
    assert (attention.side, attention.grid) == (SIDE, GRID)


def test_a_point_falls_into_its_patch_in_a_mirrored_image_too():
    assert patch_at(WHOLE, (199, 1), grid=GRID) == (0, 3)
    mirrored = Frame(tuple(flip_columns(100).ravel()), 100, 100, 100)
    assert patch_at(mirrored, (99, 26), grid=GRID) == (1, 0)


def test_a_point_outside_the_square_is_refused():
    with pytest.raises(ValueError, match="point 201,5 lies outside"):
        patch_at(WHOLE, (201, 5), grid=GRID)


def test_the_region_of_a_patch_is_the_one_that_pools_most_of_it():
    pooling = one_patch_a_region()
    attention = Attention(np.ones((2, 2, 2)) / 2, np.ones((2, 2, 2)) / 2, pooling, pooling[::-1])
    assert region_of_patch(attention, "cc", (2, 0), grid=GRID) == Region("cc", 1, 0)
    assert region_of_patch(attention, "mlo", (2, 0), grid=GRID) == Region("mlo", 0, 1)


def test_concentration_runs_from_even_to_one_place():
    assert concentration(np.full(9, 1 / 9)) == pytest.approx(0)
    assert concentration(np.eye(9)[3]) == pytest.approx(1)
    assert concentration(np.ones((4, 1))) == pytest.approx(np.ones(4))


def test_the_share_of_tissue_is_counted_by_patch():
    pixels = np.zeros((8, 8), np.float32)
    pixels[:2, 2:4] = 0.5  # a whole patch
    pixels[2, 0] = 0.5  # a quarter of one
    tissue = tissue_patches(pixels, grid=GRID).reshape(GRID, GRID)
    assert (tissue[0, 1], tissue[1, 0], tissue.sum()) == (1, 0.25, 1.25)


def test_the_default_query_is_concentrated_and_inside_the_breast():
    pooling = one_patch_a_region()
    even = np.full((SIDE, SIDE, SIDE), 0.5)
    sharp = even.copy()
    sharp[1, 0] = (1, 0)  # region (0, 1) of CC
    sharp[0, 1] = (0.9, 0.1)  # region (1, 0) of CC: less sharp
    everywhere = np.ones(GRID**2)
    attention = Attention(sharp, even, pooling, pooling)
    assert default_query(attention, {"cc": everywhere, "mlo": everywhere}) == Region("cc", 0, 1)
    without = everywhere.copy()
    without[2] = 0  # the patch of region (0, 1) is background
    assert default_query(attention, {"cc": without, "mlo": everywhere}) == Region("cc", 1, 0)
    assert default_query(attention, {"cc": everywhere, "mlo": without}) == Region("cc", 1, 0)


def test_the_way_back_starts_where_the_map_is_hottest():
    pooling = one_patch_a_region()
    slices = np.tile(np.array([0.2, 0.8]), (SIDE, SIDE, 1))
    attention = Attention(slices, slices, pooling, pooling)
    assert return_query(attention, Region("cc", 0, 1), grid=GRID) == Region("mlo", 1, 1)


def test_the_hottest_cells_come_first_with_their_corners_in_stored_pixels():
    heat = np.zeros((GRID, GRID))
    heat[1, 2], heat[3, 0] = 0.7, 0.3
    first, second = hottest_cells(heat, WHOLE, count=2)
    assert (first.row, first.col, first.weight) == (1, 2, 0.7)
    assert (second.row, second.col) == (3, 0)
    np.testing.assert_allclose(first.polygon, [(100, 50), (150, 50), (150, 100), (100, 100)])


def test_a_query_map_knows_its_direction():
    attention = random_attention(3)
    expected = compose_map(attention, direction="mlo_to_cc", row=1, col=0, grid=GRID)
    np.testing.assert_array_equal(query_map(attention, Region("mlo", 1, 0), grid=GRID), expected)
