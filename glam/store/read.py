"""Reading a store: its shards, its rows and what became of every image."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glam.files import json_object
from glam.store.schema import (
    FOOTER_KEY,
    KEYS,
    MANIFEST_FILE,
    SUCCESS_FILE,
    Level,
    ShardMark,
    StoreError,
    errors_name,
    part_name,
)


class FileHead(NamedTuple):
    """What a Parquet file of a store says of itself."""

    footer: dict[str, Any]
    columns: pa.Schema
    rows: int
    """By Parquet's own count; that of the footer is ours."""


def file_head(path: Path) -> FileHead:
    """Return what is known of a Parquet file of a store before it is read; StoreError `store_damaged` where nothing is.

    No cell is looked at.
    """
    with _opened(path) as file:
        return FileHead(_footer(file), file.schema_arrow.remove_metadata(), file.metadata.num_rows)


def footer(path: Path) -> dict[str, Any]:
    """Return the JSON in the footer of a Parquet file of a store; StoreError as `file_head`."""
    with _opened(path) as file:
        return _footer(file)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file of a store, None: every column; StoreError `store_damaged` where it does not read.

    The checksum of every page that is read has to agree.
    """
    with _opened(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def is_done(store: Path, mark: ShardMark) -> bool:
    """Whether a shard's part opens, and so do its errors; StoreError for a part of another run or of other items."""
    path, errors = store / part_name(mark.shard), store / errors_name(mark.shard)
    try:
        there = footer(path)
    except StoreError:
        return False  # not there, or damaged: it is made again
    if there.get("run_key") != mark.run_key:
        raise StoreError("other_run", f"{path} is of another run: move it away, or give another --out")
    if there.get("shard") != mark.shard:
        message = f"{path} is the part of shard {there.get('shard')} under another name"
        raise StoreError("store_damaged", f"{message}: delete it and run the same command again")
    if there.get("items_sha256") != mark.items_sha256:
        raise StoreError("item_changed", f"{path} holds other items than {MANIFEST_FILE} says: give another --out")
    try:
        return there.get("problems") == 0 or footer(errors).get("rows") == there.get("problems")
    except StoreError:
        return False


def num_shards(store: Path) -> int:
    """Return how many shards are planned; 0 where nothing was planned yet."""
    path = store / MANIFEST_FILE
    return footer(path)["shards"] if path.exists() else 0


def part_files(store: Path) -> list[Path]:
    """Return the parts of a store, in the order of its shards; a file that no shard of the plan has is none."""
    return [path for shard in range(num_shards(store)) if (path := store / part_name(shard)).exists()]


def stray_files(store: Path, shards: int) -> list[Path]:
    """Return the files that a reader of `part-*.parquet` takes for parts of a store with so many shards."""
    expected = {part_name(shard) for shard in range(shards)}
    return sorted(path for path in store.glob("part-*.parquet") if path.name not in expected)


def error_files(store: Path) -> list[Path]:
    """Return the files of errors of the shards that are done."""
    files = (path.with_name(path.name.replace("part-", "errors-")) for path in part_files(store))
    return [path for path in files if path.exists()]


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
    if not path.exists():
        return None
    try:
        content = json_object(path.read_bytes())
        if absent := [name for name in ("rows", "content_sha256") if name not in content]:
            raise ValueError(f"it has no {absent[0]}")
    except ValueError as error:
        message = f"{path} does not read as the end of a run ({error})"
        raise StoreError("store_damaged", f"{message}: delete it and run the same command again") from None
    return content


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
    table = read_table(path, [*KEYS[level], "embedding"])
    keys = zip(*(table.column(name).to_pylist() for name in KEYS[level]), strict=True)
    for key, vector in zip(keys, vectors(table), strict=True):
        yield json.dumps(key).encode(), hashlib.sha256(vector.tobytes()).digest()


def _tables(files: Sequence[Path], columns: Sequence[str] | None) -> pa.Table:
    if not files:
        raise StoreError("store_empty", "the store has no rows yet: finish a run first")
    return pa.concat_tables([read_table(path, columns).replace_schema_metadata(None) for path in files])


def _footer(file: pq.ParquetFile) -> dict[str, Any]:
    return json_object((file.metadata.metadata or {})[FOOTER_KEY])  # the metadata of its Arrow schema takes long


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for one thing to be read from it; StoreError says that it does not read."""
    try:
        with path.open("rb") as stream:  # pyarrow opens no path that is not UTF-8
            yield pq.ParquetFile(stream, page_checksum_verification=True)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        way_out = "put it back" if path.name == MANIFEST_FILE else "delete it and run the same command again"
        message = f"{path} does not read as a file of a store ({error})"
        raise StoreError("store_damaged", f"{message}: {way_out}") from None
