"""Mammo-CLIP: Ghosh et al., "Mammo-CLIP: A Vision Language Foundation Model ...", MICCAI 2024 (arXiv 2405.12255).

Its multi-view supervision. Nothing is of its code, which is CC BY-NC-SA. Where its settings are from, and what differs:
docs/methods.md.
"""

from typing import NamedTuple

from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.mammo_clip_settings import MammoClipSettings
from glam_train.methods.method import Terms
from glam_train.methods.single_image import SingleImageMethod


class MammoClipFeatures(NamedTuple):
    """Two changes of each image and two wordings of its report, in the joint space, of unit length."""

    image: Tensor  # (batch, joint)
    other_image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    other_text: Tensor  # (batch, joint)


class MammoClipMethod(SingleImageMethod):
    """Either change of an image finds either wording, an image its other change, a report its other wording."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MammoClipSettings)
        self.settings = config.method

    def features(self, model: Glam, batch: Batch) -> MammoClipFeatures:
        """Embed both changes and both wordings."""
        image, other_image = model.view_features(batch.view, batch.other_view)
        return MammoClipFeatures(
            image=model.embed_view(image),
            other_image=model.embed_view(other_image),
            text=model.embed_text(batch.token_ids, batch.mask),
            other_text=model.embed_text(batch.other_token_ids, batch.other_mask),
        )

    def terms(self, features: MammoClipFeatures, scales: Scales, step: int) -> Terms:
        """The three terms, at one temperature; the four pairs of images and texts are averaged."""
        del step
        scale = scales.image_text
        pairs = [
            clip_loss(image, text, scale)
            for image in (features.image, features.other_image)
            for text in (features.text, features.other_text)
        ]
        image_text = (pairs[0] + pairs[1] + pairs[2] + pairs[3]) / 4
        view = clip_loss(features.image, features.other_image, scale)
        report = clip_loss(features.text, features.other_text, scale)
        total = image_text + self.settings.view_weight * view + self.settings.text_weight * report
        return {"image_text": image_text, "view": view, "report": report, "total": total}
