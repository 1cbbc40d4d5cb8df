"""The report's sentences against the patches of both views: MaMA's local loss as a part of GLAM's."""

import math

import torch
from torch import Tensor, nn

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam
from glam_train.methods.aligned import PairFeatures, Towers
from glam_train.methods.method import Terms
from glam_train.methods.sentences import sentence_loss, sentence_scores, sentence_states


class SentencePart(nn.Module):
    """Projections of patches and sentences into one space, and the temperature at which they are contrasted."""

    def __init__(self, model: Glam) -> None:
        super().__init__()
        self.patch_projection = nn.Linear(model.vision.dim, model.config.joint_dim)
        self.sentence_projection = nn.Linear(model.text.dim, model.config.joint_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.max_scale = model.config.max_scale

    def features(self, towers: Towers, sentence_ends: Tensor) -> dict[str, Tensor]:
        """Return the patches, the sentences and which of them there are, as fields of `PairFeatures`."""
        sentences, is_sentence = sentence_states(towers.text.tokens, sentence_ends)
        return {
            "patches_cc": unit_vectors(self.patch_projection(towers.cc.patches)),
            "patches_mlo": unit_vectors(self.patch_projection(towers.mlo.patches)),
            "sentences": unit_vectors(self.sentence_projection(sentences)),
            "is_sentence": is_sentence,
        }

    def terms(self, features: PairFeatures, *, both_views: bool) -> Terms:
        """Return Algorithm 1 of CC, or the mean of both views, and the inverse temperature for the log."""
        scale = self.log_scale.exp()
        views = (features.patches_cc, features.patches_mlo) if both_views else (features.patches_cc,)
        losses = [
            sentence_loss(
                *sentence_scores(features.sentences, features.is_sentence, patches), scale, both_directions=False
            )
            for patches in views
        ]
        return {"sentences": torch.stack(losses).mean(), "scale/sentences": scale.detach()}

    @torch.no_grad()
    def bound_scale(self) -> None:
        """Bring the temperature back to the model's bound."""
        if self.max_scale is not None:
            self.log_scale.clamp_(max=math.log(self.max_scale))
