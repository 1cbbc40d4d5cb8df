"""Rows that stand for a store, and how far other rows are from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from glam.store.read import read_table, vectors
from glam.store.run_key import RunRecord

SAMPLE = 4096
"""Rows that are drawn, and that every row is compared with; a store of fewer rows is taken whole."""
BLOCK = 4096
"""Rows that are compared with the sample at a time."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows that stand for the store: all of a small one, else SAMPLE of them by chance, the same every time."""

    rows: NDArray[np.int64] = field(repr=False)
    """Their places in the store, ascending."""
    matrix: NDArray[np.float32] = field(repr=False)
    """(row, dim)."""
    places: dict[str, list[int]] = field(repr=False)
    """Patient -> the places of its rows in the matrix."""


def sample_of(run: RunRecord, files: Sequence[Path], sizes: Sequence[int]) -> Sample:
    """Return the sample of a store, whose parts have so many rows each."""
    total = sum(sizes)
    if total <= SAMPLE:
        rows = np.arange(total)
    else:
        rows = np.sort(np.random.default_rng(int(run.config.key[:8], 16)).choice(total, SAMPLE, replace=False))
    matrix = np.empty((len(rows), run.facts.dim), np.float32)
    places_of = dict[str, list[int]]()
    start = 0
    for path, size in zip(files, sizes, strict=True):
        first, last = np.searchsorted(rows, [start, start + size])
        if last > first:
            part = read_table(path, ["patient_id", "embedding"])
            places = rows[first:last] - start
            matrix[first:last] = vectors(part)[places]
            patients = part.column("patient_id").to_pylist()
            for number, place in enumerate(places, start=int(first)):
                places_of.setdefault(patients[place], []).append(number)
        start += size
    return Sample(rows=rows, matrix=matrix, places=places_of)


def distances_to(sample: Sample, part: pa.Table, neighbours: int) -> NDArray[np.float32]:
    """Return the mean of 1 - cosine of each row to its nearest rows of the sample that are of other patients.

    NaN where there are none. Rows of the same patient would hide a patient who is unlike all others.
    """
    if neighbours < 1:
        return np.full(part.num_rows, np.nan, np.float32)
    patients, matrix = part.column("patient_id").to_pylist(), vectors(part)
    blocks = (slice(start, start + BLOCK) for start in range(0, part.num_rows, BLOCK))
    return np.concatenate([_block_distances(matrix[block], patients[block], sample, neighbours) for block in blocks])


def _block_distances(
    matrix: np.ndarray, patients: Sequence[str], sample: Sample, neighbours: int
) -> NDArray[np.float32]:
    cosines = matrix.astype(np.float32) @ sample.matrix.T  # (row, row of the sample)
    for row, patient in enumerate(patients):
        if (places := sample.places.get(patient)) is not None:
            cosines[row, places] = -np.inf
    nearest = np.partition(cosines, -neighbours, axis=1)[:, -neighbours:]
    is_there = np.isfinite(nearest)
    count = is_there.sum(axis=1)
    total = np.where(is_there, 1 - nearest, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
