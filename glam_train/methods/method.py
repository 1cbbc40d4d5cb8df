"""What a method of pretraining is: heads of its own, the features it takes of a batch, and the loss of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch

Terms = dict[str, Tensor]
"""Named loss terms, "total" among them."""


class Method(nn.Module):
    """Training-only heads, and what is minimised.

    Features are a NamedTuple of tensors whose first axis is the batch, so that they can be cut and joined there; those
    of numbers are differentiated, those of integers and truth values are not. `features` is run on each pass of an
    update, and `terms` once on the features of all its passes, so that a loss contrasts every pair of the update in the
    memory of one pass (`glam_train.pretraining.gradients`). A head that takes the statistics of a batch belongs into
    `terms`.
    """

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__()
        self.config = config
        del model  # a method with heads takes its widths from it

    def features(self, model: Glam, batch: Batch) -> Any:
        """Return the NamedTuple of features of a pass."""
        raise NotImplementedError

    def terms(self, features: Any, scales: Scales, step: int) -> Terms:
        """Return the loss terms of update `step` from the features of all its passes."""
        raise NotImplementedError

    def prepare(self, model: Glam) -> None:
        """Freeze the parts of the model that this method does not train."""

    def after_update(self, model: Glam) -> None:
        """Bring what follows the weights up to them: a momentum encoder, a queue."""

    def local_weight(self, step: int) -> float:
        """Return the weight of the local loss in an update."""
        return self.config.local_weight if step >= self.config.local_start_step else 0.0


class Learner(nn.Module):
    """All that training changes: the model, and the heads of its method."""

    def __init__(self, model: Glam, method: Method) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def load_heads(self, heads: Mapping[str, Tensor]) -> None:
        """Load the heads of a checkpoint; ValueError where they are another method's."""
        expected = self.method.state_dict()
        if odd := sorted(expected.keys() ^ heads.keys()):
            raise ValueError(f"the checkpoint's heads are not those of {self.method.config.method.name}: {odd[0]}")
        self.method.load_state_dict(heads)


def precise(features: Any) -> Any:
    """Return features in fp32, or in fp64 where they are: losses are not computed in half precision."""
    return type(features)(*(_precise(value) for value in features))


def precise_scales(scales: Scales) -> Scales:
    """Return the inverse temperatures in fp32, or in fp64."""
    return Scales(*(_precise(scale) for scale in scales))


def _precise(value: Tensor) -> Tensor:
    wanted = torch.promote_types(value.dtype, torch.float32)
    return value.to(wanted) if value.is_floating_point() else value
