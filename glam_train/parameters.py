"""How many parameters a preset has, and how many of them its method trains: counted on torch's meta device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from glam.model.glam import Glam
from glam_train.config import PretrainConfig
from glam_train.methods import build_method
from glam_train.methods.method import Method

TEMPERATURES, HEADS = "temperatures", "method"
"""What the three learned temperatures, and the heads that only training uses, are counted as."""


@dataclass(kw_only=True)
class PartCount:
    """Numbers in a part of the model."""

    all: int = 0
    trainable: int = 0


class Built(NamedTuple):
    """A model and the heads of its method, on torch's meta device."""

    model: Glam
    method: Method


def built_without_weights(config: PretrainConfig) -> Built:
    """Return what a configuration builds, without memory for its weights; ValueError where its parts do not fit."""
    with torch.device("meta"):
        model = Glam(config.model)
        return Built(model, build_method(config, model))


def count_parameters(config: PretrainConfig) -> dict[str, PartCount]:
    """Return the parameters of each part of a model and of its method's heads, "total" last; no weight is drawn."""
    model, method = built_without_weights(config)
    method.prepare(model)
    if not config.method.trains:
        model.requires_grad_(False)
    counts: dict[str, PartCount] = {}
    for name, parameter in model.named_parameters():
        _add(counts, TEMPERATURES if name.endswith("_scale") else name.split(".")[0], parameter)
    for parameter in method.parameters():
        _add(counts, HEADS, parameter)
    every = [*counts.values()]
    total = PartCount(all=sum(part.all for part in every), trainable=sum(part.trainable for part in every))
    return counts | {"total": total}


def _add(counts: dict[str, PartCount], part: str, parameter: torch.Tensor) -> None:
    count = counts.setdefault(part, PartCount())
    count.all += parameter.numel()
    count.trainable += parameter.numel() if parameter.requires_grad else 0
