"""Small cohorts: manifests of phantoms, and engines whose rows hang on their keys alone."""

import csv
import hashlib
import os
import signal
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from glam.store import write
from glam.store.planned import IMAGE_COLUMNS
from glam.store.run_key import RunRecord
from glam.store.schema import Problem, Row, ShardMark, StoreError, probability_columns
from glam.store.summary import Summary
from glam.store.write import write_shard
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.embed import Cohort, embed
from glam_serve.cohort.items import Item, Shard
from glam_serve.cohort.runner import Committed
from tests.samples.stores import RECORD

EXAMS = 3
"""Exams of the cohort of phantoms."""


def rows_of(phantoms: Path) -> list[dict[str, str]]:
    with (phantoms / "manifest.csv").open() as file:
        return [row | {"path": str(phantoms / row["path"])} for row in csv.DictReader(file)]


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@dataclass(frozen=True)
class RowsEngine:
    """An engine without files and without a model: a row an item, whose vector hangs on its key alone."""

    record: RunRecord
    refused: Collection[str] = ()
    """Exams whose images cannot be used."""
    interrupted_after: int | None = None
    """Shards that are done before the run is stopped."""

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        for count, shard in enumerate(shard for shard in shards if shard is not None):
            if stop.is_set() or count == self.interrupted_after:
                raise InterruptedRun
            good = [item for item in shard.items if item.key[0] not in self.refused]
            problems = [
                (item.key, Problem(image.image_id, "read", "truncated", "cut short"))
                for item in shard.items
                if item.key[0] in self.refused
                for image in item.images
            ]
            mark = ShardMark(self.record.config.key, shard.number, shard.items_sha256)
            write_shard(store, self.record, mark, [self._row(item) for item in good], problems)
            yield Committed(shard.number, len(shard.items), len(good), len(problems))

    def _row(self, item: Item) -> Row:
        seed = int.from_bytes(hashlib.sha256("/".join(item.key).encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).normal(size=self.record.facts.dim)
        return Row(
            key=item.key,
            patient_id=item.patient_id,
            embedding=vector / np.linalg.norm(vector),
            probabilities=dict.fromkeys(probability_columns(self.record.facts.classes), 0.5),
            calibrated=False,
            images=[image.image_id for image in item.images],
        )


Moment = Literal["before", "between", "after", "always", "raises", "refuses"]
"""When a `FaultyEngine` ends its process: before a shard, between its errors and its part, after its part."""


@dataclass(frozen=True)
class FaultyEngine:
    """A `RowsEngine` whose process is killed at a moment of some shards: once, or always."""

    engine: RowsEngine
    folder: Path
    """Where it notes what it did."""
    moments: Mapping[int, Moment]
    """Number of a shard -> when."""
    slow_s: float = 0.0
    """Time that every shard takes."""

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        for shard in shards:
            if shard is None:
                continue
            time.sleep(self.slow_s)
            moment = self.moments.get(shard.number)
            if moment == "always" or (moment == "before" and self._is_first(shard)):
                os.kill(os.getpid(), signal.SIGKILL)
            if moment == "raises":
                raise TypeError("".join(reversed("TERCES")))
            if moment == "refuses":
                raise StoreError("other_bundle", "not this one")
            if moment == "between" and self._is_first(shard):
                self._die_at_part()
            (committed,) = self.engine.run(store, [shard], stop)
            if moment == "after" and self._is_first(shard):
                os.kill(os.getpid(), signal.SIGKILL)
            yield committed

    def _is_first(self, shard: Shard) -> bool:
        try:
            (self.folder / str(shard.number)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _die_at_part(self) -> None:
        real = write.write_table

        def dying(path: Path, *arguments: Any) -> None:
            if path.name.startswith("part-"):
                os.kill(os.getpid(), signal.SIGKILL)
            real(path, *arguments)

        write.write_table = dying


def cohort_of(exams: Sequence[str]) -> Cohort:
    """A manifest of exams whose files nobody opens: CC and MLO of the left breast."""
    rows = [
        (f"{exam}-{view}", f"p-{exam}", exam, "L", view, f"{exam}/{view}.dcm", float("nan"), "2D")
        for exam in exams
        for view in ("CC", "MLO")
    ]
    return Cohort(images=pd.DataFrame(rows, columns=list(IMAGE_COLUMNS)), root=Path("/data"))


def embed_rows(
    exams: Sequence[str],
    store: Path,
    *,
    record: RunRecord = RECORD,
    refused: Collection[str] = (),
    interrupted_after: int | None = None,
) -> Summary:
    """Embed exams by `RowsEngine`, two breasts a shard."""

    def engine(of_store: RunRecord) -> RowsEngine:
        return RowsEngine(of_store, refused, interrupted_after)

    return embed(lambda: cohort_of(exams), store, record, engine, shard_size=2, stop=threading.Event())
