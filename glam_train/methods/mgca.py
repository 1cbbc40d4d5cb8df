"""MGCA: Wang et al., "Multi-Granularity Cross-modal Alignment for Generalized Medical Visual Representation Learning".

NeurIPS 2022. Written from the paper: HKU-MedAI/MGCA has no licence. What differs from that code: docs/methods.md.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.clip import clip_loss
from glam_train.methods.method import Terms, precise
from glam_train.methods.settings import MgcaSettings
from glam_train.methods.single_image import SingleImageMethod
from glam_train.methods.token_shares import (
    caught_input,
    even_shares,
    last_patch_layer,
    last_word_layer,
    patch_shares,
    the_input,
    word_shares,
)


class MgcaFeatures(NamedTuple):
    """Image and report in the joint space, and the loss of the tokens, which is that of one pair by itself."""

    image: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    token_loss: Tensor  # (batch,)


class Tokens(NamedTuple):
    """Patches or words."""

    vectors: Tensor  # (batch, token, dim), unit length
    shares: Tensor  # (batch, token): how much each counts; they sum to 1
    is_token: Tensor  # (batch, token) bool: False for padding


class TokenProjection(nn.Module):
    """A hidden layer into the space of patches and words. Its norm is of a token by itself: pairs stay apart."""

    def __init__(self, dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden_dim, bias=False)
        self.norm = nn.LayerNorm(hidden_dim)
        self.out = nn.Linear(hidden_dim, out_dim)

    def forward(self, states: Tensor) -> Tensor:
        """(batch, token, dim) -> (batch, token, out) unit vectors."""
        return unit_vectors(self.out(self.norm(self.hidden(states)).relu()))


class TokenAttention(nn.Module):
    """What a token finds in the other modality: attention of one head with all four projections."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tokens, others: Tokens) -> tuple[Tensor, Tensor]:
        """Return unit vectors (batch, token, dim), and the weights (batch, token, other), which sum to 1."""
        asking, asked = (kind.vectors.to(self.query.weight.dtype) for kind in (tokens, others))
        logits = torch.einsum("bqd,bkd->bqk", self.query(asking), self.key(asked)) * asking.shape[-1] ** -0.5
        weights = logits.masked_fill(~others.is_token.unsqueeze(1), -torch.inf).softmax(dim=2)
        return unit_vectors(self.out(weights.to(asked.dtype) @ self.value(asked))), weights


def token_contrast(tokens: Tokens, found: Tensor, temperature: float) -> Tensor:
    """Loss of each pair, (batch,): a token and what it found among those of its image or text, both ways.

    found: (batch, token, dim), unit length. Each token's loss counts by its share.
    """
    logits = torch.einsum("bqd,bkd->bqk", tokens.vectors, found) / temperature
    lowest = torch.finfo(logits.dtype).min
    costs = torch.zeros_like(tokens.shares)
    for way in (logits, logits.mT):
        likely = way.masked_fill(~tokens.is_token.unsqueeze(1), lowest).log_softmax(dim=2)
        costs = costs - likely.diagonal(dim1=1, dim2=2) / 2
    return (tokens.shares * costs.masked_fill(~tokens.is_token, 0)).sum(dim=1)


@torch.no_grad()
def assigned(scores: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Assign vectors to prototypes, (n, prototype) each: a row sums to 1, and all columns to nearly the same.

    Sinkhorn and Knopp's iterations, in logarithms.
    """
    logs = scores / epsilon
    for _ in range(iterations):
        logs = logs - logs.logsumexp(dim=0, keepdim=True)
        logs = logs - logs.logsumexp(dim=1, keepdim=True)
    return logs.exp()


def prototype_loss(image: Tensor, text: Tensor, prototypes: Tensor, settings: MgcaSettings) -> Tensor:
    """Predict from the image which prototypes its report is assigned to, and the other way round; the mean of both.

    image, text: (n, joint) unit vectors; prototypes: (prototype, joint) unit vectors.
    """
    ways = []
    scores = image @ prototypes.mT, text @ prototypes.mT  # (n, prototype)
    for seen, told in (scores, reversed(scores)):
        target = assigned(told, epsilon=settings.sinkhorn_epsilon, iterations=settings.sinkhorn_iterations)
        ways.append(F.cross_entropy(seen / settings.prototype_temperature, target))
    return (ways[0] + ways[1]) / 2


class MgcaMethod(SingleImageMethod):
    """Image and report (ITA), patches and words (CTA), prototypes (CPA)."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, MgcaSettings)
        self.settings = settings = config.method
        if settings.token_shares == "attention":
            last_patch_layer(model.vision)  # refused here, not in the first update
            last_word_layer(model.text)
        self.project_patches = TokenProjection(model.vision.dim, settings.hidden_dim, settings.token_dim)
        self.project_words = TokenProjection(model.text.dim, settings.hidden_dim, settings.token_dim)
        self.patches_of_word = TokenAttention(settings.token_dim)
        self.words_of_patch = TokenAttention(settings.token_dim)
        self.prototypes = nn.Parameter(unit_vectors(torch.randn(settings.num_prototypes, model.config.joint_dim)))

    def features(self, model: Glam, batch: Batch) -> MgcaFeatures:
        """Embed image and report, and compare the patches of the one with the words of the other."""
        image, patches = self.seen(model, batch.view)
        text, words = self.read(model, batch.token_ids, batch.mask)
        of_words, of_patches = self.patches_of_word(words, patches)[0], self.words_of_patch(patches, words)[0]
        with torch.autocast(batch.view.device.type, enabled=False):
            temperature = self.settings.token_temperature
            words, patches = precise(words), precise(patches)
            losses = [token_contrast(words, of_words, temperature), token_contrast(patches, of_patches, temperature)]
        return MgcaFeatures(image, text, (losses[0] + losses[1]) / 2)

    def seen(self, model: Glam, pixels: Tensor) -> tuple[Tensor, Tokens]:
        """Return the image in the joint space, and its patches."""
        tower = model.vision
        if self.settings.token_shares == "even":
            features = tower(pixels)
            shares = even_shares(torch.ones_like(features.patches[..., 0], dtype=torch.bool))
        else:
            layer = last_patch_layer(tower)
            with caught_input(layer) as caught:
                features = tower(pixels)
            shares = patch_shares(layer, the_input(caught), num_patches=features.patches.shape[1])
        vectors = self.project_patches(features.patches)
        is_patch = torch.ones_like(shares, dtype=torch.bool)
        return model.embed_view(features), Tokens(vectors, shares.to(vectors.dtype), is_patch)

    def read(self, model: Glam, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tokens]:
        """Return the report in the joint space, and its words: all tokens but [CLS], the last [SEP] among them."""
        is_word = mask.bool() & (torch.arange(mask.shape[1], device=mask.device) > 0)
        if self.settings.token_shares == "even":
            states = model.text(token_ids, mask)
            shares = even_shares(is_word)
        else:
            layer = last_word_layer(model.text)
            with caught_input(layer) as caught:
                states = model.text(token_ids, mask)
            shares = word_shares(layer, the_input(caught), is_word)
        vectors = self.project_words(states.tokens)
        text = unit_vectors(model.text_projection(model.pool_text(states)))
        return text, Tokens(vectors, shares.to(vectors.dtype), is_word)

    def terms(self, features: MgcaFeatures, scales: Scales, step: int) -> Terms:
        """The three losses; the prototypes stay where they are for the first epoch."""
        del scales
        settings = self.settings
        prototypes = unit_vectors(self.prototypes).to(features.image.dtype)
        if step < settings.frozen_steps:
            prototypes = prototypes.detach()
        image_text = clip_loss(features.image, features.text, 1 / settings.temperature)
        tokens = features.token_loss.mean()
        cluster = prototype_loss(features.image, features.text, prototypes, settings)
        total = settings.image_text_weight * image_text + settings.token_weight * tokens
        total = total + settings.prototype_weight * cluster
        return {"image_text": image_text, "tokens": tokens, "prototypes": cluster, "total": total}
