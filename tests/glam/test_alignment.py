import pytest
import torch
from torch import nn

from glam.config import AlignmentConfig
from glam.model.alignment import (
    AlignmentModule,
    AnchoredPooling,
    PlainAttention,
    RegionPooling,
    SliceAttention,
    average_weights,
    centre_preference,
    columns,
    position_code,
    regions,
    unit_vectors,
    window_mask,
)

SIDE, GRID, DIM = 3, 9, 8


def small_module(pooling: str = "anchored", window: float = 0.5, **changes) -> AlignmentModule:
    """Three slices of three regions over 9 x 9 patches; windows of half a region tile the square."""
    torch.manual_seed(0)
    config = AlignmentConfig(side=SIDE, pooling=pooling, pooling_heads=2, slice_heads=2, window=window, **changes)
    module = AlignmentModule(config, dim=DIM, grid=GRID).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def patches(seed: int) -> torch.Tensor:
    return torch.randn(2, GRID**2, DIM, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def aligned(module: AlignmentModule, cc: torch.Tensor, mlo: torch.Tensor):
    return module(cc, mlo)


def test_columns_are_ap_slices_and_regions_is_their_inverse():
    numbered = torch.arange(2.0 * SIDE**2).reshape(2, SIDE**2, 1)
    slices = columns(numbered, SIDE)
    assert slices[..., 0].tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8], [9, 12, 15], [10, 13, 16], [11, 14, 17]]
    assert torch.equal(regions(slices, SIDE), numbered)


@pytest.mark.parametrize("pooling", ["free", "anchored", "average"])
@pytest.mark.parametrize("keys", ["slice", "band", "all"])
def test_maps_are_distributions_and_vectors_have_unit_length(pooling, keys):
    alignment = aligned(small_module(pooling, keys=keys), patches(1), patches(2))
    for maps in (alignment.pooling_cc, alignment.pooling_mlo, alignment.cc_to_mlo, alignment.mlo_to_cc):
        assert torch.allclose(maps.sum(dim=-1), torch.ones(()), atol=1e-5)
    assert alignment.pooling_cc.shape == (2, SIDE**2, GRID**2)
    assert alignment.cc_to_mlo.shape == (2, SIDE, SIDE, SIDE)
    for vectors in alignment[:4]:
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("view", ["cc", "mlo"])
def test_patches_of_another_slice_change_nothing_in_a_slice(view):
    """Exactly: the vectors and maps of column 0 depend on the patches that feed column 0, in both views."""
    module, cc, mlo = small_module(), patches(1), patches(2)
    before = aligned(module, cc, mlo)
    changed = (cc if view == "cc" else mlo).unflatten(1, (GRID, GRID))
    changed[:, :, 3:] = patches(3).unflatten(1, (GRID, GRID))[:, :, 3:]  # the patches of columns 1 and 2
    after = aligned(module, cc, mlo)
    column = [0, 3, 6]
    for name in ("regions_cc", "regions_mlo", "aligned_cc", "aligned_mlo"):
        first, second = getattr(before, name), getattr(after, name)
        assert torch.equal(first[:, column], second[:, column])
    assert torch.equal(before.cc_to_mlo[:, 0], after.cc_to_mlo[:, 0])
    assert torch.equal(before.mlo_to_cc[:, 0], after.mlo_to_cc[:, 0])
    assert not torch.allclose(before.cc_to_mlo[:, 1:], after.cc_to_mlo[:, 1:])


def test_slice_attention_equals_a_loop_over_columns_and_heads():
    torch.manual_seed(0)
    slices = SliceAttention(AlignmentConfig(slice_heads=2, values="projected"), dim=DIM).attention.eval()
    query, key = torch.randn(5, SIDE, DIM), torch.randn(5, SIDE, DIM)
    with torch.no_grad():
        aligned_rows, weights = slices(query, key)
        queries, keys, values = (
            nn.functional.linear(rows, weight, bias)
            for rows, weight, bias in zip(
                (query, key, key), slices.attn.in_proj_weight.chunk(3), slices.attn.in_proj_bias.chunk(3), strict=True
            )
        )
        for column in range(5):
            heads, maps = [], []
            for head in (slice(0, 4), slice(4, 8)):
                logits = queries[column][:, head] @ keys[column][:, head].T / 4**0.5
                maps.append(logits.softmax(dim=1))
                heads.append(maps[-1] @ values[column][:, head])
            assert torch.allclose(weights[column], (maps[0] + maps[1]) / 2, atol=1e-6)
            assert torch.allclose(aligned_rows[column], slices.attn.out_proj(torch.cat(heads, dim=1)), atol=1e-6)


@pytest.mark.parametrize("grid", [18, 37])
@pytest.mark.parametrize("window", [0.5, 1.5])
def test_windows_are_centred_on_their_regions_and_drop_no_patch(grid, window):
    seen = window_mask(9, grid, window).unflatten(1, (grid, grid)).unflatten(0, (9, 9))
    assert seen.any(dim=0).any(dim=0).all()
    for row, col in ((0, 0), (4, 7), (8, 3)):
        for patch_row in range(grid):
            for patch_col in range(grid):
                down = abs((row + 0.5) / 9 - (patch_row + 0.5) / grid)
                right = abs((col + 0.5) / 9 - (patch_col + 0.5) / grid)
                expected = max(down, right) <= window / 9 + 1e-6
                assert seen[row, col, patch_row, patch_col] == expected


def test_a_window_without_a_patch_centre_sees_the_nearest_patch():
    seen = window_mask(9, 4, 0.25).unflatten(0, (9, 9))
    assert seen.any(dim=2).all()
    assert seen[0, 0].nonzero().tolist() == [[0]]


def test_anchored_weights_are_zero_outside_the_window():
    torch.manual_seed(0)
    config = AlignmentConfig(side=SIDE, pooling_heads=2, window=0.5)
    pooling = AnchoredPooling(config, dim=DIM, grid=GRID)
    weights = pooling(patches(0)).weights.unflatten(2, (GRID, GRID))
    assert weights[:, 5, 3:6, 6:9].sum(dim=(1, 2)).tolist() == pytest.approx([1.0, 1.0])
    weights[:, 5, 3:6, 6:9] = 0
    assert (weights[:, 5] == 0).all()


def test_free_queries_do_not_know_where_a_patch_lies_and_anchored_ones_do():
    torch.manual_seed(0)
    config, tokens = AlignmentConfig(side=SIDE, pooling_heads=2, window=5.0), patches(0)
    order = torch.randperm(GRID**2)
    free = RegionPooling(config, dim=DIM)
    assert torch.allclose(free(tokens).vectors, free(tokens[:, order]).vectors, atol=1e-6)
    near = AnchoredPooling(AlignmentConfig(side=SIDE, pooling_heads=2, window=0.5), dim=DIM, grid=GRID)
    assert not torch.allclose(near(tokens).vectors, near(tokens[:, order]).vectors, atol=1e-3)


def test_position_code_tells_all_places_apart():
    code = position_code(9, 16)
    distance = torch.cdist(code, code) + 10 * torch.eye(81)
    assert distance.min() > 0.1
    with pytest.raises(ValueError, match="multiple of 4, not 18"):
        position_code(9, 18)


def test_buffers_that_follow_from_the_config_are_not_saved():
    assert not [name for name in small_module().state_dict() if "preference" in name or "position" in name]


def test_unit_vectors_are_computed_in_fp32_at_least():
    assert unit_vectors(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32
    assert unit_vectors(torch.ones(1, 4, dtype=torch.float64)).dtype == torch.float64
    assert not unit_vectors(torch.zeros(1, 4)).isnan().any()


def test_with_plain_values_a_region_looks_at_its_likeness_before_any_training():
    """The MLO view holds the rows of the CC view in another order: the maps follow them."""
    config = AlignmentConfig(side=SIDE, pooling_heads=1, slice_heads=1, window=0.5)
    module = AlignmentModule(config, dim=16, grid=SIDE).eval()
    cc = torch.nn.functional.one_hot(torch.arange(SIDE**2), 16).float()[None] * 9
    order = torch.tensor([2, 0, 1])  # row of MLO -> row of CC
    mlo = cc.unflatten(1, (SIDE, SIDE))[:, order].flatten(1, 2)
    alignment = aligned(module, cc, mlo)
    assert alignment.cc_to_mlo.argmax(dim=-1)[0].tolist() == [order.argsort().tolist()] * SIDE
    assert alignment.mlo_to_cc.argmax(dim=-1)[0].tolist() == [order.tolist()] * SIDE


def test_plain_attention_finds_the_weighted_mean_of_its_keys():
    torch.manual_seed(0)
    attention = PlainAttention(DIM, heads=2).eval()
    nn.init.normal_(attention.query.weight)
    nn.init.normal_(attention.key.weight)
    queries, keys = torch.randn(5, 4, DIM), torch.randn(5, SIDE, DIM)
    preference = torch.randn(4, SIDE)
    with torch.no_grad():
        values, weights = attention(queries, keys, preference)
        query, key = attention.query(queries), attention.key(keys)
    for row in range(5):
        maps = [
            (query[row][:, head] @ key[row][:, head].T / 4**0.5 + preference).softmax(dim=1)
            for head in (slice(0, 4), slice(4, 8))
        ]
        assert torch.allclose(weights[row], (maps[0] + maps[1]) / 2, atol=1e-6)
        assert torch.allclose(values[row], weights[row] @ keys[row], atol=1e-6)


def test_an_anchored_query_prefers_its_centre():
    config = AlignmentConfig(side=SIDE, window=1.5, spread=0.5)
    liking = centre_preference(config, GRID).unflatten(1, (GRID, GRID))[4]  # the region in the middle
    assert liking[4, 4] == 0
    assert liking[4, 7] == pytest.approx(-2.0)  # one region off at half a region's spread
    assert liking[0, 4] == pytest.approx(-((4 / 3) ** 2) * 2)
    flat = centre_preference(AlignmentConfig(side=SIDE, window=1.5, spread=None), GRID)
    assert set(flat.unique().tolist()) == {0.0, float("-inf")}


@pytest.mark.parametrize(("grid", "step"), [(18, 2), (37, 4)])
def test_averages_are_of_whole_squares_of_patches_and_leave_out_what_is_beyond(grid, step):
    weights = average_weights(9, grid).unflatten(1, (grid, grid)).unflatten(0, (9, 9))
    for row, col in ((0, 0), (4, 7), (8, 8)):
        square = weights[row, col, row * step : (row + 1) * step, col * step : (col + 1) * step]
        assert square.flatten().tolist() == pytest.approx([1 / step**2] * step**2)
        assert weights[row, col].sum() == pytest.approx(1)
    assert weights[..., 9 * step :].sum() == 0
    with pytest.raises(ValueError, match="9 regions along a side cannot average 4 patches"):
        average_weights(9, 4)


def test_attention_to_all_regions_equals_one_softmax_over_the_other_view_and_tells_its_rows():
    module = small_module(keys="all", values="plain")
    alignment = aligned(module, patches(1), patches(2))
    attention = module.cc_to_mlo.attention
    cc, mlo = (module.norm(pool(patches(seed)).vectors) for pool, seed in ((module.pool_cc, 1), (module.pool_mlo, 2)))
    with torch.no_grad():
        aligned_cc, weights = attention(cc, mlo)
    assert torch.allclose(alignment.aligned_cc, unit_vectors(aligned_cc), atol=1e-6)
    for region in range(SIDE**2):
        row, col = divmod(region, SIDE)
        of_rows = weights[:, region].unflatten(1, (SIDE, SIDE)).sum(dim=2)
        assert torch.allclose(alignment.cc_to_mlo[:, col, row], of_rows, atol=1e-6)


def test_a_narrow_band_is_the_slice_and_a_wide_one_is_all_regions():
    sliced, narrow, wide, every = (
        aligned(small_module(**changes), patches(1), patches(2))
        for changes in ({}, {"keys": "band", "band": 0.05}, {"keys": "band", "band": 1e4}, {"keys": "all"})
    )
    for name in ("aligned_cc", "cc_to_mlo", "mlo_to_cc"):
        assert torch.allclose(getattr(narrow, name), getattr(sliced, name), atol=1e-5)
        assert torch.allclose(getattr(wide, name), getattr(every, name), atol=1e-5)
        assert not torch.allclose(getattr(every, name), getattr(sliced, name), atol=1e-3)
