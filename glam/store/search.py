"""The rows of a store that are most like a vector: exact, over embeddings in memory."""

from collections.abc import Collection, Iterator, Sequence
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
from glam.store.read import read_table, vectors
from glam.store.run_key import RunRecord
from glam.store.schema import KEYS, Key, StoreError, probability_columns

AT_ONCE = 8
"""Vectors that are compared with every row in one product: 4 bytes a row and vector."""
BLOCKS = 1000
"""Of scores, of which each is represented by its largest."""


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
    """The key of each row, and its patient, a dictionary's entry."""
    parts: tuple[Path, ...] = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)
    """The first row of each part."""
    salt: bytes | None = field(repr=False)
    """What the patients of a folder are hashed with; None: the store has them as a manifest names them."""
    views: pa.Array | None = field(default=None, repr=False)
    """The view of each row of a store of images, as planned; None where a row is more than an image."""
    ids_are_paths: bool = False
    """Whether a row that is an image is named by where its file is, as in a store of a folder."""

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Columns that name a row."""
        return KEYS[self.run.config.level]

    @property
    def is_exact(self) -> bool:
        """Whether every row is compared; an index may miss some."""
        return True

    def unit(self, vector: np.ndarray) -> NDArray[np.float32]:
        """Return a vector at length 1: (dim,). ValueError: it has another size, or no direction."""
        dim, numbers = self.matrix.shape[1], np.asarray(vector, np.float64)
        length = float(np.linalg.norm(numbers)) if numbers.shape == (dim,) else 0.0
        if numbers.shape != (dim,) or not 0 < length < np.inf:
            raise ValueError(f"a vector of {dim} finite numbers, not all 0, is compared with rows; not {numbers.shape}")
        return (numbers / length).astype(np.float32)

    def nearest(self, vector: np.ndarray, count: int, *, without_patients: Collection[str] = ()) -> list[Hit]:
        """Return the rows most like a (dim,) vector of any length, best first; of equals the one that comes first.

        Fewer than `count` where there are no more. ValueError: a vector of another size, or one without a direction.
        """
        return self.nearest_each([vector], count, without_patients=without_patients)[0]

    def nearest_each(
        self, vectors: Sequence[np.ndarray], count: int, *, without_patients: Collection[str] = ()
    ) -> list[list[Hit]]:
        """Return what `nearest` does of each of several vectors; the embeddings are read once for AT_ONCE of them."""
        questions = np.stack([self.unit(vector) for vector in vectors])
        left_out = np.flatnonzero(self.rows_of(without_patients)) if without_patients else None
        hits = list[list[Hit]]()
        for start in range(0, len(questions), AT_ONCE):
            for scores in _products(self.matrix, questions[start : start + AT_ONCE]):
                if left_out is not None:
                    scores[left_out] = -np.inf
                hits.append([Hit(int(row), float(scores[row])) for row in _largest(scores, count)])
        return hits

    def rows_of(self, patients: Collection[str]) -> NDArray[np.bool_]:
        """Return which rows are of patients: (row,)."""
        column = self.names.column("patient_id").chunk(0)
        numbers = np.flatnonzero(among(pa.chunked_array([column.dictionary]), sorted(patients)))
        return np.isin(np.asarray(column.indices), numbers)

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
        if self.salt is not None:
            names |= {patient_name(self.salt, name) for name in names}
        known = self.names.column("patient_id").chunk(0).dictionary.to_pylist() if names else ()
        return frozenset(known).intersection(names)

    def check_made_by(self, bundle_sha256: str, *, joint_dim: int) -> None:
        """StoreError where another bundle made the store, whose vectors mean something else or have another length."""
        config, facts = self.run.config, self.run.facts
        if config.bundle != bundle_sha256:
            made_by = f"{facts.bundle_name} {facts.bundle_version}, bundle {config.bundle[:12]}"
            raise StoreError("other_bundle", f"{self.store} was made by {made_by}: give that one as --bundle")
        if facts.dim != joint_dim:
            message = f"{self.store} has vectors of {facts.dim} numbers, and its bundle of {joint_dim}"
            raise StoreError("store_damaged", f"{message}: run glam-embed anew into another folder")

    def described(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Return JSON types of hits: key (and view, of an image), patient, likeness, probabilities, codes, image ids.

        Each part is read once, whatever the number of its hits. StoreError: a part is gone or damaged, or it was
        changed since the vectors were read.
        """
        rows = np.unique([hit.row for hit in hits]).astype(int)
        of_part = np.searchsorted(self.starts, rows, side="right") - 1
        cells: dict[int, dict[str, Any]] = {}
        for part in np.unique(of_part):
            cells |= self._cells(int(part), rows[of_part == part])
        return [self._description(cells[hit.row], hit) for hit in hits]

    def _description(self, cells: dict[str, Any], hit: Hit) -> dict[str, Any]:
        key = {name: cells[name] for name in self.key_names}
        if self.views is not None:
            key["view"] = self.views[hit.row].as_py()
        told = {"patient_id": cells["patient_id"], "likeness": round(hit.likeness, 6)}
        return key | told | _probabilities(cells, self.run) | {"codes": cells["codes"], "images": cells["images"]}

    def _cells(self, part: int, rows: NDArray[np.int64]) -> dict[int, dict[str, Any]]:
        """Return what is told of rows of a part, by row."""
        path, names = self.parts[part], [*self.key_names, "patient_id"]
        columns = [*names, "images", "codes", *probability_columns(self.run.facts.classes)]
        table, in_part = read_table(path, [*columns, "embedding"]), rows - self.starts[part]
        on_disk = table.select(columns).take(in_part).to_pylist() if in_part.max() < table.num_rows else []
        is_same = [{name: cells[name] for name in names} for cells in on_disk] == self.names.take(rows).to_pylist()
        # a later run may have put another vector under the same key: the likeness is of the one in memory
        if not is_same or not np.array_equal(vectors(table)[in_part].astype(np.float32), self.matrix[rows]):
            way_out = "open the store again (a server with --store: start it again)"
            raise StoreError("store_changed", f"{path} holds other rows than when it was opened: {way_out}")
        return dict(zip(rows.tolist(), on_disk, strict=True))

    def paths(self, image_ids: Sequence[str]) -> dict[str, str]:
        """Return where the files of images were when they were embedded."""
        plan = read_plan(self.store, ["image_id", "path"])
        if plan is None:
            return {}
        found = plan.filter(pa.array(among(plan.column("image_id"), image_ids)))
        root = plan_root(self.store)
        return {row["image_id"]: below(root, row["path"]) for row in found.to_pylist()}


def _products(matrix: NDArray[np.float32], questions: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the likeness of every row to each of a few vectors: (row,)."""
    if len(questions) == 1:
        yield matrix @ questions[0]
        return
    for scores in (matrix @ questions.T).T:
        yield np.ascontiguousarray(scores)


def _largest(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` largest finite scores, the largest first; of equals the first ones.

    At least `count` blocks have a score as large as the `count`-th largest of the blocks' own largest ones.
    """
    least = -np.inf
    if len(scores) > BLOCKS and count < BLOCKS:
        block = len(scores) // BLOCKS
        largest = np.fmax.reduceat(scores, np.arange(0, len(scores), block))
        least = np.partition(largest, -count)[-count]
    rows = np.flatnonzero(scores >= least)
    rows = rows[np.isfinite(scores[rows])]
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


def among(column: pa.ChunkedArray, values: Sequence[str]) -> NDArray[np.bool_]:
    """Return which cells of a column of strings are one of the values: (row,)."""
    options = pc.SetLookupOptions(pa.array(values, pa.string()))
    return np.asarray(pc.call_function("is_in", [column], options), bool)


def _probabilities(row: dict[str, Any], run: RunRecord) -> dict[str, dict[str, float]]:
    """Return the probabilities of a row as answers have them: task -> class -> probability."""
    tasks = {task: names for task, names in run.facts.classes.items() if probability_columns({task: names})}
    return {task: {name: round(row[f"{task}_{name}"], 6) for name in names} for task, names in tasks.items()}
