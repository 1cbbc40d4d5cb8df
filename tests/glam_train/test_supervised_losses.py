"""Losses for imbalance, each held to its formula by loops in float64."""

import math

import pytest
import torch

from glam_train.supervised_losses import (
    asymmetric_loss,
    asymmetric_loss_of_many,
    class_weights,
    focal_loss,
    weighted_cross_entropy,
)
from tests.samples.vectors import drawn

LABELS = [0, 2, 1, 1, 2, 0, 1]
WEIGHTS = [0.5, 1.0, 3.0]


@pytest.fixture
def logits() -> torch.Tensor:
    """Seven samples of three classes."""
    return 3 * drawn(7, 3)


def probabilities(row: torch.Tensor) -> list[float]:
    powers = [math.exp(float(value)) for value in row]
    return [power / sum(powers) for power in powers]


def test_class_weights_are_inverse_to_the_counts_and_1_in_the_mean():
    counts = torch.tensor([10, 40, 50])
    weights = class_weights(counts)
    assert weights.tolist() == pytest.approx([100 / 30, 100 / 120, 100 / 150])
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="class 1 has no sample to weigh"):
        class_weights(torch.tensor([3, 0]))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_weighted_cross_entropy_is_the_weighted_mean_over_samples(logits, weights):
    of_class = weights or [1.0] * 3
    costs = [-of_class[label] * math.log(probabilities(row)[label]) for row, label in zip(logits, LABELS, strict=True)]
    expected = sum(costs) / sum(of_class[label] for label in LABELS)
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert float(weighted_cross_entropy(logits, torch.tensor(LABELS), given)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_loss_is_its_formula(logits, gamma, weights):
    costs = []
    for row, label in zip(logits, LABELS, strict=True):
        p = probabilities(row)[label]
        costs.append(-(weights or [1.0] * 3)[label] * (1 - p) ** gamma * math.log(p))
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    found = focal_loss(logits, torch.tensor(LABELS), gamma=gamma, weights=given)
    assert float(found) == pytest.approx(sum(costs) / 7, rel=1e-12)


@pytest.mark.parametrize(("positive", "negative", "smoothing"), [(1.0, 4.0, 0.1), (0.0, 0.0, 0.0), (2.0, 3.0, 0.3)])
def test_asymmetric_loss_of_one_label_is_its_formula(logits, positive, negative, smoothing):
    total = 0.0
    for row, label in zip(logits, LABELS, strict=True):
        for index, p in enumerate(probabilities(row)):
            weight = (1 - p) ** positive if index == label else p**negative
            target = (1 - smoothing) * (index == label) + smoothing / 3
            total -= target * weight * math.log(p)
    found = asymmetric_loss(
        logits, torch.tensor(LABELS), gamma_positive=positive, gamma_negative=negative, smoothing=smoothing
    )
    assert float(found) == pytest.approx(total / 7, rel=1e-12)


@pytest.mark.parametrize(("positive", "negative", "margin"), [(0.0, 4.0, 0.05), (1.0, 2.0, 0.0), (0.0, 0.0, 0.2)])
def test_asymmetric_loss_of_many_labels_is_its_formula(logits, positive, negative, margin):
    labels = (drawn(7, 3, seed=3) > 0).long()
    total = 0.0
    for row, truth in zip(logits, labels, strict=True):
        for value, there in zip(row, truth, strict=True):
            p = 1 / (1 + math.exp(-float(value)))
            q = max(p - margin, 0.0)
            total -= (1 - p) ** positive * math.log(p) if there else q**negative * math.log(1 - q)
    found = asymmetric_loss_of_many(logits, labels, gamma_positive=positive, gamma_negative=negative, margin=margin)
    assert float(found) == pytest.approx(total / 21, rel=1e-10)


@pytest.mark.parametrize("loss", [focal_loss, asymmetric_loss])
def test_without_a_focus_a_loss_is_cross_entropy(logits, loss):
    plain = {"gamma": 0.0} if loss is focal_loss else {"gamma_positive": 0.0, "gamma_negative": 0.0, "smoothing": 0.0}
    found = loss(logits, torch.tensor(LABELS), **plain)
    assert float(found) == pytest.approx(float(weighted_cross_entropy(logits, torch.tensor(LABELS))), rel=1e-12)


@pytest.mark.parametrize("loss", [weighted_cross_entropy, focal_loss, asymmetric_loss])
def test_gradients_are_those_of_the_values(logits, loss):
    labels = torch.tensor(LABELS)
    assert torch.autograd.gradcheck(lambda given: loss(given, labels), logits.clone().requires_grad_())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_samples_that_are_certain_cost_nothing_and_have_a_finite_gradient(gamma):
    certain = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    losses = [
        focal_loss(certain, torch.tensor([0, 1]), gamma=gamma),
        asymmetric_loss(certain, torch.tensor([0, 1]), smoothing=0.0),
        asymmetric_loss_of_many(certain, torch.eye(2), margin=0.0),
        asymmetric_loss_of_many(certain, 1 - torch.eye(2), margin=0.0),
    ]
    assert [float(loss.detach()) for loss in losses[:3]] == pytest.approx([0, 0, 0], abs=1e-6)
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, certain)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
