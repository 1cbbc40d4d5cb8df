"""MM-MIL: Wang et al., "Using Multiple Instance Learning to Build Multimodal Representations", IPMI 2023.

As MaMA's authors built it for their comparison (MaMA, A.9: visual localization alone): a sentence is as like an image
as its best patch, a report as the mean of its sentences.
"""

from typing import NamedTuple

from torch import Tensor

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.losses import symmetric_nce
from glam_train.methods.method import Terms
from glam_train.methods.sentences import best_patch_scores, sentence_states
from glam_train.methods.single_image import SingleImageMethod


class MilFeatures(NamedTuple):
    """Unit vectors of the joint space."""

    image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    patches: Tensor  # (batch, patch, joint)
    sentences: Tensor  # (batch, sentence, joint)
    is_sentence: Tensor  # (batch, sentence) bool: False for padding


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
        likeness = best_patch_scores(features.sentences, features.is_sentence, features.patches)
        local = symmetric_nce(scales.local * likeness)
        return {"image_text": text, "local": local, "total": text + self.local_weight(step) * local}
