"""Seeded vectors, and the costs of contrasts by loops: what losses are held to."""

import math

import torch
from torch.nn import functional as F


def drawn(*shape: int, seed: int = 0, unit: bool = True) -> torch.Tensor:
    """Normal numbers in float64, of unit length along the last axis where asked."""
    vectors = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(vectors, dim=-1) if unit else vectors


def nll(scores: list[float], index: int) -> float:
    """Minus the logarithm of the share that softmax gives one of some scores."""
    return math.log(sum(math.exp(score - scores[index]) for score in scores))


def one_way(anchors: torch.Tensor, candidates: torch.Tensor, scale: float) -> float:
    """Mean over anchors of the cost of finding the candidate at the same place."""
    rows = [[scale * float(anchor @ candidate) for candidate in candidates] for anchor in anchors]
    return sum(nll(row, index) for index, row in enumerate(rows)) / len(rows)
