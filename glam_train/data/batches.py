"""Batches of pairs as a pure function of the step: whoever resumes at step n sees what the first run saw there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glam.words.report import ReportFacts, lesion_from_json, mask_meta, report_text
from glam.words.tokens import Tokenizer
from glam.words.wording import turned_location
from glam_train.config import ImageAugmentation, TextAugmentation
from glam_train.data.augment import augment, move_points
from glam_train.data.cache import PairCache
from glam_train.data.places import known_places

if TYPE_CHECKING:
    from torch import Tensor


class Batch(NamedTuple):
    """What the model sees of some pairs, and the places that it is told."""

    cc: "Tensor"  # (batch, 1, side, side) in [0, 1]
    mlo: "Tensor"  # (batch, 1, side, side) in [0, 1]
    token_ids: "Tensor"  # (batch, token)
    mask: "Tensor"  # (batch, token), 1 for a token and 0 for padding
    points: "Tensor"  # (batch, place, view, 2): x and y of known places in the images above, 0..1 across them
    place_kinds: "Tensor"  # (batch, place): 0 for padding, else a number of PLACE_KINDS


def facts_of(record: dict[str, Any]) -> ReportFacts:
    """The report's facts of a cache record."""
    facts = dict(record["facts"])
    facts["lesions"] = tuple(lesion_from_json(lesion) for lesion in facts.get("lesions", ()))
    return ReportFacts(**facts)


def turned_facts(facts: ReportFacts, *, cc: bool, mlo: bool) -> ReportFacts:
    """Return what a report says of a breast after the rows of the named views were turned over."""
    lesions = tuple(
        replace(lesion, location=turned_location(lesion.location, cc=cc, mlo=mlo)) for lesion in facts.lesions
    )
    return replace(facts, lesions=lesions)


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
    flip_rows: float = 0.0
    """Chance of each view to have its rows turned over."""
    place_kinds: Sequence[str] = ()
    """Which known places to hand out."""

    def batch(self, step: int, count: int) -> Batch:
        """The `count` pairs of update `step`, augmented; depends on the seed and the step alone."""
        import torch

        indices = pair_indices(step, num_pairs=len(self.cache), count=count, seed=self.seed)
        squares = np.stack([self.cache.squares(int(index)) for index in indices])  # (batch, view, side, side)
        images = torch.from_numpy(squares.astype(np.float32) / 65535)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        flipped = np.random.default_rng([self.seed, step, 2]).random((count, 2)) < self.flip_rows  # (batch, view)
        cc, mlo = (
            augment(images[:, view : view + 1], self.image, generator, flipped=torch.from_numpy(flipped[:, view]))
            for view in (0, 1)
        )
        records = [self.cache.records[int(index)] for index in indices]
        places = known_places(records, self.place_kinds, np.random.default_rng([self.seed, step, 3]))
        points = torch.from_numpy(places.points)  # (batch, place, view, 2)
        moved = [move_points(points[:, :, view], made.matrix) for view, made in enumerate((cc, mlo))]
        ids, mask = self._tokens(records, flipped, np.random.default_rng([self.seed, step, 1]))
        return Batch(
            cc=cc.images,
            mlo=mlo.images,
            token_ids=torch.from_numpy(ids),
            mask=torch.from_numpy(mask),
            points=torch.stack(moved, dim=2),
            place_kinds=torch.from_numpy(places.kinds),
        )

    def _tokens(
        self, records: Sequence[dict[str, Any]], flipped: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        texts = [self._text(record, turned, rng) for record, turned in zip(records, flipped, strict=True)]
        tokens = self.tokenizer.encode(texts, max_tokens=self.max_tokens, wrap=self.wrap_tokens)
        return tokens.ids, tokens.mask

    def _text(self, record: dict[str, Any], flipped: np.ndarray, rng: np.random.Generator) -> str:
        turned = turned_facts(facts_of(record), cc=bool(flipped[0]), mlo=bool(flipped[1]))
        return report_text(mask_meta(turned, ratio=self.text.mask_meta, rng=rng), style=self.text.style)
