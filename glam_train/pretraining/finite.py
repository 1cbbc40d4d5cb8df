"""Loss terms that are no finite number, with which a run should not go on."""

import torch
from torch.optim import Optimizer

from glam_train.methods.method import Terms
from glam_train.pretraining.errors import RunEnded


def check_finite(terms: Terms, step: int, optimizer: Optimizer) -> None:
    """RunEnded, before the update is made, for a term that is no finite number although its gradient is."""
    if bool(torch.stack([value.detach().float() for value in terms.values()]).isfinite().all()):  # asked once
        return
    optimizer.zero_grad(set_to_none=True)
    told = ", ".join(f"{name} is {float(value)}" for name, value in terms.items() if not value.isfinite())
    raise RunEnded(
        f"of the loss of update {step}, {told}: go on with --resume in fp32, or give the term no weight in another run"
    )
