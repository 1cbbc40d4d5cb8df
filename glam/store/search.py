"""The rows of a store that are most like a vector: exact, over embeddings in memory."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from glam.files import below
from glam.store.planned import plan_root, read_plan
from glam.store.pseudonyms import patient_name
from glam.store.read import footer, part_files, read_table, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.schema import KEYS, SALT_FILE, Key, StoreError, probability_columns


class Hit(NamedTuple):
    """A row that is like what was asked for."""

    row: int
    """Its place in the store."""
    likeness: float
    """Cosine, -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class StoreVectors:
    """The embeddings of a store in memory, 4 bytes a number, with what names their rows."""

    store: Path
    run: RunRecord
    matrix: NDArray[np.float32] = field(repr=False)
    """(row, dim), each row of length 1."""
    names: pa.Table = field(repr=False)
    """The key of each row, and its patient."""
    parts: tuple[Path, ...] = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)
    """The first row of each part."""

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Columns that name a row."""
        return KEYS[self.run.config.level]

    def nearest(self, vector: np.ndarray, count: int, *, without_patients: Collection[str] = ()) -> list[Hit]:
        """Return the rows most like a (dim,) vector of any length, best first; of equals the one that comes first.

        Fewer than `count` where there are no more. ValueError: a vector of another size, or one without a direction.
        """
        scores = self.matrix @ _unit(vector, self.matrix.shape[1])
        if without_patients:
            scores[self.rows_of(without_patients)] = -np.inf
        count = min(count, int(np.isfinite(scores).sum()))
        if count <= 0:
            return []
        least = np.partition(scores, -count)[-count]
        rows = np.flatnonzero(scores >= least)
        best = rows[np.argsort(-scores[rows], kind="stable")][:count]
        return [Hit(int(row), float(scores[row])) for row in best]

    def rows_of(self, patients: Collection[str]) -> NDArray[np.bool_]:
        """Return which rows are of patients: (row,)."""
        return among(self.names.column("patient_id"), sorted(patients))

    def row_of(self, key: Key) -> int:
        """Return the place of the row with a key; StoreError `no_row` where there is none."""
        found = np.ones(len(self), bool)
        for name, value in zip(self.key_names, key, strict=True):
            found &= among(self.names.column(name), [value])
        if not found.any():
            raise StoreError("no_row", f"{self.store} has no row {'/'.join(key)}: a row is {'/'.join(self.key_names)}")
        return int(np.argmax(found))

    def patients_named(self, patient_ids: Collection[str]) -> frozenset[str]:
        """Return the names that the store has for patients of headers; none for whom it does not know."""
        names = {patient_id for patient_id in patient_ids if patient_id}
        salt = self.store / SALT_FILE
        if names and salt.exists():
            names |= {patient_name(salt.read_bytes(), name) for name in names}
        known = self.names.column("patient_id").filter(pa.array(self.rows_of(names))) if names else ()
        return frozenset(name.as_py() for name in known)

    def check_made_by(self, bundle_sha256: str) -> None:
        """StoreError `other_bundle` where another bundle made the store, whose vectors mean something else."""
        config, facts = self.run.config, self.run.facts
        if config.bundle != bundle_sha256:
            made_by = f"{facts.bundle_name} {facts.bundle_version}, bundle {config.bundle[:12]}"
            raise StoreError("other_bundle", f"{self.store} was made by {made_by}: give that one as --bundle")

    def described(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Return JSON types of hits: key, patient, likeness, probabilities, codes of intake, and ids of the images."""
        classes = probability_columns(self.run.facts.classes)
        cells = [self._cells(hit.row, ["images", "codes", *classes]) for hit in hits]
        return [
            {name: self.names.column(name)[hit.row].as_py() for name in (*self.key_names, "patient_id")}
            | {"likeness": round(hit.likeness, 6), **_probabilities(row, self.run)}
            | {"codes": row["codes"], "images": row["images"]}
            for hit, row in zip(hits, cells, strict=True)
        ]

    def _cells(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        part = bisect_right(self.starts, row) - 1
        in_part = row - self.starts[part]
        return read_table(self.parts[part], columns).slice(in_part, 1).to_pylist()[0]

    def paths(self, image_ids: Sequence[str]) -> dict[str, str]:
        """Return where the files of images were when they were embedded."""
        plan = read_plan(self.store)
        if plan is None:
            return {}
        found = plan.select(["image_id", "path"]).filter(pa.array(among(plan.column("image_id"), image_ids)))
        root = plan_root(self.store)
        return {row["image_id"]: below(root, row["path"]) for row in found.to_pylist()}


def open_vectors(store: Path) -> StoreVectors:
    """Read the embeddings of all rows that are in a store; StoreError where it has none or is damaged."""
    run = read_run(store)
    files = part_files(store)
    num_rows = sum(footer(path)["rows"] for path in files)
    if not num_rows:
        raise StoreError("store_empty", f"{store} has no rows yet: finish glam-embed run first")
    names = [*KEYS[run.config.level], "patient_id"]
    matrix = np.empty((num_rows, run.facts.dim), np.float32)
    tables, starts, start = [], list[int](), 0
    for path in files:
        starts.append(start)
        table = read_table(path, [*names, "embedding"])
        matrix[start : start + table.num_rows] = vectors(table)
        start += table.num_rows
        tables.append(table.select(names).replace_schema_metadata(None))
    return StoreVectors(
        store=store,
        run=run,
        matrix=matrix,
        names=pa.concat_tables(tables).combine_chunks(),
        parts=tuple(files),
        starts=tuple(starts),
    )


def among(column: pa.ChunkedArray, values: Sequence[str]) -> NDArray[np.bool_]:
    """Return which cells of a column of strings are one of the values: (row,)."""
    options = pc.SetLookupOptions(pa.array(values, pa.string()))
    return np.asarray(pc.call_function("is_in", [column], options), bool)


def _unit(vector: np.ndarray, dim: int) -> NDArray[np.float32]:
    given = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(given)) if given.shape == (dim,) else 0.0
    if given.shape != (dim,) or not 0 < length < np.inf:
        raise ValueError(f"a vector of {dim} finite numbers, not all 0, is compared with rows; not {given.shape}")
    return (given / length).astype(np.float32)


def _probabilities(row: dict[str, Any], run: RunRecord) -> dict[str, dict[str, float]]:
    """Return the probabilities of a row as answers have them: task -> class -> probability."""
    tasks = {task: names for task, names in run.facts.classes.items() if probability_columns({task: names})}
    return {task: {name: round(row[f"{task}_{name}"], 6) for name in names} for task, names in tasks.items()}
