"""Batches of pairs as a pure function of seed and step, so that a resumed run sees the batches of a whole one."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glam.words.facts import ReportFacts
from glam.words.tokens import Tokenizer, Tokens
from glam.words.wording import SEPARATOR, turned_location
from glam_train.config import PretrainConfig
from glam_train.data.augment import augment, move_points
from glam_train.data.balance import balanced_indices, members_of
from glam_train.data.cache import PairCache
from glam_train.data.captions import drawn_report, facts_of
from glam_train.data.places import known_places
from glam_train.data.sentence_order import exchanged_sentences

VIEWS = ("CC", "MLO")
DRAWS = ("turn", "places", "text", "other", "image", "other image", "other text")
"""What is drawn for a place of an update; the order is part of every seed."""
NO_TOKENS = torch.zeros(1, 0, dtype=torch.int64)


class Batch(NamedTuple):
    """Input of the model for the pairs of a pass, with the known places of each."""

    view: Tensor  # (batch, 1, row, col) in [0, 1]: CC; under another strategy than breast, the image of the report
    other_view: Tensor  # (batch, 1, row, col) in [0, 1]: MLO; under another strategy, what was drawn beside it
    token_ids: Tensor  # (batch, token)
    mask: Tensor  # (batch, token), 1 for a token and 0 for padding
    points: Tensor  # (batch, place, view, 2): x and y of known places in the images above, 0..1 across them
    place_kinds: Tensor  # (batch, place): 0 for padding, else a number of PLACE_KINDS
    sentence_ends: Tensor  # (batch, token) bool: the separators that close a sentence
    other_token_ids: Tensor = NO_TOKENS  # (batch, token): the report worded anew; (batch, 0) where no method reads it
    other_mask: Tensor = NO_TOKENS  # (batch, token), as `mask`


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


class Shown(NamedTuple):
    """What one place of an update shows: two images of the cache, by pair and view (0 is CC, 1 is MLO)."""

    pair: int
    view: int
    other_pair: int
    other_view: int


@dataclass(frozen=True, kw_only=True)
class PairBatches:
    """The training stream of a cache: what an update shows depends on the seed and its step alone.

    Every place of an update draws from generators of its own, so that an update may be cut into passes, and passes
    given to processes, in any way.
    """

    cache: PairCache
    tokenizer: Tokenizer
    config: PretrainConfig
    place_kinds: Sequence[str] = ()
    """Kinds of known places in a batch (`glam_train.data.places.PLACE_KINDS`)."""
    passes: Sequence[int] | None = None
    """The passes of an update that this process makes. None: all."""

    @cached_property
    def separator(self) -> list[int]:
        """The ids that the separator of sentences makes inside a text."""
        return self.tokenizer.backend.encode(f" {SEPARATOR}", add_special_tokens=False).ids

    @cached_property
    def relatives(self) -> list[list[int]]:
        """For each pair, the pairs from which its other view may be drawn: those of its exam, or itself."""
        if self.config.views.strategy != "study":
            return [[index] for index in range(len(self.cache))]
        exams: dict[str, list[int]] = {}
        names = [f"{record['patient_id']} {record.get('exam_id', record['pair_id'])}" for record in self.cache.records]
        for index, name in enumerate(names):
            exams.setdefault(name, []).append(index)
        return [exams[name] for name in names]

    @cached_property
    def members(self) -> list[np.ndarray]:
        """For each class of the label that updates are balanced by, its pairs or images."""
        assert self.config.balance is not None
        return members_of(self.cache.records, self.config.balance, views=self.config.images_per_record)

    def updates(self, start: int, *, readers: int = 1) -> Iterator[tuple[int, list[Batch]]]:
        """Yield (step, passes) of every update from `start` on; meanwhile each of the threads makes one of the next."""
        steps = self.config.steps
        with ThreadPoolExecutor(max_workers=readers) as pool:
            coming = deque(pool.submit(self.update, step) for step in range(start, min(start + readers, steps)))
            for step in range(start, steps):
                passes = coming.popleft().result()
                if step + readers < steps:
                    coming.append(pool.submit(self.update, step + readers))
                yield step, passes

    def update(self, step: int) -> list[Batch]:
        """Return this process's passes of an update."""
        size = self.config.batch_size
        passes = range(self.config.accumulate) if self.passes is None else self.passes
        return [self.batch(step, range(index * size, (index + 1) * size)) for index in passes]

    def batch(self, step: int, places: range) -> Batch:
        """Return what some places of update `step` show, augmented."""
        config = self.config
        shown = self.shown(step)[places.start : places.stop]
        turned = np.stack([self._rng(step, place, "turn").random(2) for place in places]) < config.flip_rows
        views = [
            augment(
                self._images([(item.pair, item.view) for item in shown]),
                config.image,
                self._generators(step, places, "image"),
                turned=torch.from_numpy(turned[:, 0]),
            ),
            augment(
                self._images([(item.other_pair, item.other_view) for item in shown]),
                config.image,
                self._generators(step, places, "other image"),
                turned=torch.from_numpy(turned[:, 1]),
            ),
        ]
        records = [self.cache.records[item.pair] for item in shown]
        known = known_places(records, self.place_kinds, [self._rng(step, place, "places") for place in places])
        points = torch.from_numpy(known.points)  # (batch, place, view, 2)
        moved = [move_points(points[:, :, view], motion.matrix) for view, motion in enumerate(views)]
        texts = [
            self._text(record, item, turn, self._rng(step, place, "text"))
            for record, item, turn, place in zip(records, shown, turned, places, strict=True)
        ]
        tokens = self._encoded(texts)
        batch = Batch(
            view=views[0].images,
            other_view=views[1].images,
            token_ids=torch.from_numpy(tokens.ids),
            mask=torch.from_numpy(tokens.mask),
            points=torch.stack(moved, dim=2),
            place_kinds=torch.from_numpy(known.kinds),
            sentence_ends=torch.from_numpy(sentence_ends(tokens.ids, self.separator)),
            other_token_ids=NO_TOKENS.expand(len(places), 0),
            other_mask=NO_TOKENS.expand(len(places), 0),
        )
        return self._with_other_wording(batch, step, places, turned) if config.method.reads_two_wordings else batch

    def _with_other_wording(self, batch: Batch, step: int, places: range, turned: np.ndarray) -> Batch:
        """Add the reports worded anew: fields masked anew, and two sentences in each other's place."""
        texts = []
        for item, turn, place in zip(self.shown(step)[places.start : places.stop], turned, places, strict=True):
            rng = self._rng(step, place, "other text")
            text = self._text(self.cache.records[item.pair], item, turn, rng)
            texts.append(exchanged_sentences(text, SEPARATOR, rng))
        tokens = self._encoded(texts)
        return batch._replace(other_token_ids=torch.from_numpy(tokens.ids), other_mask=torch.from_numpy(tokens.mask))

    def _encoded(self, texts: Sequence[str]) -> Tokens:
        text = self.config.model.text
        return self.tokenizer.encode(texts, max_tokens=text.max_tokens, wrap=text.wrap_tokens)

    def shown(self, step: int) -> list[Shown]:
        """Return what each place of an update shows."""
        indices = self._indices(step)
        if self.config.views.strategy == "breast":
            return [Shown(int(pair), 0, int(pair), 1) for pair in indices]
        return [self._with_other(step, place, *divmod(int(image), 2)) for place, image in enumerate(indices)]

    def _indices(self, step: int) -> np.ndarray:
        """Return the pairs of an update, or the images: 2 a pair."""
        config, count = self.config, self.config.pairs_per_update
        if config.balance is not None:
            return balanced_indices(step, self.members, count=count, seed=config.seed)
        return pair_indices(step, num_pairs=config.images_per_record * len(self.cache), count=count, seed=config.seed)

    def _with_other(self, step: int, place: int, pair: int, view: int) -> Shown:
        """Draw the other view of an image."""
        rng = self._rng(step, place, "other")
        if self.config.views.strategy == "image" or rng.random() >= self.config.views.probability:
            return Shown(pair, view, pair, view)
        relatives = self.relatives[pair]
        other, other_view = divmod(int(rng.integers(2 * len(relatives))), 2)
        return Shown(pair, view, relatives[other], other_view)

    def _images(self, images: Sequence[tuple[int, int]]) -> Tensor:
        """(batch, 1, row, col) in [0, 1]."""
        squares = np.stack([self.cache.squares(pair)[view] for pair, view in images])
        return torch.from_numpy(squares.astype(np.float32) / 65535).unsqueeze(1)

    def _text(self, record: dict[str, Any], shown: Shown, turned: np.ndarray, rng: np.random.Generator) -> str:
        """Word the report of an image, with the turn of its views."""
        facts = facts_of(record)
        if self.config.views.strategy != "breast":
            facts = replace(facts, view=VIEWS[shown.view])
        facts = turned_facts(facts, cc=bool(turned[0]), mlo=bool(turned[1]))
        return drawn_report(facts, self.tokenizer, self.config, rng)

    def _rng(self, step: int, place: int, what: str) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, step, place, DRAWS.index(what)])

    def _generators(self, step: int, places: range, what: str) -> list[torch.Generator]:
        """One generator of torch for each place, of the changes to one of its views."""
        words = [
            np.random.SeedSequence([self.config.seed, step, place, DRAWS.index(what)]).generate_state(1, np.uint64)
            for place in places
        ]
        return [torch.Generator().manual_seed(int(word[0] >> np.uint64(1))) for word in words]


def sentence_ends(token_ids: np.ndarray, separator: Sequence[int]) -> np.ndarray:
    """Say which tokens (text, token) close a sentence: the last ones of separators that do not follow another one.

    separator: the ids that a separator makes, one in a BERT vocabulary, several where it is spelled in pieces.
    """
    length, (texts, width) = len(separator), token_ids.shape
    ends = np.zeros((texts, width), bool)
    if width < length:
        return ends
    windows = np.lib.stride_tricks.sliding_window_view(token_ids, length, axis=1)  # (text, start, piece)
    ends[:, length - 1 :] = (windows == np.asarray(separator)).all(axis=2)
    followed = ends.copy()
    ends[:, length:] &= ~followed[:, :-length]
    return ends
