"""Batches of pairs as a pure function of the step: whoever resumes at step n sees what the first run saw there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glam.report import ReportFacts, lesion_from_json, mask_meta, report_text
from glam.tokens import Tokenizer

from .augment import augment
from .cache import PairCache
from .presets import ImageAugmentation, TextAugmentation

if TYPE_CHECKING:
    from torch import Tensor


class Batch(NamedTuple):
    """What the model sees of some pairs."""

    cc: "Tensor"  # (batch, 1, side, side) in [0, 1]
    mlo: "Tensor"  # (batch, 1, side, side) in [0, 1]
    token_ids: "Tensor"  # (batch, token)
    mask: "Tensor"  # (batch, token), 1 for a token and 0 for padding


def facts_of(record: dict[str, Any]) -> ReportFacts:
    """The report's facts of a cache record."""
    facts = dict(record["facts"])
    facts["lesions"] = tuple(lesion_from_json(lesion) for lesion in facts.get("lesions", ()))
    return ReportFacts(**facts)


def pair_indices(step: int, *, num_pairs: int, count: int, seed: int) -> np.ndarray:
    """Pairs of update `step`: each epoch is a seeded permutation, and what does not fill an update waits for the next.

    So no update holds a pair twice, which would be its own negative.
    """
    epoch, within = divmod(step, num_pairs // count)
    order = np.random.default_rng([seed, epoch]).permutation(num_pairs)
    return order[within * count : (within + 1) * count]


@dataclass(frozen=True, kw_only=True)
class PairBatches:
    """The training stream of a cache."""

    cache: PairCache
    tokenizer: Tokenizer
    max_tokens: int
    wrap_tokens: bool
    text: TextAugmentation
    image: ImageAugmentation
    seed: int

    def batch(self, step: int, count: int) -> Batch:
        """The `count` pairs of update `step`, augmented; depends on the seed and the step alone."""
        import torch

        indices = pair_indices(step, num_pairs=len(self.cache), count=count, seed=self.seed)
        squares = np.stack([self.cache.squares(int(index)) for index in indices])  # (batch, view, side, side)
        images = torch.from_numpy(squares.astype(np.float32) / 65535)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        cc, mlo = (augment(images[:, view : view + 1], self.image, generator) for view in (0, 1))
        ids, mask = self._tokens(indices, np.random.default_rng([self.seed, step, 1]))
        return Batch(cc, mlo, torch.from_numpy(ids), torch.from_numpy(mask))

    def _tokens(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        texts = [self._text(self.cache.records[int(index)], rng) for index in indices]
        tokens = self.tokenizer.encode(texts, max_tokens=self.max_tokens, wrap=self.wrap_tokens)
        return tokens.ids, tokens.mask

    def _text(self, record: dict[str, Any], rng: np.random.Generator) -> str:
        facts = mask_meta(facts_of(record), ratio=self.text.mask_meta, rng=rng)
        return report_text(facts, style=self.text.style)
