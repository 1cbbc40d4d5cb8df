"""A run from its beginning to its end: what is to be done, doing it, and what became of it."""

import errno
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from glam.store.amend import failed_items
from glam.store.planned import is_planned, item_starts, plan_root, read_plan, write_plan
from glam.store.read import content_sha256, is_done, stray_files
from glam.store.run_key import RunRecord, check_same_run, read_run
from glam.store.schema import REJECTED_FILE, RUN_FILE, SUCCESS_FILE, SUMMARY_FILE, Problem, ShardMark, StoreError
from glam.store.summary import Summary, summarise
from glam.store.write import locked, remove, write_json, write_run, write_table
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.faults import TRIED_AGAIN
from glam_serve.cohort.plan import Plan, make_plan
from glam_serve.cohort.progress import Progress

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class NoSpaceError(OSError):
    """The disk of the store is full; what is whole stays."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The images that a run is asked to embed."""

    images: pd.DataFrame
    """A row an image, as `glam.manifest` describes it."""
    root: Path
    """Folder that their paths begin at."""
    locate: Callable[[str], str] | None = None
    """Returns where an image is read from by its path; None: it is a file, below the root."""
    rejected: tuple[Problem, ...] = ()
    """Files of a folder that are not among the images; `image_id` is their path in it."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a run has to do."""

    plan: Plan
    marks: list[ShardMark]
    """Of all shards."""
    pending: list[ShardMark]
    """Of those that are not in the store, or have items that are tried again."""


def planned(cohort: Cohort, store: Path, record: RunRecord, *, shard_size: int | None) -> Planned:
    """Plan a cohort after what a store holds; StoreError where they do not go together. Writes nothing."""
    if (store / RUN_FILE).exists():
        check_same_run(store, read_run(store).config, record.config)
    plan = make_plan(
        cohort.images, read_plan(store), root=cohort.root, level=record.config.level, shard_size=shard_size
    )
    marks = plan.marks(record.config.key)
    if strays := stray_files(store, len(marks)):
        way_out = "move it away: whoever reads part-*.parquet would read its rows too"
        raise StoreError("store_damaged", f"{strays[0]} is of no shard of the plan: {way_out}")
    done = [mark for mark in marks if is_done(store, mark)]
    again = failed_items(store, done, record.config.level, TRIED_AGAIN)
    whole = {mark.shard for mark in done} - again.keys()
    pending = [mark for mark in marks if mark.shard not in whole]
    return Planned(plan=replace(plan, locate=cohort.locate, again=again), marks=marks, pending=pending)


def embed(
    find_cohort: Callable[[], Cohort],
    store: Path,
    record: RunRecord,
    make_engine: Callable[[RunRecord], Engine],
    *,
    shard_size: int | None = None,
    stop: threading.Event,
) -> Summary:
    """Embed a cohort into a store, taking up what a run before left undone; return what became of every image.

    `find_cohort` is called when the store is this run's own; it may write to it.

    InterruptedRun: `stop` was set. SourceGoneError: no image comes any more. NoSpaceError: the disk is full.
    StoreError: the store is in use, or is of another run. Whatever ends it, the shards that were done stay.
    """
    with _told_of_full_disk(store), locked(store):
        cohort = find_cohort()
        work = planned(cohort, store, record, shard_size=shard_size)
        rejected = cohort.rejected
        del cohort  # the plan has what a run needs of its images
        pa.default_memory_pool().release_unused()
        if (store / RUN_FILE).exists():
            record = _as_licensed(read_run(store), record)
        engine = make_engine(record) if work.pending else None  # what it refuses is refused before anything is written
        _begin(store, record, rejected, work)
        if engine is not None:
            _do(store, work, engine, stop)
        if not (store / SUCCESS_FILE).exists():
            _mark_success(store, record)
        summary = summarise(store)
        write_json(store / SUMMARY_FILE, summary.as_json())
        return summary


def _as_licensed(there: RunRecord, asked: RunRecord) -> RunRecord:
    """Return what a store was made with; its embeddings may be shared only where the bundle itself says so too."""
    may_share = there.facts.may_share is True and asked.facts.may_share
    return replace(there, facts=replace(there.facts, may_share=may_share))


def _begin(store: Path, record: RunRecord, rejected: Sequence[Problem], work: Planned) -> None:
    """Write down what is about to be done."""
    if not (store / RUN_FILE).exists():
        write_run(store, record)
    if work.pending:
        remove(store / SUCCESS_FILE)
        remove(store / SUMMARY_FILE)
    if work.plan.num_new or not is_planned(store) or plan_root(store) != work.plan.root:
        write_plan(store, work.plan.table, root=work.plan.root, run_key=record.config.key)
    if rejected or (store / REJECTED_FILE).exists():
        table = pa.Table.from_pylist(
            [problem._asdict() for problem in rejected],
            schema=pa.schema([pa.field(name, pa.string(), False) for name in Problem._fields]),
        )
        write_table(store / REJECTED_FILE, table, {"run_key": record.config.key, "rows": table.num_rows})


def _do(store: Path, work: Planned, engine: Engine, stop: threading.Event) -> None:
    again = work.plan.again
    whole = [mark.shard for mark in work.pending if mark.shard not in again]
    table = work.plan.table
    of_items = table.column("shard").to_numpy()[item_starts(table, work.plan.level)]
    items = int(np.isin(of_items, whole).sum()) + sum(map(len, again.values()))
    progress = Progress(sys.stderr, shards=len(work.pending), items=items)
    try:
        for committed in engine.run(store, work.plan.shards(work.pending), stop):
            progress.tell(committed)
    finally:
        progress.end()


def _mark_success(store: Path, record: RunRecord) -> None:
    summary = summarise(store)
    if summary.not_done:
        message = f"{store} does not account for every image: glam-embed verify says which file is to be deleted"
        raise StoreError("store_damaged", message)
    content = {"rows": summary.rows, "items": summary.items, "images": summary.images, "shards": summary.shards}
    sha256 = content_sha256(store, record.config.level)
    write_json(store / SUCCESS_FILE, {"run_key": record.config.key, **content, "content_sha256": sha256})


@contextmanager
def _told_of_full_disk(store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        way_out = "make room and run the same command again: it goes on where this one stopped"
        raise NoSpaceError(error.errno, f"no space left for {store}: {way_out}") from None
