"""CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021."""

from typing import NamedTuple

from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.data.batches import Batch
from glam_train.methods.losses import symmetric_nce
from glam_train.methods.method import Terms
from glam_train.methods.single_image import SingleImageMethod


class ImageTextFeatures(NamedTuple):
    """Images and their reports in the joint space, of unit length."""

    image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)


def clip_loss(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Half of an image among all reports, and half of a report among all images: (n, joint) unit vectors."""
    return symmetric_nce(scale * image @ text.mT)


class ClipMethod(SingleImageMethod):
    """An image finds its report, and a report its image, at a temperature that is learned."""

    def features(self, model: Glam, batch: Batch) -> ImageTextFeatures:
        """Embed the image and its report; the other change of the image is not looked at."""
        image = model.embed_view(model.vision(batch.view))
        return ImageTextFeatures(image, model.embed_text(batch.token_ids, batch.mask))

    def terms(self, features: ImageTextFeatures, scales: Scales, step: int) -> Terms:
        """The one term."""
        del step
        loss = clip_loss(*features, scales.image_text)
        return {"image_text": loss, "total": loss}
