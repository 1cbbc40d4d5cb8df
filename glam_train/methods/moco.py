"""MoCo: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020 (MaMA's Table 9)."""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.method import Terms
from glam_train.methods.settings import MocoSettings
from glam_train.methods.single_image import SingleImageMethod


class MocoFeatures(NamedTuple):
    """Unit vectors of the joint space; the keys are of the slow copy, and have no gradient."""

    image: Tensor  # (batch, joint): the queries
    text: Tensor  # (batch, joint)
    keys: Tensor  # (batch, joint)


def queue_loss(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Each query finds its own key among that and the queue: (n, joint), (n, joint) and (queue, joint) unit vectors."""
    own = (queries * keys).sum(dim=1, keepdim=True)  # (n, 1)
    logits = torch.cat([own, queries @ queue.mT], dim=1) / temperature  # (n, 1 + queue)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


class MocoMethod(SingleImageMethod):
    """One change of an image finds the other one's key among the keys of the updates before."""

    queue: Tensor
    oldest: Tensor

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MocoSettings)
        self.settings = config.method
        if config.negatives != "update":
            raise ValueError("moco takes the keys of a whole update into its queue: set negatives to update")
        if config.precision == "bf16-true":
            raise ValueError("moco's slow copy would not move in bf16, which rounds its steps away: set bf16-mixed")
        self.slow_vision = deepcopy(model.vision).requires_grad_(False)
        self.slow_projection = deepcopy(model.image_projection).requires_grad_(False)
        self.register_buffer("queue", unit_vectors(torch.randn(self.settings.queue, model.config.joint_dim)))
        self.register_buffer("oldest", torch.tensor(0))
        self._keys: Tensor | None = None

    def features(self, model: Glam, batch: Batch) -> MocoFeatures:
        """Embed one change by the model and the other one by the slow copy."""
        image = model.embed_view(model.vision(batch.view))
        text = model.embed_text(batch.token_ids, batch.mask) if self.settings.image_text_weight else image.detach()
        with torch.no_grad():
            keys = unit_vectors(self.slow_projection(model.pool_view(self.slow_vision(batch.other_view))))
        return MocoFeatures(image, text, keys)

    def terms(self, features: MocoFeatures, scales: Scales, step: int) -> Terms:
        """The view term, and CLIP's where it has a weight."""
        del step
        keys, weight = features.keys.detach(), self.settings.image_text_weight
        self._keys = keys
        view = queue_loss(features.image, keys, self.queue.to(keys.dtype), self.settings.temperature)
        if not weight:
            return {"view": view, "total": view}
        text = clip_loss(features.image, features.text, scales.image_text)
        return {"view": view, "image_text": text, "total": view + weight * text}

    @torch.no_grad()
    def after_update(self, model: Glam) -> None:
        """Move the copy towards the model, and put the keys of the update in place of the oldest ones."""
        for slow, fast in ((self.slow_vision, model.vision), (self.slow_projection, model.image_projection)):
            for kept, new in zip(slow.parameters(), fast.parameters(), strict=True):
                kept.lerp_(new, 1 - self.settings.momentum)
            for kept, new in zip(slow.buffers(), fast.buffers(), strict=True):
                kept.copy_(new)
        if self._keys is not None:
            self._push(self._keys)
        self._keys = None

    def _push(self, keys: Tensor) -> None:
        size = len(self.queue)
        newest = keys[-size:]
        places = (self.oldest + torch.arange(len(newest), device=newest.device)) % size
        self.queue[places] = newest.to(self.queue.dtype)
        self.oldest.copy_((self.oldest + len(newest)) % size)
