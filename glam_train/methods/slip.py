"""SLIP: Mu et al., "SLIP: Self-supervision meets Language-Image Pre-training", ECCV 2022; and as GLAM's code has it.

SLIP's own code changes an image three times, for CLIP and twice for SimCLR; here, as in GLAM's code, the image that
is held against the report is one of the two.
"""

from typing import NamedTuple

from torch import Tensor, nn

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.heads import DeepProjection, ViewProjection, simclr_loss
from glam_train.methods.losses import official_image_text_loss
from glam_train.methods.method import Terms
from glam_train.methods.settings import SlipOfficialSettings, SlipSettings
from glam_train.methods.single_image import SingleImageMethod


class SlipFeatures(NamedTuple):
    """An image and its report in the joint space, and the tower's features of both changes of the image."""

    image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    first: Tensor  # (batch, dim)
    second: Tensor  # (batch, dim)


class _Slip(SingleImageMethod):
    view_head: nn.Module

    def features(self, model: Glam, batch: Batch) -> SlipFeatures:
        """Embed the first change and the report; take both changes through the tower."""
        first, second = model.view_features(batch.view, batch.other_view)
        text = model.embed_text(batch.token_ids, batch.mask)
        return SlipFeatures(model.embed_view(first), text, model.pool_view(first), model.pool_view(second))

    def summed(self, text: Tensor, features: SlipFeatures) -> Terms:
        """Add SimCLR's term to that of the reports."""
        settings = self.config.method
        assert isinstance(settings, SlipSettings | SlipOfficialSettings)
        view = simclr_loss(self.view_head, features.first, features.second, settings.temperature)
        return {"image_text": text, "view": view, "total": text + settings.view_weight * view}


class SlipMethod(_Slip):
    """CLIP's loss, and SimCLR's with a head of two hidden layers."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, SlipSettings)
        self.view_head = DeepProjection(model.vision.dim, config.method.hidden_dim, config.method.out_dim)

    def terms(self, features: SlipFeatures, scales: Scales, step: int) -> Terms:
        """Both losses."""
        del step
        return self.summed(clip_loss(features.image, features.text, scales.image_text), features)


class SlipOfficialMethod(_Slip):
    """The released code: image and text not halved, and a head of one hidden layer (its --slip)."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        self.view_head = ViewProjection(model.vision.dim, model.config.joint_dim)

    def terms(self, features: SlipFeatures, scales: Scales, step: int) -> Terms:
        """Both losses."""
        del step
        return self.summed(official_image_text_loss(features.image, features.text, scales.image_text), features)
