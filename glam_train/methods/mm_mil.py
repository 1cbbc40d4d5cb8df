"""MM-MIL: Wang et al., "Using Multiple Instance Learning to Build Multimodal Representations", IPMI 2023.

As MaMA's authors built it for their comparison (MaMA, A.9: visual localization alone): a sentence is as like an image
as its best patch, a report as the mean of its sentences.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.losses import symmetric_nce
from glam_train.methods.method import Terms
from glam_train.methods.single_image import SingleImageMethod


class MilFeatures(NamedTuple):
    """Unit vectors of the joint space."""

    image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    patches: Tensor  # (batch, patch, joint)
    sentences: Tensor  # (batch, sentence, joint)
    is_sentence: Tensor  # (batch, sentence) bool: False for padding


def report_likeness(patches: Tensor, sentences: Tensor, is_sentence: Tensor) -> Tensor:
    """Likeness of every image to every report, (image, report): best patch of a sentence, mean over sentences.

    Image by image: the cosines of all patches with all sentences of an update would not fit into memory.
    """
    best = torch.stack([(sentences @ of_image.mT).amax(dim=2) for of_image in patches])  # (image, report, sentence)
    weights = is_sentence.to(best.dtype)
    return (best * weights).sum(dim=2) / weights.sum(dim=1).clamp_min(1)


def sentence_states(states: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states at which sentences end, (text, sentence, dim), and which of them are no padding.

    states: (text, token, dim); ends: (text, token) bool.
    """
    most = max(1, int(ends.sum(dim=1).max()))
    order = ends.int().argsort(dim=1, descending=True, stable=True)[:, :most]  # (text, sentence)
    found = torch.take_along_dim(states, order.unsqueeze(2), dim=1)
    return found, torch.take_along_dim(ends, order, dim=1)


class MmMilMethod(SingleImageMethod):
    """CLIP's loss, and the contrast of images with reports by patches and sentences."""

    def features(self, model: Glam, batch: Batch) -> MilFeatures:
        """Embed image, patches, report and sentences, all by the two projections of the model."""
        seen, read = model.vision(batch.view), model.text(batch.token_ids, batch.mask)
        sentences, is_sentence = sentence_states(read.tokens, batch.sentence_ends)
        return MilFeatures(
            image=model.embed_view(seen),
            text=unit_vectors(model.text_projection(model.pool_text(read))),
            patches=unit_vectors(model.image_projection(seen.patches)),
            sentences=unit_vectors(model.text_projection(sentences)),
            is_sentence=is_sentence,
        )

    def terms(self, features: MilFeatures, scales: Scales, step: int) -> Terms:
        """Both losses."""
        text = clip_loss(features.image, features.text, scales.image_text)
        likeness = report_likeness(features.patches, features.sentences, features.is_sentence)
        local = symmetric_nce(scales.local * likeness)
        return {"image_text": text, "local": local, "total": text + self.local_weight(step) * local}
