"""Gradients of an update: over all of its pairs in the memory of one pass, or of each pass alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from glam.model.glam import Scales
from glam_train.data.batches import Batch
from glam_train.methods.method import Terms
from glam_train.pretraining.distributed import ALONE, Ranks, joined

Forward = Callable[[Batch, int], tuple[Any, Scales]]
"""The features of a pass, and the temperatures; the same pass and place give the same dropout."""
Loss = Callable[[Any, Scales], Terms]
"""The loss terms of features."""


def within_passes(
    forward: Forward, loss: Loss, passes: Sequence[Batch], *, ranks: Ranks = ALONE, factor: float = 1.0
) -> Terms:
    """Leave in the parameters the mean gradient of the passes, each of which contrasts its own pairs.

    `factor`: by which the gradients are multiplied (the scale of fp16). Terms are the means over all processes.
    """
    sums: Terms = {}
    for index, part in enumerate(passes):
        terms = loss(*forward(part, index))
        (factor / (len(passes) * ranks.world) * terms["total"]).backward()
        sums = {name: sums.get(name, 0) + value.detach() / len(passes) for name, value in terms.items()}
    return {name: ranks.mean(value) for name, value in sums.items()}


def across_update(
    forward: Forward, loss: Loss, passes: Sequence[Batch], *, ranks: Ranks = ALONE, factor: float = 1.0
) -> Terms:
    """Leave in the parameters this process's part of the gradient of a loss over all pairs of the update.

    GradCache (Gao et al. 2021, arXiv:2101.06983): the features of all passes, of all processes, are first computed and
    the loss is differentiated with respect to them; then each pass runs again and takes its share of that gradient.
    The first pass is run once, with its graph. Every process computes the whole loss; its gradient for what stands
    behind the features (heads, temperatures) is divided by their number, so that the sum over processes is exact.
    """
    first, scales = forward(passes[0], 0)
    if len(passes) == 1 and ranks.world == 1:
        terms = loss(first, scales)
        (factor * terms["total"]).backward()
        return {name: value.detach() for name, value in terms.items()}
    with torch.no_grad():
        pieces = [first, *(forward(part, index)[0] for index, part in enumerate(passes[1:], start=1))]
    wholes = [_whole([piece.detach() for piece in of_passes], ranks) for of_passes in zip(*pieces, strict=True)]
    leaves = type(first)(*(whole.tensor for whole in wholes))
    terms = loss(leaves, scales)
    (factor / ranks.world * terms["total"]).backward()
    for index, part in enumerate(passes):
        features = first if index == 0 else forward(part, index)[0]
        parts = zip(features, wholes, strict=True)
        trained = [(value, whole) for value, whole in parts if value.requires_grad and whole.is_used]
        shares = [whole.share(index, ranks.world) for _, whole in trained]
        torch.autograd.backward([value for value, _ in trained], shares)
    return {name: value.detach() for name, value in terms.items()}


class _Whole:
    """One kind of feature of all pairs of an update, and where the passes of this process lie in it."""

    def __init__(self, tensor: Tensor, starts: Sequence[int], shapes: Sequence[torch.Size]) -> None:
        self.tensor = tensor.requires_grad_() if tensor.is_floating_point() else tensor
        self._starts = starts
        self._shapes = shapes

    @property
    def is_used(self) -> bool:
        """Whether the loss depends on it; heads behind features that it does not read get no gradient, not one of 0."""
        return self.tensor.grad is not None

    def share(self, index: int, world: int) -> Tensor:
        """Return the gradient for pass `index` of this process, undivided."""
        shape, start = self._shapes[index], self._starts[index]
        assert self.tensor.grad is not None
        rows = self.tensor.grad[start : start + shape[0]]
        return rows[(slice(None), *(slice(length) for length in shape[1:]))] * world


def _whole(pieces: Sequence[Tensor], ranks: Ranks) -> _Whole:
    own = joined(pieces)
    everyones = ranks.gather(own)
    start = sum(len(theirs) for theirs in everyones[: ranks.rank])
    starts = [start + sum(len(piece) for piece in pieces[:index]) for index in range(len(pieces))]
    return _Whole(joined(everyones), starts, [piece.shape for piece in pieces])
