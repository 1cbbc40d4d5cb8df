"""Late interaction over slices, held to loops in float64."""

import pytest
import torch
from torch.nn import functional as F

from glam_train.methods.late_interaction import late_interaction_loss, slice_likeness

SIDE = 3


def views(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, 4, SIDE**2, 6, dtype=torch.float64, generator=generator)
    cc, mlo = F.normalize(drawn, dim=-1)
    return cc, mlo


@pytest.mark.parametrize("best", [None, 1, 2, 3])
def test_the_likeness_of_slices_is_the_mean_of_the_best_matches_both_ways(best):
    cc, mlo = views()
    found = slice_likeness(cc, mlo, best_regions=best)
    assert found.shape == (SIDE, 4, 4)
    for col in range(SIDE):
        for i in range(4):
            for j in range(4):
                rows = [row * SIDE + col for row in range(SIDE)]
                ways = []
                for own, other in ((cc[i], mlo[j]), (mlo[j], cc[i])):
                    matches = sorted((max(float(own[r] @ other[s]) for s in rows) for r in rows), reverse=True)
                    kept = matches[: best or SIDE]
                    ways.append(sum(kept) / len(kept))
                assert float(found[col, i, j]) == pytest.approx(sum(ways) / 2, rel=1e-12)


def test_the_loss_contrasts_a_slice_with_the_same_slice_of_other_breasts_both_ways():
    cc, mlo = views(1)
    likeness = 7.0 * slice_likeness(cc, mlo, best_regions=2)
    targets = torch.arange(4)
    expected = torch.stack([
        (F.cross_entropy(of_slice, targets) + F.cross_entropy(of_slice.mT, targets)) / 2 for of_slice in likeness
    ]).mean()  # fmt: skip
    assert float(late_interaction_loss(cc, mlo, 7.0, best_regions=2)) == pytest.approx(float(expected), rel=1e-12)


def test_rows_in_another_order_cost_nothing_and_slices_in_another_order_do():
    cc, _ = views(2)
    grid = cc.unflatten(1, (SIDE, SIDE))
    rows, cols = grid[:, [2, 0, 1]].flatten(1, 2), grid[:, :, [2, 0, 1]].flatten(1, 2)
    same, turned, moved = (float(late_interaction_loss(cc, other, 20.0)) for other in (cc, rows, cols))
    assert turned == pytest.approx(same, rel=1e-12)
    assert moved > 2 * same


def test_gradcheck_of_late_interaction():
    leaves = [view[:3].clone().requires_grad_() for view in views(3)]
    assert torch.autograd.gradcheck(lambda cc, mlo: late_interaction_loss(cc, mlo, 3.0, best_regions=2), leaves)
