"""What an engine adds to every row, and whether its memory grows with them: rows without files and without a model.

python -m bench.cohort_rows [--quick] [--rows 1000 10000 100000 1000000] [--no-ray]

The same rows are made by a loop of `write_shard` alone, by the local engine, whose readers get every item, and by an
actor of a Ray cluster of this machine; in turns, because a shared machine is not equally fast for minutes. An engine's
cost is its time a row less that of the loop. Memory is the most that the process held which plans and gives out: not
that of readers, nor of an actor.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.cohort import write_rows
from bench.report import goal, print_summary
from glam.manifest.table import read_manifest
from glam.store.run_key import RunRecord
from glam_serve.cohort.decoder import DecoderOptions
from glam_serve.cohort.decoders import prepared_items
from glam_serve.cohort.embed import Cohort, embed
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.items import Item, PreparedItem, Shard, lost_item
from glam_serve.cohort.ray_cluster import RayOptions
from glam_serve.cohort.ray_engine import RayEngine
from glam_serve.cohort.runner import Committed, items_of
from tests.samples.cohorts import RowsEngine
from tests.samples.own_memory import peak_bytes
from tests.samples.stores import with_config

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST_GROWTH_MB_A_MILLION = 700.0
"""Of memory from the smallest size to a million rows: the plan itself, a table of the million images, is in memory."""
MOST_S_A_ROW = 0.002
"""Of an engine: two thousandths of what reading an image takes."""


def nothing_of(item: Item) -> PreparedItem:
    """Prepare nothing."""
    return lost_item([])


class ReadRows:
    """A `RowsEngine` whose items go through the processes that read files, where nothing is done with them."""

    def __init__(self, engine: RowsEngine) -> None:
        self.engine = engine

    def run(self, store: Path, shards: Any, stop: threading.Event) -> Iterator[Committed]:
        """Commit a shard when its items are back."""
        coming = deque[Shard]()
        seen = 0
        for _ in prepared_items(items_of(shards, coming), nothing_of, DecoderOptions(workers=1), stop):
            seen += 1
            if seen == len(coming[0].items):
                yield from self.engine.run(store, [coming.popleft()], stop)
                seen = 0


def read_rows_engine(record: RunRecord) -> ReadRows:
    """Made in an actor too."""
    return ReadRows(RowsEngine(record))


def ray_engine(record: RunRecord) -> RayEngine:
    """One actor, beside this process."""
    return RayEngine(
        make_engine=partial(read_rows_engine, record),
        run_key=record.config.key,
        options=RayOptions(actors=1, num_cpus=1),
    )


ENGINES: dict[str, Callable[[RunRecord], Engine]] = {"loop": RowsEngine, "local": read_rows_engine, "ray": ray_engine}


class Timed:
    """An engine of which the time from its first shard to its last is taken, without its start."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.times = list[tuple[float, int]]()

    def run(self, store: Path, shards: Any, stop: threading.Event) -> Iterator[Committed]:
        """Do as the engine does."""
        for committed in self.engine.run(store, shards, stop):
            self.times.append((time.monotonic(), committed.items))
            yield committed

    def seconds_a_row(self) -> float:
        """Mean over all shards but the first."""
        return (self.times[-1][0] - self.times[0][0]) / sum(items for _, items in self.times[1:])


def measure(kind: str, rows: int, folder: Path) -> dict[str, float]:
    """Embed so many rows in this process; seconds a row, and its largest memory."""
    record = with_config(level="image")
    manifest = write_rows(folder / "manifest.parquet", rows)
    timed = list[Timed]()

    def engine(of_store: RunRecord) -> Timed:
        timed.append(Timed(ENGINES[kind](of_store)))
        return timed[0]

    def cohort() -> Cohort:
        return Cohort(images=read_manifest(manifest), root=manifest.parent)

    embed(cohort, folder / "store", record, engine, stop=threading.Event())
    return {"s_a_row": timed[0].seconds_a_row(), "memory_mb": peak_bytes() / 2**20}


def in_process(kind: str, rows: int) -> dict[str, float]:
    """Measure in a process of its own, whose memory nothing else has grown."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "bench.cohort_rows", "--one", kind, str(rows), name]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout)


def row_figures(sizes: list[int], *, engines: list[str], rounds: int) -> dict[str, Any]:
    """Overhead of each engine at the second size, over rounds, and memory of each at every size."""
    at = sizes[min(1, len(sizes) - 1)]
    taken = [{kind: in_process(kind, at) for kind in engines} for _ in range(rounds)]
    own = {kind: [entry[kind]["s_a_row"] - entry["loop"]["s_a_row"] for entry in taken] for kind in engines[1:]}
    memory = {kind: {rows: in_process(kind, rows)["memory_mb"] for rows in sizes} for kind in engines[1:]}
    return {
        "rows": at,
        "s_a_row_of_the_loop": round(float(np.median([entry["loop"]["s_a_row"] for entry in taken])), 6),
        "s_a_row_more": {kind: round(float(np.median(values)), 6) for kind, values in own.items()},
        "memory_mb": {kind: {str(rows): round(used) for rows, used in of.items()} for kind, of in memory.items()},
    }


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 and 4,000 rows, one round, without Ray")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        from bench.cohort_rows import measure  # not of the main module, which no actor can import

        kind, rows, folder = options.one
        print(json.dumps(measure(kind, int(rows), Path(folder))))
        return
    sizes, rounds = ([1_000, 4_000], 1) if options.quick else (list(options.rows), options.rounds)
    engines = ["loop", "local", *([] if options.no_ray or options.quick else ["ray"])]
    figures = row_figures(sizes, engines=engines, rounds=rounds)
    goals = {}
    for kind, more in figures["s_a_row_more"].items():
        memory = figures["memory_mb"][kind]
        growth = memory[str(sizes[-1])] - memory[str(sizes[0])]
        most_mb = max(MOST_GROWTH_MB_A_MILLION * sizes[-1] / 1_000_000, 20)
        goals[f"s_a_row_more_{kind}"] = goal(more, at_most=MOST_S_A_ROW)
        goals[f"memory_growth_mb_{kind}"] = goal(growth, at_most=most_mb)
    print_summary("cohort_rows", figures, goals)


if __name__ == "__main__":
    main()
