"""Loss terms that are no finite number, which neither a log can hold nor a run should go on with."""

import torch
from torch.optim import Optimizer

from glam_train.methods.method import Terms
from glam_train.pretraining.run_folder import RunError


def finite_terms(terms: Terms, step: int, optimizer: Optimizer, *, may_overflow: bool) -> Terms:
    """Return the terms of an update whose gradient is finite; RunError, before the update, for one that is not.

    `may_overflow`: in fp16 the update is left out by itself where a term overflows; such terms are then left out too.
    """
    values = torch.stack([value.detach().float() for value in terms.values()])
    if bool(values.isfinite().all()):  # one question to the device
        return terms
    wrong = {name: float(value) for name, value in terms.items() if not value.isfinite()}
    if may_overflow:
        return {name: value for name, value in terms.items() if name not in wrong}
    optimizer.zero_grad(set_to_none=True)
    told = ", ".join(f"{name} is {value}" for name, value in wrong.items())
    raise RunError(
        f"of the loss of update {step}, {told}: go on with --resume in fp32, or give the term no weight in another run"
    )
