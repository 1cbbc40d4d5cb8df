"""Batches of pairs as a pure function of seed and step, so that a resumed run sees the batches of a whole one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glam.words.report import ReportFacts, lesion_from_json, mask_meta, report_text
from glam.words.tokens import Tokenizer
from glam.words.wording import turned_location
from glam_train.config import PretrainConfig
from glam_train.data.augment import augment, move_points
from glam_train.data.cache import PairCache
from glam_train.data.places import known_places


class Batch(NamedTuple):
    """Input of the model for some pairs, with the known places of each."""

    cc: Tensor  # (batch, 1, side, side) in [0, 1]
    mlo: Tensor  # (batch, 1, side, side) in [0, 1]
    token_ids: Tensor  # (batch, token)
    mask: Tensor  # (batch, token), 1 for a token and 0 for padding
    points: Tensor  # (batch, place, view, 2): x and y of known places in the images above, 0..1 across them
    place_kinds: Tensor  # (batch, place): 0 for padding, else a number of PLACE_KINDS


def facts_of(record: dict[str, Any]) -> ReportFacts:
    """Return the facts for the report of a cache record."""
    facts = dict(record["facts"])
    facts["lesions"] = tuple(lesion_from_json(lesion) for lesion in facts.get("lesions", ()))
    return ReportFacts(**facts)


def turned_facts(facts: ReportFacts, *, cc: bool, mlo: bool) -> ReportFacts:
    """Return the facts of a breast after the rows of the named views were turned over: words of place turn too."""
    lesions = tuple(
        replace(lesion, location=turned_location(lesion.location, cc=cc, mlo=mlo)) for lesion in facts.lesions
    )
    return replace(facts, lesions=lesions)


def pair_indices(step: int, *, num_pairs: int, count: int, seed: int) -> np.ndarray:
    """Return the pairs of update `step`. An epoch is a seeded permutation, cut to whole updates.

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
    config: PretrainConfig
    place_kinds: Sequence[str] = ()
    """Kinds of known places in a batch (`glam_train.data.places.PLACE_KINDS`)."""

    def updates(self, start: int) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) of every update from `start` on; a thread makes the next batch meanwhile."""
        steps, count = self.config.steps, self.config.pairs_per_update
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = pool.submit(self.batch, start, count)
            for step in range(start, steps):
                batch = coming.result()
                if step + 1 < steps:
                    coming = pool.submit(self.batch, step + 1, count)
                yield step, batch

    def batch(self, step: int, count: int) -> Batch:
        """Return the `count` pairs of update `step`, augmented; they depend on the seed and the step alone."""
        config = self.config
        indices = pair_indices(step, num_pairs=len(self.cache), count=count, seed=config.seed)
        squares = np.stack([self.cache.squares(int(index)) for index in indices])  # (batch, view, side, side)
        images = torch.from_numpy(squares.astype(np.float32) / 65535)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        turned = np.random.default_rng([config.seed, step, 2]).random((count, 2)) < config.flip_rows  # (batch, view)
        cc, mlo = (
            augment(images[:, view : view + 1], config.image, generator, turned=torch.from_numpy(turned[:, view]))
            for view in (0, 1)
        )
        records = [self.cache.records[int(index)] for index in indices]
        places = known_places(records, self.place_kinds, np.random.default_rng([config.seed, step, 3]))
        points = torch.from_numpy(places.points)  # (batch, place, view, 2)
        moved = [move_points(points[:, :, view], motion.matrix) for view, motion in enumerate((cc, mlo))]
        texts = self._texts(records, turned, np.random.default_rng([config.seed, step, 1]))
        text = config.model.text
        tokens = self.tokenizer.encode(texts, max_tokens=text.max_tokens, wrap=text.wrap_tokens)
        return Batch(
            cc=cc.images,
            mlo=mlo.images,
            token_ids=torch.from_numpy(tokens.ids),
            mask=torch.from_numpy(tokens.mask),
            points=torch.stack(moved, dim=2),
            place_kinds=torch.from_numpy(places.kinds),
        )

    def _texts(self, records: Sequence[dict[str, Any]], turned: np.ndarray, rng: np.random.Generator) -> list[str]:
        """Word the reports, each with the turn of its views and with fields masked at random."""
        text = self.config.text
        facts = [
            turned_facts(facts_of(record), cc=bool(cc), mlo=bool(mlo))
            for record, (cc, mlo) in zip(records, turned, strict=True)
        ]
        return [report_text(mask_meta(each, ratio=text.mask_meta, rng=rng), style=text.style) for each in facts]
