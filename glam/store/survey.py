"""What a store holds in numbers: counts, two axes to draw it by, and the rows that are least like all others.

Parts are read one after the other: of a large store the plan and the names of the patients are in memory, and of the
embeddings those of a sample and of one part.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from glam.store.opening import check_lengths, rows_of_part
from glam.store.planned import read_plan, shard_spans
from glam.store.read import footer, part_files, read_table, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.sample import Sample, distances_to, sample_of
from glam.store.schema import KEYS, StoreError

NEIGHBOURS = 5
MOST_Z = 3.5
"""Rows beyond it are odd (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
UNKNOWN = "not known"
TASKS = ("density", "birads")


class OddRow(NamedTuple):
    """A row that is unlike all others, and how far it is from them."""

    cells: dict[str, Any]
    """Key, patient, likeliest classes, codes, and ids of the images."""
    distance: float
    """Mean of 1 - cosine to its nearest rows of other patients."""
    z: float
    """The same in robust standard deviations from the median of all rows."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The sample on the two axes along which it varies most (principal components)."""

    points: NDArray[np.float64] = field(repr=False)
    """(row of the sample, 2)."""
    odd_points: NDArray[np.float64] = field(repr=False)
    """(odd row, 2)."""
    shares: tuple[float, float]
    """Of the variance, which each axis has."""
    groups: dict[str, NDArray[np.object_]] = field(repr=False)
    """Name of a count, such as density -> the class of each row of the sample."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a store holds."""

    run: RunRecord
    rows: int
    patients: int
    calibrated: int
    """Rows whose probabilities are calibrated."""
    counts: dict[str, dict[str, int]]
    """Of rows, by likeliest class, kind of image, codes of intake, missing views, and the column that was given."""
    odd: list[OddRow]
    num_odd: int
    """Rows beyond MOST_Z; `odd` may list fewer."""
    median: float | None
    """Distance of the middle row; None: no row has one of another patient beside it."""
    neighbours: int
    picture: Picture


def survey(store: Path, labels: Mapping[str, pa.Array] | None = None, *, most_odd: int = 20) -> Survey:
    """Return what a store holds; StoreError where it has no rows, or a part that its run did not write.

    `labels`: name -> a label for every image of the plan, in its order, which rows are counted by too.
    """
    run, files = read_run(store), part_files(store)
    sizes = [rows_of_part(path, run) for path in files]
    if not sum(sizes):
        raise StoreError("store_empty", f"{store} has no rows yet: finish glam-embed run first")
    sample = sample_of(run, files, sizes)
    neighbours = min(NEIGHBOURS, len(sample.rows) - 1)
    images = _ImageLabels.of(store, labels or {})
    tally, distances = _Tally(sample), np.empty(sum(sizes), np.float32)
    for start, part, shard in _parts(files, sizes, run):
        tally.add(start, part, _groups(part, run, images.of_shard(shard)))
        distances[start : start + part.num_rows] = distances_to(sample, part, neighbours)
    z = robust_z(distances)
    odd = _odd_rows(files, sizes, run, distances, z, most_odd)
    middle = np.nanmedian(distances) if np.isfinite(distances).any() else None
    return Survey(
        run=run,
        rows=len(distances),
        patients=len(tally.patients),
        calibrated=tally.calibrated,
        counts={name: dict(sorted(count.items())) for name, count in tally.counts.items()},
        odd=[row for row, _ in odd],
        num_odd=int(np.count_nonzero(z > MOST_Z)),
        median=None if middle is None else float(middle),
        neighbours=neighbours,
        picture=_picture(sample, [vector for _, vector in odd], tally.of_sample),
    )


def robust_z(values: np.ndarray) -> NDArray[np.float64]:
    """Return how many robust standard deviations each value is above the median; 0 where there is none (NaN).

    Where more than half of the values are the same their mean deviation stands for the median one.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return np.zeros(len(values))
    middle = np.median(finite)
    deviations = np.abs(finite - middle)
    spread = 1.4826 * np.median(deviations) or 1.2533 * deviations.mean()  # of a normal distribution: its deviation
    return np.nan_to_num((values - middle) / spread) if spread > 0 else np.zeros(len(values))


class _ImageLabels:
    """Labels of the images of a plan, by shard."""

    def __init__(self, names: list[str], ids: pa.Array, labels: list[pa.Array], spans: list[tuple[int, int]]) -> None:
        self._names, self._ids, self._labels, self._spans = names, ids, labels, spans

    @classmethod
    def of(cls, store: Path, labels: Mapping[str, pa.Array]) -> "_ImageLabels":
        plan = read_plan(store, ["image_id", "image_type", "shard"])
        assert plan is not None, "a store with rows has a plan"
        every = {"image_type": plan.column("image_type").combine_chunks(), **labels}
        return cls(list(every), plan.column("image_id").combine_chunks(), list(every.values()), shard_spans(plan))

    def of_shard(self, shard: int) -> dict[str, dict[str, str]]:
        """Return name -> image_id -> label."""
        start, stop = self._spans[shard]
        ids = self._ids.slice(start, stop - start).to_pylist()
        cells = {
            name: label.slice(start, stop - start).to_pylist()
            for name, label in zip(self._names, self._labels, strict=True)
        }
        return {name: dict(zip(ids, of_images, strict=True)) for name, of_images in cells.items()}


class _Tally:
    """Counts over the parts that were seen, and the groups of the rows of a sample."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.counts: dict[str, Counter[str]] = {}
        self.of_sample: dict[str, NDArray[np.object_]] = {}
        self.patients = set[str]()
        self.calibrated = 0

    def add(self, start: int, part: pa.Table, groups: Mapping[str, Sequence[str]]) -> None:
        """Count the rows of a part, which begin at a place of the store."""
        self.patients.update(part.column("patient_id").to_pylist())
        self.calibrated += int(np.count_nonzero(part.column("calibrated").to_numpy()))
        first, last = np.searchsorted(self._sample.rows, [start, start + part.num_rows])
        for name, group in groups.items():
            self.counts.setdefault(name, Counter()).update(group)
            places = self.of_sample.setdefault(name, np.full(len(self._sample.rows), UNKNOWN, object))
            places[first:last] = np.array(group, object)[self._sample.rows[first:last] - start]
        for name in ("codes", "missing"):
            lists = part.column(name).combine_chunks()
            self.counts.setdefault(name, Counter()).update(lists.flatten().to_pylist())


def _parts(files: Sequence[Path], sizes: Sequence[int], run: RunRecord) -> Iterator[tuple[int, pa.Table, int]]:
    """Yield the first row of each part in the store, its columns, and its shard."""
    tasks = [f"{task}_{name}" for task in TASKS for name in run.facts.classes.get(task, ())]
    columns = ["patient_id", "embedding", *tasks, "calibrated", "images", "codes", "missing"]
    start = 0
    for path, size in zip(files, sizes, strict=True):
        if size:
            part = read_table(path, columns)
            check_lengths(path, vectors(part).astype(np.float32, copy=False), run)
            yield start, part, footer(path)["shard"]
        start += size


def _groups(part: pa.Table, run: RunRecord, labels: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return what each row is counted as: its likeliest classes, and the labels of its images."""
    groups = {task: likeliest(part, run, task) for task in TASKS if run.facts.classes.get(task)}
    images = part.column("images").to_pylist()
    for name, of_image in labels.items():
        groups[name] = [" + ".join(sorted({of_image[image] or UNKNOWN for image in row})) or UNKNOWN for row in images]
    return groups


def likeliest(part: pa.Table, run: RunRecord, task: str) -> list[str]:
    """Return the class of each row that has the largest probability; of equals the first."""
    names = run.facts.classes[task]
    shares = np.stack([part.column(f"{task}_{name}").to_numpy() for name in names], axis=1)
    return np.array(names, object)[shares.argmax(axis=1)].tolist()


def _odd_rows(
    files: Sequence[Path], sizes: Sequence[int], run: RunRecord, distances: np.ndarray, z: np.ndarray, most: int
) -> list[tuple[OddRow, NDArray[np.float32]]]:
    """Return the rows beyond MOST_Z, the oddest first, with their embeddings."""
    order = np.argsort(-z, kind="stable")[:most]
    odd = order[z[order] > MOST_Z]
    starts = np.cumsum([0, *sizes])
    found: dict[int, tuple[OddRow, NDArray[np.float32]]] = {}
    for number in np.unique(np.searchsorted(starts, odd, side="right") - 1):
        part = read_table(files[number])
        for row in odd[(odd >= starts[number]) & (odd < starts[number + 1])]:
            cells = part.slice(row - starts[number], 1)
            found[int(row)] = (
                OddRow(_told(cells, run), round(float(distances[row]), 6), round(float(z[row]), 2)),
                vectors(cells)[0].astype(np.float32),
            )
    return [found[int(row)] for row in odd]


def _told(cells: pa.Table, run: RunRecord) -> dict[str, Any]:
    row = cells.select([*KEYS[run.config.level], "patient_id", "codes", "images"]).to_pylist()[0]
    classes = {task: likeliest(cells, run, task)[0] for task in TASKS if run.facts.classes.get(task)}
    lists = {name: row.pop(name) for name in ("codes", "images")}
    return row | classes | lists


def _picture(sample: Sample, odd: Sequence[np.ndarray], groups: dict[str, NDArray[np.object_]]) -> Picture:
    middle = sample.matrix.mean(axis=0, dtype=np.float64)
    centred = sample.matrix - middle
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, centred.shape[1]))
    two[: len(axes)] = axes[:2]
    two *= np.where(two[[0, 1], np.abs(two).argmax(axis=1)] < 0, -1, 1)[:, None]  # the same way round every time
    variance = lengths**2
    shares = np.zeros(2)
    shares[: len(variance)] = variance[:2] / max(variance.sum(), 1e-300)
    odd_points = np.array([(vector - middle) @ two.T for vector in odd]).reshape(-1, 2)
    return Picture(
        points=centred @ two.T, odd_points=odd_points, shares=(float(shares[0]), float(shares[1])), groups=groups
    )
