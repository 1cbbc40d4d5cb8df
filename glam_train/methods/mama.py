"""MaMA (arXiv 2409.18119): multi-view and multi-scale alignment of mammograms with their reports.

Two views of a study, the report against both, and from a later step on its sentences against the patches.
"""

from typing import NamedTuple

from torch import Tensor, nn

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.losses import symmetric_nce, view_loss
from glam_train.methods.mama_settings import MamaSettings
from glam_train.methods.method import Method, Terms
from glam_train.methods.sentences import sentence_loss, sentence_scores, sentence_states


class MamaFeatures(NamedTuple):
    """What MaMA's losses use of two views and a report; vectors have unit length."""

    image: Tensor  # (batch, joint)
    other_image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    patches: Tensor  # (batch, patch, joint), of the first view
    sentences: Tensor  # (batch, sentence, joint)
    is_sentence: Tensor  # (batch, sentence) bool: False for padding


class MamaMethod(Method):
    """L_VV, L_VT of both views, and the local loss on sentences and patches; one weight, from a step on, for the last.

    Eq. 1 of the paper compares images of one view; as its text and code say, an image is compared here with the other
    views of the batch.
    """

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MamaSettings)
        self.settings = config.method
        self.patch_projection = nn.Linear(model.vision.dim, model.config.joint_dim)
        self.sentence_projection = nn.Linear(model.text.dim, model.config.joint_dim)

    def features(self, model: Glam, batch: Batch) -> MamaFeatures:
        """Embed both views, the report, the patches of the first view, and the sentences."""
        features, other = model.view_features(batch.view, batch.other_view)
        states = model.text(batch.token_ids, batch.mask)
        sentences, is_sentence = sentence_states(states.tokens, batch.sentence_ends)
        return MamaFeatures(
            image=model.embed_view(features),
            other_image=model.embed_view(other),
            text=unit_vectors(model.text_projection(model.pool_text(states))),
            patches=unit_vectors(self.patch_projection(features.patches)),
            sentences=unit_vectors(self.sentence_projection(sentences)),
            is_sentence=is_sentence,
        )

    def terms(self, features: MamaFeatures, scales: Scales, step: int) -> Terms:
        """Eq. 4 of the paper."""
        view = view_loss(features.image, features.other_image, scales.view)
        text = symmetric_nce(scales.image_text * features.image @ features.text.mT)
        if self.settings.symmetric:
            text = text + symmetric_nce(scales.image_text * features.other_image @ features.text.mT)
        total = self.settings.view_weight * view + text
        terms = {"view": view, "image_text": text}
        weight = self.local_weight(step)
        if weight:  # before its first step it costs nothing
            terms["local"] = self._local(features, scales.local)
            total = total + weight * terms["local"]
        return terms | {"total": total}

    def _local(self, features: MamaFeatures, scale: Tensor) -> Tensor:
        of_sentences, of_patches = sentence_scores(features.sentences, features.is_sentence, features.patches)
        both = self.settings.score_directions == "both"
        if self.settings.reads == "visual":
            return sentence_loss(of_sentences, of_sentences, scale, both_directions=both)
        return sentence_loss(of_sentences, of_patches, scale, both_directions=both)
