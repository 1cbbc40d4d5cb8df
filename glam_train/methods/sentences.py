"""Sentences against patches: the states that close sentences, and the scores of MaMA's local loss (its Algorithm 1)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGES_AT_ONCE = 16
"""Images whose patches are compared with all sentences in one product, to bound its memory."""


def sentence_states(tokens: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states at the separators of each text, (batch, sentence, dim), and which are there, (batch, sentence).

    tokens: (batch, token, dim); ends: (batch, token) bool, the separators that close a sentence. A text without any
    has its first token in place of one.
    """
    ends = ends.clone()
    ends[:, 0] |= ~ends.any(dim=1)
    count = int(ends.sum(dim=1).max())
    order = ends.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]  # (batch, sentence)
    is_sentence = torch.take_along_dim(ends, order, dim=1)
    return torch.take_along_dim(tokens, order.unsqueeze(-1), dim=1), is_sentence


def sentence_scores(sentences: Tensor, is_sentence: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return how well texts and images fit by their parts: two of (text, image).

    The first is the mean over the sentences of the best cosine among the patches, the second the mean over the patches
    of the best cosine among the sentences. sentences: (text, sentence, dim), is_sentence: (text, sentence) bool,
    patches: (image, patch, dim); unit vectors.
    """
    of_sentences, of_patches = [], []
    for cosines in _cosines(sentences, patches):
        of_sentences.append(_mean_of_best_patches(cosines, is_sentence))
        best_sentence = cosines.masked_fill(~is_sentence[:, None, :, None], -torch.inf).max(dim=2).values
        of_patches.append(best_sentence.mean(dim=2))
    return torch.cat(of_sentences, dim=1), torch.cat(of_patches, dim=1)


def best_patch_scores(sentences: Tensor, is_sentence: Tensor, patches: Tensor) -> Tensor:
    """Return the first of `sentence_scores` alone: (text, image)."""
    return torch.cat([_mean_of_best_patches(cosines, is_sentence) for cosines in _cosines(sentences, patches)], dim=1)


def _cosines(sentences: Tensor, patches: Tensor) -> Iterator[Tensor]:
    """Yield the cosines of all sentences with the patches of some images: (text, image, sentence, patch)."""
    for some in patches.split(IMAGES_AT_ONCE):
        yield torch.einsum("tsd,ipd->tisp", sentences, some)


def _mean_of_best_patches(cosines: Tensor, is_sentence: Tensor) -> Tensor:
    counted = is_sentence.unsqueeze(1).to(cosines.dtype)  # (text, 1, sentence)
    return (cosines.max(dim=3).values * counted).sum(dim=2) / counted.sum(dim=2).clamp_min(1)


def sentence_loss(of_sentences: Tensor, of_patches: Tensor, scale: Tensor | float, *, both_directions: bool) -> Tensor:
    """Return half the sum of both scores' cross-entropies: each text finds its image, each image its text.

    scores: (text, image). `both_directions`: each score is contrasted along both axes, and halved (Eq. 3).
    """
    by_text, by_image = scale * of_sentences, scale * of_patches.mT  # the rows ask
    return (_entropy(by_text, both_directions) + _entropy(by_image, both_directions)) / 2


def _entropy(logits: Tensor, both_directions: bool) -> Tensor:
    targets = torch.arange(len(logits), device=logits.device)
    along = F.cross_entropy(logits, targets)
    return (along + F.cross_entropy(logits.mT, targets)) / 2 if both_directions else along
