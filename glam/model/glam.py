"""GLAM as one module: two towers, the space they share, the alignment of CC with MLO."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from glam.config import ModelConfig
from glam.model.alignment import Alignment, AlignmentModule, unit_vectors
from glam.model.text import TextTower, text_pooling
from glam.model.vision import ViewFeatures, VisionTower


class Scales(NamedTuple):
    """Inverse temperatures, bounded by `max_scale`."""

    image_text: Tensor
    local: Tensor
    view: Tensor


IMAGE_POOLINGS: dict[str, Callable[[ViewFeatures], Tensor]] = {
    "first": lambda features: features.cls,
    "mean": lambda features: features.patches.mean(dim=1),
    "all_tokens": lambda features: features.all_tokens,
}


class PairOutput(NamedTuple):
    """A batch of CC and MLO pairs with a report each; every vector has unit length."""

    image_cc: Tensor  # (batch, joint)
    image_mlo: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    alignment: Alignment | None  # None: the model does not compare its views
    scales: Scales


class Glam(nn.Module):
    """The model of Du et al., MICCAI 2025, and of methods that do without its alignment module."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = VisionTower(config.vision)
        self.text = TextTower(config.text)
        self.pool_text = text_pooling(config.text)
        self.image_projection = _projection(self.vision.dim, config)
        self.text_projection = _projection(self.text.dim, config)
        self.alignment = (
            AlignmentModule(config.alignment, dim=self.vision.dim, grid=self.vision.grid[0])  # a square, by its rule
            if config.alignment
            else None
        )
        self.logit_scale = _log_scale()
        self.local_scale = _log_scale()
        self.view_scale = _log_scale()

    def forward(self, cc: Tensor, mlo: Tensor, token_ids: Tensor, mask: Tensor) -> PairOutput:
        """Embed and align a batch: views (batch, 1, H, W) in [0, 1], all facing right; reports (batch, token)."""
        features_cc, features_mlo = self.view_features(cc, mlo)
        return PairOutput(
            image_cc=self.embed_view(features_cc),
            image_mlo=self.embed_view(features_mlo),
            text=self.embed_text(token_ids, mask),
            alignment=self.align(features_cc.patches, features_mlo.patches) if self.alignment else None,
            scales=self.scales(),
        )

    def view_features(self, cc: Tensor, mlo: Tensor) -> tuple[ViewFeatures, ViewFeatures]:
        """Both views through the tower in one pass."""
        both = self.vision(torch.cat([cc, mlo]))
        of_cc, of_mlo = zip(*(part.chunk(2) for part in both), strict=True)
        return ViewFeatures(*of_cc), ViewFeatures(*of_mlo)

    def embed_view(self, features: ViewFeatures) -> Tensor:
        """Project a view into the joint space: (batch, joint) unit vectors."""
        return unit_vectors(self.image_projection(self.pool_view(features)))

    def pool_view(self, features: ViewFeatures) -> Tensor:
        """What a view is embedded by: (batch, dim)."""
        return IMAGE_POOLINGS[self.config.image_pool](features)

    def embed_text(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Project pooled token states into the joint space: (batch, joint) unit vectors."""
        return unit_vectors(self.text_projection(self.pool_text(self.text(token_ids, mask))))

    def align(self, patches_cc: Tensor, patches_mlo: Tensor) -> Alignment:
        """Where each region of a view finds itself in the other one; ValueError for a model that does not compare."""
        if self.alignment is None:
            raise ValueError("this model does not compare its views: it was trained without an alignment module")
        return self.alignment(patches_cc, patches_mlo)

    def scales(self) -> Scales:
        """Return the inverse temperatures themselves; the parameters are their logarithms."""
        bound = self._log_bound()
        logs = (self.logit_scale, self.local_scale, self.view_scale)
        # Not clamp: it has no gradient at the bound either, and a parameter that came there would stay for ever.
        return Scales(*(log.masked_fill(log > bound, bound).exp() for log in logs))

    @torch.no_grad()
    def bound_scales(self) -> None:
        """Bring the parameters back to the bound, above which they have no gradient; for after an optimizer step."""
        for log in (self.logit_scale, self.local_scale, self.view_scale):
            log.clamp_(max=self._log_bound())

    def _log_bound(self) -> float:
        if self.config.max_scale is None:
            return math.inf
        return float(np.float32(math.log(self.config.max_scale)))  # what a parameter at the bound holds


def _projection(dim: int, config: ModelConfig) -> nn.Module:
    """Return the projection of a tower's feature into the joint space."""
    if config.projection_hidden is None:
        return nn.Linear(dim, config.joint_dim)
    hidden = config.projection_hidden
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, config.joint_dim))


def _log_scale() -> nn.Parameter:
    return nn.Parameter(torch.tensor(math.log(1 / 0.07)))
