"""Loss terms that are no finite number, with which a run should not go on."""

import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from glam_train.methods.method import Terms
from glam_train.pretraining.errors import RunEnded

MIN_SCALE = 2.0**-10
"""Of fp16's gradients. It begins at 2 ** 16 and is halved by each update that is left out."""


def check_finite(terms: Terms, step: int, optimizer: Optimizer) -> None:
    """RunEnded, before the update is made, for a term that is no finite number although its gradient is."""
    if bool(torch.stack([value.detach().float() for value in terms.values()]).isfinite().all()):  # asked once
        return
    optimizer.zero_grad(set_to_none=True)
    told = ", ".join(f"{name} is {float(value)}" for name, value in terms.items() if not value.isfinite())
    raise RunEnded(
        f"of the loss of update {step}, {told}: go on with --resume in fp32, or give the term no weight in another run"
    )


def check_scale(scaler: GradScaler, step: int) -> None:
    """RunEnded where fp16 has left out so many updates that none will be made any more."""
    if scaler.is_enabled() and scaler.get_scale() < MIN_SCALE:
        raise RunEnded(f"no update can be made in fp16 any more, at update {step}: go on with --resume in fp32 or bf16")
