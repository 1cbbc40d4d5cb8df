"""Two ways to the gradient of one update; both leave it in the parameters and return the loss terms."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from glam.model.glam import Scales
from glam_train.data.batches import Batch
from glam_train.methods.vectors import Terms, Vectors

if TYPE_CHECKING:
    from torch import Tensor

Forward = Callable[[Batch, int], tuple[Vectors, Scales]]
"""Run the model on micro-batch `index` of an update; the same index gives the same dropout."""
Loss = Callable[[Vectors, Scales, Batch], Terms]
"""The terms of vectors and of the pairs they were made of; the batch says what is known of the pairs."""
GradientsOf = Callable[[Forward, Loss, Batch, int], Terms]


def micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut a batch into `count` equal parts, in order."""
    for parts in zip(*(tensor.chunk(count) for tensor in batch), strict=True):
        yield Batch(*parts)


def within_micro_batches(forward: Forward, loss: Loss, batch: Batch, accumulate: int) -> Terms:
    """Contrast the pairs of each pass among themselves and average: what plain accumulation does."""
    sums: Terms = {}
    for index, part in enumerate(micro_batches(batch, accumulate)):
        terms = loss(*forward(part, index), part)
        (terms["total"] / accumulate).backward()
        sums = {name: sums.get(name, 0) + value.detach() / accumulate for name, value in terms.items()}
    return sums


def across_update(forward: Forward, loss: Loss, batch: Batch, accumulate: int) -> Terms:
    """Contrast all pairs of the update in the memory of one pass (GradCache, Gao et al. 2021, arXiv:2101.06983).

    The vectors of all passes are first computed without a graph and the loss is differentiated with respect to
    them; then each pass runs again and takes its share of that gradient. With one pass it is the plain gradient.
    """
    import torch

    if accumulate == 1:
        return within_micro_batches(forward, loss, batch, 1)
    parts = list(micro_batches(batch, accumulate))
    with torch.no_grad():
        pieces = [forward(part, index)[0] for index, part in enumerate(parts)]
    whole = Vectors(*(torch.cat(piece).requires_grad_() for piece in zip(*pieces, strict=True)))
    first, scales = forward(parts[0], 0)
    terms = loss(whole, scales, batch)
    terms["total"].backward()
    for index, share in enumerate(zip(*(_gradient(tensor).chunk(accumulate) for tensor in whole), strict=True)):
        vectors = first if index == 0 else forward(parts[index], index)[0]
        wanted = [(vector, grad) for vector, grad in zip(vectors, share, strict=True) if vector.requires_grad]
        torch.autograd.backward([vector for vector, _ in wanted], [grad for _, grad in wanted])
    return {name: value.detach() for name, value in terms.items()}


def _gradient(tensor: "Tensor") -> "Tensor":
    """What the loss gave a leaf; zeros for one it did not use."""
    import torch

    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


GRADIENTS: dict[str, GradientsOf] = {"update": across_update, "micro_batch": within_micro_batches}
