"""The plan of a store: which images make an item, and which items a shard. manifest.parquet holds it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glam.store.read import footer, read_table
from glam.store.schema import KEYS, MANIFEST_FILE, Level, ShardMark
from glam.store.write import write_table

IMAGE_COLUMNS = (
    *("image_id", "patient_id", "exam_id", "laterality", "view", "path", "spacing_mm", "image_type"),
)  # of the manifest: what decides how an image is read; an item whose cells change is another item
PLAN_SCHEMA = pa.schema(
    [
        pa.field(name, pa.float64() if name == "spacing_mm" else pa.string(), name == "spacing_mm")
        for name in IMAGE_COLUMNS
    ]
    + [pa.field("shard", pa.int32(), False)]
)
"""A row an image, sorted by shard, key and image_id; `path` is below the root that the footer names."""


def is_planned(store: Path) -> bool:
    """Whether a store has a plan."""
    return (store / MANIFEST_FILE).exists()


def read_plan(store: Path, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Return the planned images of a store, None: every column; None where nothing was planned yet."""
    path = store / MANIFEST_FILE
    return read_table(path, columns).replace_schema_metadata(None) if path.exists() else None


def write_plan(store: Path, plan: pa.Table, *, root: Path, run_key: str) -> None:
    """Write the planned images. `root`: the folder that their paths begin at."""
    content = {"run_key": run_key, "root": str(root), "rows": plan.num_rows, "shards": len(shard_spans(plan))}
    write_table(store / MANIFEST_FILE, plan.cast(PLAN_SCHEMA), content)


def ids_are_paths(images: pa.Table) -> bool:
    """Whether some of the planned images, a table with `image_id` and `path`, are named by where their files are."""
    equal = pc.call_function("equal", [images.column("image_id"), images.column("path")])
    return bool(pc.call_function("any", [equal]).as_py())


def num_items(plan: pa.Table, level: Level) -> int:
    """Return how many items there are; the rows of an item follow each other."""
    if plan.num_rows == 0:
        return 0
    is_other = np.zeros(plan.num_rows - 1, bool)  # than the row before
    for name in KEYS[level]:
        cells = plan.column(name)
        equal = pc.equal(cells.slice(1), cells.slice(0, plan.num_rows - 1))  # pyright: ignore[reportAttributeAccessIssue]
        is_other |= ~equal.to_numpy()
    return 1 + int(np.count_nonzero(is_other))


def plan_root(store: Path) -> Path:
    """Return the folder that the paths of a store's plan begin at."""
    return Path(footer(store / MANIFEST_FILE)["root"])


def shard_spans(plan: pa.Table) -> list[tuple[int, int]]:
    """Return start and stop of the rows of every shard, in the order of their numbers 0, 1, ..."""
    shards = plan.column("shard").to_numpy()
    starts = np.flatnonzero(np.diff(shards, prepend=-1))
    assert np.array_equal(shards[starts], np.arange(len(starts))), "shards are numbered without a gap"
    stops = np.append(starts, len(shards))[1:]
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def shard_marks(plan: pa.Table, run_key: str) -> list[ShardMark]:
    """Return what the footer of each shard's part has to say."""
    columns = [_texts(plan.column(name)) for name in IMAGE_COLUMNS]
    rows = pc.binary_join_element_wise(*columns, "\0").to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    return [
        ShardMark(run_key, shard, hashlib.sha256("\0".join(rows[start:stop]).encode()).hexdigest())
        for shard, (start, stop) in enumerate(shard_spans(plan))
    ]


def _texts(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return cells as text, none of which has a NUL character in it; a number as Python writes it, "" where unknown."""
    if pa.types.is_string(cells.type):
        return cells
    encoded = cells.combine_chunks().dictionary_encode()
    texts = pa.array([repr(number) for number in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(encoded.indices).fill_null("")])
