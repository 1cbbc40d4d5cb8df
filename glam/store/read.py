"""Reading a store: its shards, its rows and what became of every image."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glam.files import json_object
from glam.store.schema import FOOTER_KEY, KEYS, MANIFEST_FILE, SUCCESS_FILE, Level, ShardMark, StoreError, part_name


def footer(path: Path) -> dict[str, Any]:
    """Return the JSON in the footer of a Parquet file of a store; StoreError where it does not read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return json_object(metadata[FOOTER_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise StoreError("store_damaged", f"{path} does not read as a file of a store: {error}") from None


def is_done(store: Path, mark: ShardMark) -> bool:
    """Whether a shard's part is there and opens; StoreError for one of another run or of other items."""
    path = store / part_name(mark.shard)
    try:
        there = footer(path)
    except StoreError:
        return False  # not there, or damaged: it is made again
    if there.get("run_key") != mark.run_key:
        raise StoreError("other_run", f"{path} is of another run: move it away, or give another --out")
    if there.get("items_sha256") != mark.items_sha256:
        raise StoreError("item_changed", f"{path} holds other items than {MANIFEST_FILE} says: give another --out")
    return True


def part_files(store: Path) -> list[Path]:
    """Return the parts of a store, in the order of its shards."""
    return sorted(store.glob("part-*.parquet"))


def error_files(store: Path) -> list[Path]:
    """Return the files of errors of the shards that are done."""
    shards = {path.name.removeprefix("part-") for path in part_files(store)}
    return sorted(path for path in store.glob("errors-*.parquet") if path.name.removeprefix("errors-") in shards)


def read_rows(store: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of all shards that are done, in their order; None: every column."""
    return _tables(part_files(store), columns)


def read_errors(store: Path) -> pa.Table | None:
    """Return the images that could not be used; None where every one could."""
    files = error_files(store)
    return _tables(files, None) if files else None


def read_success(store: Path) -> dict[str, Any] | None:
    """Return the counts and the hash of a whole store; None while shards are missing."""
    path = store / SUCCESS_FILE
    return json_object(path.read_bytes()) if path.exists() else None


def vectors(table: pa.Table) -> np.ndarray:
    """Return the embeddings of a table: (row, dim)."""
    column = table.column("embedding").combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, column.type.list_size)


def content_sha256(store: Path, level: Level) -> str:
    """Return the hash of a store's content: keys and embeddings in the order of their keys, however it was cut."""
    digests = sorted(digest for path in part_files(store) for digest in _row_digests(path, level))
    whole = hashlib.sha256()
    for key, digest in digests:
        whole.update(key + digest)
    return whole.hexdigest()


def _row_digests(path: Path, level: Level) -> Iterator[tuple[bytes, bytes]]:
    """Yield the key of every row of a part, as bytes, and the hash of its embedding."""
    table = pq.read_table(path, columns=[*KEYS[level], "embedding"])
    keys = zip(*(table.column(name).to_pylist() for name in KEYS[level]), strict=True)
    for key, vector in zip(keys, vectors(table), strict=True):
        yield json.dumps(key).encode(), hashlib.sha256(vector.tobytes()).digest()


def _tables(files: Sequence[Path], columns: Sequence[str] | None) -> pa.Table:
    if not files:
        raise StoreError("store_empty", "the store has no rows yet: finish a run first")
    wanted = None if columns is None else list(columns)
    return pa.concat_tables([pq.read_table(path, columns=wanted).replace_schema_metadata(None) for path in files])
