"""Shards in, committed shards out: one model, the processes that feed it, and a store. Every engine is made of these.

The items of all shards stream through the processes, so that none waits at a shard's end. The model takes the good
items of a shard in groups of a fixed size, in the order of the plan: a run that was stopped and goes on makes the same
batches, and so the same bits.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from glam.bundle import Bundle
from glam.engine import BreastVectors, Squares, run_breasts
from glam.exam import PreparedExam, exam_prediction
from glam.interpret import Interpreter
from glam.prediction import Prediction
from glam.runtime import EngineUnavailableError, Runtime
from glam.store.amend import amend_shard
from glam.store.run_key import RunRecord
from glam.store.schema import Key, Problem, Row, ShardMark
from glam.store.write import write_shard
from glam.view import Side
from glam_serve.cohort.decoder import DecoderOptions, Prepare
from glam_serve.cohort.decoders import InterruptedRun, prepared_items
from glam_serve.cohort.items import Item, PreparedItem, Shard, read_item
from glam_serve.cohort.rows import row_of

log = logging.getLogger(__name__)

AWAY_S = 300.0
"""Longest time that a model server may be away before the run ends; the same command goes on."""
ASK_AGAIN_S = 5.0
GoodItem = tuple[Item, PreparedItem, PreparedExam]
"""An item that the model runs on, what reading it gave, and the exam in that."""


class Committed(NamedTuple):
    """A shard that is in the store."""

    shard: int
    items: int
    rows: int
    problems: int
    """Images that could not be used."""


@dataclass
class _Progress:
    """A shard whose items are coming."""

    shard: Shard
    seen: int = 0
    group: list[GoodItem] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    problems: list[tuple[Key, Problem]] = field(default_factory=list)


class Runner:
    """A bundle's model and the processes that read files for it."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        record: RunRecord,
        options: DecoderOptions,
        prepare: Prepare | None = None,
    ) -> None:
        """`record`: of the store; `prepare`: what the processes do with an item, `read_item` where it is None."""
        self._runtime = runtime
        self._interpreter = Interpreter(bundle)
        self._record = record
        self._options = options
        self._stop = threading.Event()
        self._prepare = prepare or partial(read_item, config=bundle.model.frame)

    @property
    def workers(self) -> int:
        """Processes that read files."""
        return self._options.workers

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        """Make the rows of shards and put each shard into the store when its last item is done.

        Of `shards`, None says that there is none at the moment, and more may come.

        InterruptedRun where `stop` is set: shards that are not done by then are left out. OSError: the store cannot be
        written.
        """
        coming = deque[Shard]()
        self._stop = stop
        with closing(prepared_items(items_of(shards, coming), self._prepare, self._options, stop)) as results:
            progress: _Progress | None = None
            for prepared in results:
                progress = progress or _Progress(coming.popleft())
                self._take(progress, prepared)
                if progress.seen == len(progress.shard.items):
                    yield self._commit(store, progress)
                    progress = None

    def prepared(self, items: Sequence[Item]) -> Iterator[PreparedItem]:
        """Yield what becomes of items, read one after the other in a process."""
        return prepared_items(items, self._prepare, replace(self._options, workers=1), threading.Event())

    def rows_of(self, items: Sequence[GoodItem]) -> list[Row]:
        """Run the model on prepared items together."""
        breasts: list[tuple[int, Side]] = [
            (place, side) for place, entry in enumerate(items) for side in entry[2].breasts
        ]
        vectors = self._vectors([items[place][2].breasts[side].squares for place, side in breasts])
        predictions: list[dict[Side, Prediction]] = [{} for _ in items]
        for (place, side), of_breast in zip(breasts, vectors, strict=True):
            breast = items[place][2].breasts[side]
            predictions[place][side] = self._interpreter.prediction(
                breast, of_breast, aggregation=self._record.config.aggregation
            )
        return [
            row_of(item, prepared, exam_prediction(exam, of_item), self._record.config.level)
            for (item, prepared, exam), of_item in zip(items, predictions, strict=True)
        ]

    def _vectors(self, squares: Sequence[Squares]) -> list[BreastVectors]:
        """Run the model; one that is elsewhere and is away for a while is waited for."""
        deadline = time.monotonic() + AWAY_S
        while True:
            try:
                return run_breasts(self._runtime, squares)
            except EngineUnavailableError as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("%s: %s; it is asked again", error.code, error)
            if self._stop.wait(ASK_AGAIN_S):
                raise InterruptedRun

    def _take(self, progress: _Progress, prepared: PreparedItem) -> None:
        item = progress.shard.items[progress.seen]
        progress.seen += 1
        progress.problems += [(item.key, problem) for problem in prepared.problems]
        if prepared.exam is None:
            # nothing is left out for the sake of another image where no image is used
            assert not prepared.left_out
        else:
            progress.group.append((item, prepared, prepared.exam))
        is_last = progress.seen == len(progress.shard.items)
        if len(progress.group) == self._record.config.group_size or (is_last and progress.group):
            progress.rows += self.rows_of(progress.group)
            progress.group.clear()

    def _commit(self, store: Path, progress: _Progress) -> Committed:
        shard = progress.shard
        mark = ShardMark(self._record.config.key, shard.number, shard.items_sha256)
        if shard.amends:
            keys = [item.key for item in shard.items]
            amend_shard(store, self._record, mark, keys, progress.rows, progress.problems)
        else:
            write_shard(store, self._record, mark, progress.rows, progress.problems)
        return Committed(shard.number, len(shard.items), len(progress.rows), len(progress.problems))


def items_of(shards: Iterable[Shard | None], coming: deque[Shard]) -> Iterator[Item | None]:
    """Yield the items of shards, None where there is none yet; a shard is in `coming` before its first item is."""
    for shard in shards:
        if shard is None:
            yield None
            continue
        coming.append(shard)
        yield from shard.items
