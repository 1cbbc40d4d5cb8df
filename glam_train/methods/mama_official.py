"""MaMA as its code was released (XYPB/MaMA 0ca3a9e), held to what that code gave (tests/golden/mama.npz)."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from glam.config import TextConfig
from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.heads import ViewProjection, simclr_loss
from glam_train.methods.losses import official_image_text_loss, symmetric_nce
from glam_train.methods.mama_settings import MamaOfficialSettings
from glam_train.methods.method import Method, Terms
from glam_train.methods.sentences import sentence_scores, sentence_states

LOCAL_HIDDEN = 2048
"""Width of the hidden layer of the two local heads."""
VIEW_TEMPERATURE = 0.5
"""Of SimCLR's loss; fixed."""


class MamaOfficialFeatures(NamedTuple):
    """What the released losses use of two views and a report. The heads take the statistics of a whole batch of it."""

    image: Tensor  # (batch, joint), of unit length
    other_image: Tensor  # (batch, joint), of unit length
    text: Tensor  # (batch, joint), of unit length
    view: Tensor  # (batch, dim): what the first view is embedded by
    other_view: Tensor  # (batch, dim)
    patches: Tensor  # (batch, patch, dim), of the first view
    sentences: Tensor  # (batch, sentence, text dim)
    is_sentence: Tensor  # (batch, sentence) bool: False for padding


class LocalProjection(nn.Module):
    """The released head of patches, or of sentences; in training its norms take the statistics of the rows it is given.

    One row has none, and takes the running ones; the released code breaks on it.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, LOCAL_HIDDEN)
        self.hidden_norm = nn.BatchNorm1d(LOCAL_HIDDEN)
        self.out = nn.Linear(LOCAL_HIDDEN, out_dim)
        self.out_norm = nn.BatchNorm1d(out_dim, affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """(row, dim) -> (row, out) unit vectors; the layers work in the format of their weights."""
        hidden = _normed(self.hidden_norm, self.hidden(rows.to(self.hidden.weight.dtype))).relu()
        return unit_vectors(_normed(self.out_norm, self.out(hidden)))


class MamaOfficialMethod(Method):
    """CLIP of the first image; from a step on SimCLR of the views, CLIP of the second, sentences against patches.

    None of it is halved.
    """

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MamaOfficialSettings)
        self.settings = config.method
        if model.text.transformer is None or model.vision.vit is None:
            raise ValueError(
                "mama_official has a causal language model and a vision transformer (model.text.architecture): take "
                "--preset mama-bert for a BERT"
            )
        self.view_head = ViewProjection(model.vision.dim, model.config.joint_dim)
        self.patch_head = LocalProjection(model.vision.dim, model.config.joint_dim)
        self.sentence_head = LocalProjection(model.text.dim, model.config.joint_dim)

    def prepare(self, model: Glam) -> None:
        """Freeze what the released code freezes, and what its recomputation gives no gradient."""
        for part in self.settings.not_trained:
            model.get_submodule(part).requires_grad_(False)

    def features(self, model: Glam, batch: Batch) -> MamaOfficialFeatures:
        """Embed both views and the report; patches and sentences are left to the heads."""
        features, other = model.view_features(batch.view, batch.other_view)
        text = model.config.text
        states = model.text(*filled(batch.token_ids, batch.mask, text)).tokens[:, : text.max_tokens]
        sentences, is_sentence = sentence_states(states, batch.sentence_ends)
        return MamaOfficialFeatures(
            image=model.embed_view(features),
            other_image=model.embed_view(other),
            text=unit_vectors(model.text_projection(states.mean(dim=1))),
            view=model.pool_view(features),
            other_view=model.pool_view(other),
            patches=features.patches,
            sentences=sentences,
            is_sentence=is_sentence,
        )

    def terms(self, features: MamaOfficialFeatures, scales: Scales, step: int) -> Terms:
        """The released losses: before `local_start_step` the first alone."""
        image_text = official_image_text_loss(features.image, features.text, scales.image_text)
        terms = {"image_text": image_text, "total": image_text}
        if step < self.config.local_start_step:
            return terms
        terms["view"] = simclr_loss(self.view_head, features.other_view, features.view, VIEW_TEMPERATURE)
        terms["total"] = terms["total"] + self.settings.view_weight * terms["view"]
        if self.settings.symmetric:
            terms["other_image_text"] = official_image_text_loss(features.other_image, features.text, scales.image_text)
            terms["total"] = terms["total"] + terms["other_image_text"]
        if weight := self.local_weight(step):
            terms["local"] = self._local(features, scales.local)
            terms["total"] = terms["total"] + weight * terms["local"]
        return terms

    def _local(self, features: MamaOfficialFeatures, scale: Tensor) -> Tensor:
        of_sentences, of_patches = self.local_scores(features)
        local = 2 * symmetric_nce(scale * of_sentences)
        return local if self.settings.reads == "visual" else local + 2 * symmetric_nce(scale * of_patches)

    def local_scores(self, features: MamaOfficialFeatures) -> tuple[Tensor, Tensor]:
        """Return how well texts and images fit by their parts, as `sentence_scores`."""
        images, count = features.patches.shape[:2]
        patches = self.patch_head(features.patches.flatten(0, 1)).unflatten(0, (images, count))
        return sentence_scores(self._sentences(features), features.is_sentence, patches)

    def _sentences(self, features: MamaOfficialFeatures) -> Tensor:
        """Project the sentences of each report by itself: (batch, sentence, joint) unit vectors, 0 for padding."""
        projected = [
            self.sentence_head(sentences[is_sentence])
            for sentences, is_sentence in zip(features.sentences, features.is_sentence, strict=True)
        ]
        return nn.utils.rnn.pad_sequence(projected, batch_first=True)


def _normed(norm: nn.BatchNorm1d, rows: Tensor) -> Tensor:
    if len(rows) > 1 or not norm.training:
        return norm(rows)
    return F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def filled(token_ids: Tensor, mask: Tensor, text: TextConfig) -> tuple[Tensor, Tensor]:
    """Return token ids and mask padded to `max_tokens`: the released code means over the states of padding too."""
    missing = (0, text.max_tokens - token_ids.shape[1])
    return F.pad(token_ids, missing, value=text.pad_id), F.pad(mask, missing)
