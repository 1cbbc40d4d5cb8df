"""Writing a store: a shard is there as a whole or not at all, whenever the program or the machine is stopped."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from glam.files import JsonDict, flush_folder, replacing
from glam.lock import held_alone
from glam.store.run_key import RunRecord
from glam.store.schema import (
    FOOTER_KEY,
    LOCK_FILE,
    PACS_FILE,
    RUN_FILE,
    SALT_FILE,
    Key,
    Problem,
    Row,
    ShardMark,
    StoreError,
    errors_name,
    errors_table,
    part_name,
    part_schema,
    part_table,
    probability_columns,
)

TEMPORARY = re.compile(
    r"\.(part-\d+|errors-\d+|index|manifest|rejected|run|summary|_SUCCESS|\.salt)(\.\w+)?\.\d+\.part"
)
"""Names that `glam.files.replacing` gives to files of a store before they are whole."""


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold a store, made where it is not there, for this process alone; StoreError `store_in_use` where another does.

    The lock ends with the process, however it ends. Temporary files of writers that were killed are deleted. StoreError
    `not_a_store`: the folder has other files in it and no store.
    """
    if not store.is_dir() and (store.exists() or store.is_symlink()):
        raise StoreError("not_a_store", f"{store} is no folder: give a new or an empty one")
    store.mkdir(parents=True, exist_ok=True)
    in_use = StoreError("store_in_use", f"another run writes to {store}: wait until it ends, or stop it")
    with held_alone(store / LOCK_FILE, in_use=in_use):
        for path in store.iterdir():
            if TEMPORARY.fullmatch(path.name):
                path.unlink()
        strangers = [path.name for path in store.iterdir() if path.name not in (LOCK_FILE, SALT_FILE, PACS_FILE)]
        if strangers and not (store / RUN_FILE).exists():
            way_out = "give a new or an empty folder"
            raise StoreError("not_a_store", f"{store} has other files in it, such as {min(strangers)}: {way_out}")
        yield


def write_run(store: Path, record: RunRecord) -> None:
    """Write run.json, the first file of a store."""
    write_text(store / RUN_FILE, json.dumps(record.as_json(), indent=1, allow_nan=False) + "\n")


def write_shard(
    store: Path, record: RunRecord, mark: ShardMark, rows: Sequence[Row], problems: Sequence[tuple[Key, Problem]]
) -> None:
    """Put a shard into a store: its errors first, then its part, which is the sign that the shard is done."""
    level = record.config.level
    put_shard(store, record, mark, part_table(rows, schema_of(record), level), errors_table(problems, level))


def put_shard(store: Path, record: RunRecord, mark: ShardMark, part: pa.Table, errors: pa.Table) -> None:
    """Put the rows and the errors of a shard into a store, as `write_shard` does."""
    footer = mark._asdict() | {"notice": record.facts.notice, "may_share": record.facts.may_share}
    path = store / errors_name(mark.shard)
    if errors.num_rows:
        write_table(path, errors, footer | {"rows": errors.num_rows})
    else:
        path.unlink(missing_ok=True)  # of an attempt that was stopped before its part
    of_part = {"rows": part.num_rows, "problems": errors.num_rows}
    write_table(store / part_name(mark.shard), part, footer | of_part)


def schema_of(record: RunRecord) -> pa.Schema:
    """Return the columns of the parts of a run."""
    facts = record.facts
    names = probability_columns(facts.classes)
    return part_schema(record.config.level, dim=facts.dim, dtype=record.config.dtype, probabilities=names)


def write_table(path: Path, table: pa.Table, footer: Mapping[str, Any]) -> None:
    """Write a table as Parquet, whole or not at all, with a JSON footer; it is on the disk when this returns."""
    marked = table.replace_schema_metadata({FOOTER_KEY: json.dumps(footer).encode()})
    sink = pa.BufferOutputStream()  # so that what the disk refuses is an OSError of this file, with its number
    pq.write_table(marked, sink, compression="none", write_page_checksum=True)
    _write(path, sink.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all; it is on the disk when this returns."""
    _write(path, text.encode())


def write_json(path: Path, content: JsonDict) -> None:
    """Write an object as readable JSON, as `write_text` does."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def remove(path: Path) -> None:
    """Delete a file if it is there; it is gone from the disk when this returns."""
    if path.exists():
        path.unlink()
        flush_folder(path.parent)


def _write(path: Path, content: bytes | pa.Buffer) -> None:
    with replacing(path) as part, part.open("wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]
    flush_folder(path.parent)
