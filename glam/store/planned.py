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

SHARDS_AT_ONCE = 1_000
"""Whose texts are in memory together."""


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


def item_starts(plan: pa.Table, level: Level) -> np.ndarray:
    """Return the place of the first row of every item; the rows of an item follow each other."""
    is_first = np.zeros(plan.num_rows, bool)
    is_first[:1] = True
    for name in KEYS[level]:
        cells = plan.column(name)
        is_first[1:] |= pc.call_function("not_equal", [cells.slice(1), cells.slice(0, plan.num_rows - 1)]).to_numpy()
    return np.flatnonzero(is_first)


def num_items(plan: pa.Table, level: Level) -> int:
    """Return how many items there are."""
    return len(item_starts(plan, level))


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
    marks = list[ShardMark]()
    spans = shard_spans(plan)
    for first in range(0, len(spans), SHARDS_AT_ONCE):
        some = spans[first : first + SHARDS_AT_ONCE]
        begin, end = some[0][0], some[-1][1]
        rows = joined_cells(plan.slice(begin, end - begin), (*IMAGE_COLUMNS, None)).combine_chunks()
        _, offsets, cells = rows.buffers()
        places = np.frombuffer(offsets, np.int64)[rows.offset :]
        content = memoryview(cells)
        for shard, (start, stop) in enumerate(some, first):
            texts = content[places[start - begin] : places[stop - begin] - 1]  # without the NUL after the last
            marks.append(ShardMark(run_key, shard, hashlib.sha256(texts).hexdigest()))
    return marks


def joined_cells(images: pa.Table, names: Sequence[str | None]) -> pa.ChunkedArray:
    """Return some cells of each row as one text, with NUL characters between them; None: an empty text.

    No cell has a NUL character in it: rows are alike where their texts are, and have the order of their texts.
    """
    empty = pa.scalar("", pa.large_string())
    columns = [empty if name is None else _texts(images.column(name)) for name in names]
    return pc.call_function("binary_join_element_wise", [*columns, pa.scalar("\0", pa.large_string())])


def _texts(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return cells as text; a number as Python writes it, "" where unknown."""
    if not pa.types.is_floating(cells.type):
        return cells.cast(pa.large_string())
    encoded = cells.combine_chunks().dictionary_encode()
    texts = pa.array([repr(number) for number in encoded.dictionary.to_pylist()], pa.large_string())
    return pa.chunked_array([texts.take(encoded.indices).fill_null("")])
