"""MoCo: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020 (MaMA's Table 9)."""

from typing import NamedTuple

from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.method import Terms
from glam_train.methods.momentum_queue import MomentumQueue, check_queued
from glam_train.methods.settings import MocoSettings
from glam_train.methods.single_image import SingleImageMethod


class MocoFeatures(NamedTuple):
    """Unit vectors of the joint space; the keys are of the slow copy, and have no gradient."""

    image: Tensor  # (batch, joint): the queries
    text: Tensor  # (batch, joint)
    keys: Tensor  # (batch, joint)


class MocoMethod(SingleImageMethod):
    """One change of an image finds the other one's key among the keys of the updates before."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MocoSettings)
        self.settings = config.method
        check_queued(config)
        self.slow = MomentumQueue(model, size=self.settings.queue, momentum=self.settings.momentum)

    def features(self, model: Glam, batch: Batch) -> MocoFeatures:
        """Embed one change by the model and the other one by the slow copy."""
        image = model.embed_view(model.vision(batch.view))
        text = model.embed_text(batch.token_ids, batch.mask) if self.settings.image_text_weight else image.detach()
        return MocoFeatures(image, text, self.slow.keys_of(model, batch.other_view))

    def terms(self, features: MocoFeatures, scales: Scales, step: int) -> Terms:
        """The view term, and CLIP's where it has a weight."""
        del step
        weight = self.settings.image_text_weight
        view = self.slow.loss(features.image, features.keys, self.settings.temperature)
        if not weight:
            return {"view": view, "total": view}
        text = clip_loss(features.image, features.text, scales.image_text)
        return {"view": view, "image_text": text, "total": view + weight * text}

    def after_update(self, model: Glam) -> None:
        """Bring the copy and the queue up to the model."""
        self.slow.after_update(model)
