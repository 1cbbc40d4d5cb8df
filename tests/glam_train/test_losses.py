"""Every loss against loops written from the equations (float64, values and gradients), and the paper's values."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from glam_train.methods.losses import (
    correspondence_loss,
    global_loss,
    image_text_loss,
    info_nce,
    local_loss,
    nt_xent,
    official_image_text_loss,
    official_local_loss,
    symmetric_nce,
    view_loss,
    with_positive,
    without_positive,
)

GOLDEN = Path(__file__).parents[1] / "golden"
SCALE = torch.tensor(5.0, dtype=torch.float64)


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1).requires_grad_()


def nce(positive: Tensor, denominator: list[Tensor]) -> Tensor:
    """-log of exp(positive) over the sum of exp of the denominator's logits."""
    return sum(logit.exp() for logit in denominator).log() - positive


def mean(terms: list[Tensor]) -> Tensor:
    return sum(terms) / len(terms)


def loop_nce(anchors: Tensor, others: Tensor, scale: Tensor) -> Tensor:
    return mean([nce(scale * a @ others[i], [scale * a @ o for o in others]) for i, a in enumerate(anchors)])


def loop_global(cc: Tensor, mlo: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    views = [
        loop_nce(cc, text, scale),
        loop_nce(text, cc, scale),
        loop_nce(mlo, text, scale),
        loop_nce(text, mlo, scale),
    ]
    return loop_nce(cc, mlo, scale) + sum(views) / 2


def loop_local_view(regions: Tensor, aligned: Tensor, scale: Tensor, positive_is_in: bool) -> Tensor:
    terms = []
    for image in range(len(regions)):
        for region in range(regions.shape[1]):
            query = regions[image, region]
            positive = scale * query @ aligned[image, region]
            within = [scale * query @ aligned[image, r] for r in range(regions.shape[1]) if r != region]
            across = [scale * query @ aligned[i, region] for i in range(len(regions)) if i != image]
            terms.append(nce(positive, [positive] * positive_is_in + within + across))
    return mean(terms)


def loop_official_local(regions: Tensor, aligned: Tensor, scale: Tensor) -> Tensor:
    batch, num_regions, _ = regions.shape
    within = [(regions[i], aligned[i]) for i in range(batch)]
    across = [(regions[:, r], aligned[:, r]) for r in range(num_regions)]
    both = [mean([loop_nce(q, p, scale) + loop_nce(p, q, scale) for q, p in group]) / 2 for group in (within, across)]
    return both[0] + both[1]


def loop_nt_xent(cc: Tensor, mlo: Tensor) -> Tensor:
    vectors, n, terms = [v / v.norm() for v in (*cc, *mlo)], len(cc), []
    for i, anchor in enumerate(vectors):
        others = [anchor @ v / 0.5 for j, v in enumerate(vectors) if j != i]
        terms.append(nce(anchor @ vectors[(i + n) % (2 * n)] / 0.5, others))
    return mean(terms)


def assert_same(ours: Tensor, loop: Tensor, leaves: list[Tensor]) -> None:
    """Values and gradients agree to float64."""
    assert ours.item() == pytest.approx(loop.item(), rel=1e-12)
    for gradient, expected in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(loop, leaves), strict=True):
        assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def learnable_scale() -> Tensor:
    return SCALE.clone().requires_grad_()


def test_eq_1_is_the_loop_over_anchors():
    anchors, positives, scale = unit(4, 6), unit(4, 6, seed=1), learnable_scale()
    assert_same(info_nce(anchors, positives, scale), loop_nce(anchors, positives, scale), [anchors, positives, scale])


def test_eq_2_is_one_view_term_and_half_of_four_text_terms():
    leaves = [unit(4, 6), unit(4, 6, seed=1), unit(4, 6, seed=2), learnable_scale()]
    cc, mlo, text, scale = leaves
    ours = global_loss(cc, mlo, text, view_scale=scale, text_scale=scale)
    assert_same(ours, loop_global(*leaves), leaves)
    assert ours.item() == pytest.approx((view_loss(cc, mlo, scale) + image_text_loss(cc, mlo, text, scale)).item())


@pytest.mark.parametrize(("denominator", "positive_is_in"), [(with_positive, True), (without_positive, False)])
@pytest.mark.parametrize("batch", [1, 3])
def test_eq_4_is_the_loop_over_images_and_regions(batch, denominator, positive_is_in):
    vectors = [unit(batch, 4, 5, seed=seed) for seed in range(4)]
    scale = learnable_scale()
    regions_cc, regions_mlo, aligned_cc, aligned_mlo = vectors
    loop = (
        loop_local_view(regions_cc, aligned_cc, scale, positive_is_in)
        + loop_local_view(regions_mlo, aligned_mlo, scale, positive_is_in)
    ) / 2
    assert_same(local_loss(*vectors, scale, denominator), loop, [*vectors, scale])


def test_gradcheck_of_eq_4():
    vectors = [unit(2, 3, 4, seed=seed) for seed in range(4)]
    assert torch.autograd.gradcheck(local_loss, (*vectors, learnable_scale()))


def test_released_local_loss_is_its_loops():
    vectors = [unit(3, 4, 5, seed=seed) for seed in range(4)]
    scale = learnable_scale()
    loops = [loop_official_local(vectors[view], vectors[2 + view], scale) for view in range(2)]
    assert_same(official_local_loss(*vectors, scale), sum(loops) / 2, [*vectors, scale])


def test_nt_xent_is_its_loop_and_normalises():
    cc, mlo = unit(4, 6), unit(4, 6, seed=1)
    long_cc = (3 * cc).detach().requires_grad_()
    assert_same(nt_xent(long_cc, mlo), loop_nt_xent(long_cc, mlo), [long_cc, mlo])


def test_released_image_text_loss_is_both_directions_of_cc_alone():
    cc, text = unit(4, 6), unit(4, 6, seed=1)
    loop = loop_nce(cc, text, SCALE) + loop_nce(text, cc, SCALE)
    assert_same(official_image_text_loss(cc, text, SCALE), loop, [cc, text])


def test_symmetric_nce_of_a_group_is_the_mean_over_its_members():
    logits = unit(3, 4, 4)
    assert symmetric_nce(logits).item() == pytest.approx(mean([symmetric_nce(member) for member in logits]).item())


def test_perfect_matches_at_a_high_scale_cost_nothing():
    vectors = torch.eye(4, dtype=torch.float64).expand(1, 4, 4)
    assert local_loss(vectors, vectors, vectors, vectors, 100.0).item() < 1e-12
    assert info_nce(vectors[0], vectors[0], 100.0).item() < 1e-12


def test_equal_vectors_cost_the_logarithm_of_the_candidates():
    vectors = torch.ones(3, 4, 2, dtype=torch.float64) / 2**0.5
    local = (vectors,) * 4
    assert local_loss(*local, 10.0).item() == pytest.approx(math.log(4 + 3 - 1))
    assert local_loss(*local, 10.0, without_positive).item() == pytest.approx(math.log(4 + 3 - 2))
    assert info_nce(vectors[:, 0], vectors[:, 0], 10.0).item() == pytest.approx(math.log(3))


@pytest.fixture(scope="module")
def released():
    """Tensors of the released model (tests/golden), in float64, and its two learnt inverse temperatures."""
    weights = torch.load(GOLDEN / "official.ckpt", weights_only=True)["state_dict"]
    with np.load(GOLDEN / "golden.npz") as file:
        tensors = {name: torch.from_numpy(file[name]).double() for name in file if "loss" not in name}

    def unit_regions(name: str) -> Tensor:
        columns = tensors[name].unflatten(0, (6, 4))  # (batch, col, row, dim)
        return normalize(columns.transpose(1, 2).flatten(1, 2), dim=-1)

    names = ("patch_ln.0.0", "patch_ln.1.0", "view_attn1.0.0", "view_attn2.0.0")
    return {
        "global": [tensors[name] for name in ("img_emb_cc", "img_emb_mlo", "text_emb")],
        "local": [unit_regions(f"eval.{name}") for name in names],
        "logit_scale": weights["logit_scale"].double().exp(),
        "patch_scale": weights["patch_scale"].double().exp(),
    }


def test_the_papers_equations_give_their_values_on_the_released_tensors(released):
    paper = json.loads((GOLDEN / "paper_variant.json").read_text())["glam_tiny_252"]
    scale, local_scale = released["logit_scale"], released["patch_scale"]
    cc, mlo, text = released["global"]
    values = {
        "L_cc_mlo": view_loss(cc, mlo, scale),
        "L_cc_t": info_nce(cc, text, scale),
        "L_t_cc": info_nce(text, cc, scale),
        "L_mlo_t": info_nce(mlo, text, scale),
        "L_t_mlo": info_nce(text, mlo, scale),
        "L_global_eq2": global_loss(cc, mlo, text, view_scale=scale, text_scale=scale),
        "L_local_eq4_denominator_with_positive": local_loss(*released["local"], local_scale),
        "L_local_eq4_denominator_without_positive": local_loss(*released["local"], local_scale, without_positive),
    }
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {name: paper[name] for name in values}, rel=1e-9
    )


def test_losses_need_no_matrix_over_all_regions_of_all_images():
    """48 images of 81 regions: all against all would be 15 million logits a view, over 60 MB."""
    vectors = [unit(48, 81, 4, seed=seed).float().detach() for seed in range(4)]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        local_loss(*vectors, 5.0)
    assert max(event.self_cpu_memory_usage for event in profiler.events()) < 5_000_000


def maps(seed: int) -> Tensor:
    """Three pairs of four places over five rows; each map sums to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 4, 5, generator=generator, dtype=torch.float64).softmax(dim=-1).requires_grad_()


ROWS = torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1], [0, 0, 4, 4]])
PLACE_WEIGHTS = torch.tensor([[1.0, 0.5, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.25]], dtype=torch.float64)


def loop_correspondence(
    maps_cc: Tensor, maps_mlo: Tensor, rows_cc: Tensor, rows_mlo: Tensor, weights: Tensor
) -> Tensor:
    """Minus the logarithm of the map on the true row, place by place; the floor is an even map of a millionth."""
    total, count = torch.tensor(0.0, dtype=torch.float64), 0.0
    for pair in range(3):
        for place in range(4):
            for scores, rows in ((maps_cc, rows_mlo), (maps_mlo, rows_cc)):
                weight = float(weights[pair, place])
                on_row = 1e-6 / 5 + (1 - 1e-6) * scores[pair, place, int(rows[pair, place])]
                total, count = total - weight * on_row.log(), count + weight
    return total / count


def test_correspondence_is_minus_the_log_of_the_weight_on_the_true_row():
    args = (ROWS, ROWS.flip(1), PLACE_WEIGHTS)
    mine, theirs = (maps(1), maps(2)), (maps(1), maps(2))
    found, expected = correspondence_loss(*mine, *args), loop_correspondence(*theirs, *args)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    found.backward()
    expected.backward()
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-10, atol=1e-14)


def test_a_sharp_map_on_the_true_row_costs_nothing_and_an_even_one_the_log_of_its_rows():
    sharp = torch.nn.functional.one_hot(ROWS, 5).double()
    even = torch.full((3, 4, 5), 0.2, dtype=torch.float64)
    assert float(correspondence_loss(sharp, sharp, ROWS, ROWS, PLACE_WEIGHTS)) == pytest.approx(0, abs=1e-5)
    found = correspondence_loss(even, even, ROWS, ROWS, PLACE_WEIGHTS)
    assert float(found) == pytest.approx(math.log(5), rel=1e-9)


def test_a_map_without_any_weight_on_the_true_row_costs_a_finite_number_and_has_a_gradient():
    away = torch.nn.functional.one_hot((ROWS + 1) % 5, 5).double().requires_grad_()
    found = correspondence_loss(away, away, ROWS, ROWS, PLACE_WEIGHTS)
    assert found.item() == pytest.approx(-math.log(2e-7), rel=1e-9)
    found.backward()
    assert away.grad is not None
    assert torch.isfinite(away.grad).all()
    assert away.grad.abs().max() > 1


@pytest.mark.parametrize("places", [4, 0])
def test_a_batch_without_findings_costs_0_with_a_gradient_of_0(places):
    scores = maps(1).detach()[:, :places].float().requires_grad_()
    found = correspondence_loss(scores, scores, ROWS[:, :places], ROWS[:, :places], torch.zeros(3, places))
    assert found.item() == 0
    found.backward()
    assert scores.grad is not None
    assert not scores.grad.any()
