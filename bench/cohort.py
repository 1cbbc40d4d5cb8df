"""How long a cohort takes to plan and to resume: the time from the command to the first shard that is to be done.

python -m bench.cohort [--quick] [--rows N]

Rows are images of exams whose files nobody opens, and their vectors are random: what is measured is the store.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.report import goal, print_summary
from glam.manifest.table import read_manifest
from glam.store.run_key import RunRecord
from glam.store.schema import KEYS, part_name
from glam_serve.cohort.embed import Cohort, embed
from glam_serve.cohort.items import Shard
from glam_serve.cohort.runner import Committed
from tests.samples.cohorts import RowsEngine
from tests.samples.stores import RECORD

ROWS = 1_000_000
MOST_S = 10.0
"""Of planning and of resuming a million rows."""
SIDES, VIEWS = ("L", "L", "R", "R"), ("CC", "MLO", "CC", "MLO")


@dataclass
class TimedEngine:
    """An engine that notes when it gets its first shard."""

    engine: RowsEngine
    at: float | None = field(default=None, init=False)
    """By `time.monotonic`."""

    def run(self, store: Path, shards: Iterable[Shard], stop: threading.Event) -> Iterator[Committed]:
        """Do as the engine does."""
        return self.engine.run(store, self._noted(shards), stop)

    def _noted(self, shards: Iterable[Shard]) -> Iterator[Shard]:
        for shard in shards:
            self.at = self.at or time.monotonic()
            yield shard


def write_rows(path: Path, rows: int) -> Path:
    """Write a manifest of so many images, four an exam, in an order of its own."""
    place = np.random.default_rng(10).permutation(rows)
    exam = pd.Series(place // 4).astype(str).str.zfill(9)
    columns = {
        "image_id": "I" + exam + "-" + pd.Series(place % 4).astype(str),
        "patient_id": "P" + exam,
        "exam_id": "E" + exam,
        "laterality": np.array(SIDES)[place % 4],
        "view": np.array(VIEWS)[place % 4],
        "path": exam + "/" + pd.Series(place % 4).astype(str) + ".dcm",
        "spacing_mm": 0.07,
    }
    pd.DataFrame(columns).to_parquet(path)
    return path


def resume_figures(folder: Path, rows: int) -> dict[str, Any]:
    """Plan rows, do them, take one shard away and go on; seconds to the first shard, beside pandas on the same file.

    pandas reads the manifest and sorts it by the key: who plans in a notebook does no less.
    """
    manifest, store = write_rows(folder / "manifest.parquet", rows), folder / "store"
    record = RunRecord(config=replace(RECORD.config, level="image"), facts=RECORD.facts)
    pandas_s = _seconds(lambda: pd.read_parquet(manifest).sort_values(list(KEYS["image"])))
    plan_s = _first_shard_s(manifest, store, record)
    shards = len(list(store.glob("part-*.parquet")))
    (store / part_name(shards - 1)).unlink()
    resume_s = _first_shard_s(manifest, store, record)
    return {
        "rows": rows,
        "shards": shards,
        "pandas_s": round(pandas_s, 2),
        "plan_s": round(plan_s, 2),
        "resume_s": round(resume_s, 2),
        "plan_ratio": round(plan_s / pandas_s, 2),
        "resume_ratio": round(resume_s / pandas_s, 2),
    }


def _first_shard_s(manifest: Path, store: Path, record: RunRecord) -> float:
    engine = TimedEngine(RowsEngine(record))
    start = time.monotonic()

    def cohort() -> Cohort:
        return Cohort(images=read_manifest(manifest), root=manifest.parent)

    embed(cohort, store, record, lambda _: engine, stop=threading.Event())
    assert engine.at is not None, "there was a shard to do"
    return engine.at - start


def _seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    rows = 10_000 if options.quick else options.rows
    with tempfile.TemporaryDirectory() as name:
        figures = resume_figures(Path(name), rows)
    most_s = MOST_S * max(rows / ROWS, 0.1)  # a tenth of it is there without a row
    goals = {"plan_s": goal(figures["plan_s"], at_most=most_s), "resume_s": goal(figures["resume_s"], at_most=most_s)}
    print_summary("cohort", figures, goals)


if __name__ == "__main__":
    main()
