"""What the loop works with: the device, the model and the optimizer of a run."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn
from torch.optim import Optimizer

from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam
from glam_train.config import PretrainConfig
from glam_train.pretraining.errors import RunError
from glam_train.weights.towers import TowerStart, load_towers

NO_TOWERS: Mapping[str, TowerStart] = MappingProxyType({})


def usable_device(name: str | None) -> str:
    """Return the named device; None: cuda where torch finds a GPU, else cpu. RunError for one that is not there."""
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).splitlines()[0]
        raise RunError(f"device {chosen} cannot be used: {reason}: give another --device, such as cpu") from None
    return chosen


def starting_model(
    config: PretrainConfig, checkpoint: Path | None, towers: Mapping[str, TowerStart] = NO_TOWERS
) -> Glam:
    """Return the model of the checkpoint, or one drawn from the seed with published towers, in training mode."""
    torch.manual_seed(config.seed)
    model = Glam(config.model) if checkpoint is None else load_checkpoint(checkpoint)
    if checkpoint is None:
        load_towers(model, towers)
    return model.train()


def make_optimizer(learner: nn.Module, config: PretrainConfig) -> Optimizer:
    """AdamW or SGD with momentum 0.9; vectors and scalars are not decayed unless `decay_all`."""
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if config.decay_all or parameter.ndim >= 2]
    kept = [parameter for parameter in trained if not config.decay_all and parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999))
