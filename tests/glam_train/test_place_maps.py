"""The composed maps in torch against those of the evaluation in numpy, their reach and their gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glam.attention import Attention
from glam.config import AlignmentConfig
from glam.correspondence import queries
from glam.frame import make_frame
from glam.model.alignment import Alignment, AlignmentModule
from glam_train.methods.losses import correspondence_loss
from glam_train.methods.place_maps import composed_maps, place_rows, seen_in_both

SIDE, SIZE = 3, 30
ANCHORED = AlignmentConfig(side=SIDE, pooling_heads=2, slice_heads=2)


def random_alignment(seed: int, *, pairs: int, grid: int) -> Alignment:
    rng = np.random.default_rng(seed)
    slices = [torch.tensor(rng.dirichlet(np.ones(SIDE), (pairs, SIDE, SIDE))) for _ in range(2)]
    pooling = [torch.tensor(rng.dirichlet(np.ones(grid**2), (pairs, SIDE**2))) for _ in range(2)]
    vectors = [torch.empty(0)] * 4
    return Alignment(*vectors, *pooling, *slices)


@pytest.mark.parametrize("grid", [6, 7])  # 37 patches are no multiple of 9 regions either
def test_the_maps_and_rows_that_are_trained_are_those_that_are_scored(grid):
    alignment = random_alignment(3, pairs=4, grid=grid)
    points = torch.tensor(np.random.default_rng(0).random((4, 5, 2, 2)), dtype=torch.float32)
    found = composed_maps(alignment, points)
    rows = place_rows(points, SIDE)
    frame = make_frame(np.eye(3), size=SIZE, rows=SIZE, cols=SIZE)
    for pair in range(4):
        attention = Attention(
            cc_to_mlo=alignment.cc_to_mlo[pair].numpy(),
            mlo_to_cc=alignment.mlo_to_cc[pair].numpy(),
            pooling_cc=alignment.pooling_cc[pair].numpy(),
            pooling_mlo=alignment.pooling_mlo[pair].numpy(),
        )
        stored = {key: points[pair, :, view].numpy() * SIZE for view, key in enumerate(("cc", "mlo"))}
        for view, key in enumerate(("cc", "mlo")):
            scored = queries(attention, key, {"cc": frame, "mlo": frame}, stored, grid=grid)
            np.testing.assert_allclose(found[view][pair], scored.scores, rtol=1e-5)
            np.testing.assert_array_equal(rows[1 - view][pair], scored.true_rows)


def test_every_map_sums_to_1_wherever_the_point_lies():
    maps = composed_maps(random_alignment(1, pairs=2, grid=6), torch.tensor([[[[-1.0, 0.5], [2.0, 0.5]]]] * 2))
    for scores in maps:
        torch.testing.assert_close(scores.sum(dim=-1), torch.ones(2, 1))


def test_no_place_is_no_map():
    maps = composed_maps(random_alignment(1, pairs=2, grid=6), torch.zeros(2, 0, 2, 2))
    assert [tuple(scores.shape) for scores in maps] == [(2, 0, SIDE)] * 2


@pytest.mark.parametrize("direction", ["both", "cc", "mlo"])
def test_the_gradient_reaches_the_patches_of_both_views(direction):
    torch.manual_seed(0)
    module = AlignmentModule(ANCHORED, dim=32, grid=6).double()
    patches = [torch.randn(2, 36, 32, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    points = torch.tensor([[[[0.5, 0.2], [0.5, 0.8]]], [[[0.1, 0.5], [0.1, 0.1]]]])
    maps_cc, maps_mlo = composed_maps(module(*patches), points)
    rows_cc, rows_mlo = place_rows(points, SIDE)
    if direction == "cc":
        maps_mlo = maps_mlo.detach()
    if direction == "mlo":
        maps_cc = maps_cc.detach()
    correspondence_loss(maps_cc, maps_mlo, rows_cc, rows_mlo, torch.ones(2, 1)).backward()
    for view in patches:
        assert view.grad is not None
        assert view.grad.abs().amax(dim=(1, 2)).min() > 1e-4


def test_a_place_outside_either_square_or_beyond_the_regions_reach_is_left_out():
    places = [
        ([0.5, 0.5], [0.5, 0.1], True),
        ([0.5, 0.5], [0.5, 1.0], False),  # below the other square
        ([-0.01, 0.5], [0.0, 0.5], False),
        ([0.1, 0.5], [0.55, 0.5], True),  # 1.35 regions apart
        ([0.1, 0.5], [0.65, 0.5], False),  # 1.65: no region of the slice sees it
    ]
    points = torch.tensor([[[cc, mlo] for cc, mlo, _ in places]])
    assert seen_in_both(points, ANCHORED).tolist() == [[kept for *_, kept in places]]
    free = replace(ANCHORED, pooling="free")  # looks everywhere
    assert seen_in_both(points, free).tolist() == [[True, False, False, True, True]]
