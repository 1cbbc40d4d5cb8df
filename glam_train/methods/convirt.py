"""ConVIRT: Zhang et al., "Contrastive Learning of Medical Visual Representations from Paired Images and Text", 2020.

Its projections by a hidden layer are the model's own (`ModelConfig.projection_hidden`), so that a bundle serves the
space that was trained.
"""

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.methods.clip import ClipMethod, ImageTextFeatures
from glam_train.methods.losses import info_nce
from glam_train.methods.method import Terms
from glam_train.methods.settings import ConvirtSettings


class ConvirtMethod(ClipMethod):
    """CLIP's features; the temperature is fixed, and the two directions have weights."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, ConvirtSettings)
        self.settings = config.method

    def terms(self, features: ImageTextFeatures, scales: Scales, step: int) -> Terms:
        """Both directions, and their weighted mean."""
        del scales, step
        share, scale = self.settings.image_share, 1 / self.settings.temperature
        to_text = info_nce(features.image, features.text, scale)
        to_image = info_nce(features.text, features.image, scale)
        return {"to_text": to_text, "to_image": to_image, "total": share * to_text + (1 - share) * to_image}
