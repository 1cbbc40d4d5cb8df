"""A training step as the released scripts make it, on our model: the same numbers at the price of the original.

Attention multiplies matrices that it keeps; every block of the vision tower is computed twice; each view is a pass of
its own; torch looks for anomalies (XYPB/GLAM b863b78, as read, not copied).
"""

from typing import cast

import torch
from timm.layers.attention import Attention
from torch import Tensor

from glam.model.glam import Glam
from glam.model.vision import ViewFeatures


class ReleasedGlam(Glam):
    """Glam, each view in a pass of its own."""

    def view_features(self, cc: Tensor, mlo: Tensor) -> tuple[ViewFeatures, ViewFeatures]:
        """Both views, one after the other."""
        return self.vision(cc), self.vision(mlo)

    def take_the_long_way(self) -> None:
        """Have the towers work as released, and torch check each value of the backward pass."""
        for module in self.vision.modules():
            if isinstance(module, Attention):
                module.fused_attn = False
        self.vision.checkpoint_gradients()
        torch.autograd.set_detect_anomaly(True)


def released_model(model: Glam) -> ReleasedGlam:
    """Return a copy of the model that works as released, with the same weights."""
    released = ReleasedGlam(model.config)
    released.load_state_dict(model.state_dict())
    released.take_the_long_way()
    return cast(ReleasedGlam, released.train(model.training))
