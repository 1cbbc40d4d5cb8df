"""The embeddings of a store, read into memory to be searched, and what is looked at before they are believed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from glam.store.planned import ids_are_paths, read_plan
from glam.store.read import file_head, part_files, read_table, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.schema import KEYS, SALT_FILE, StoreError, part_name, part_schema, probability_columns
from glam.store.search import StoreVectors
from glam.store.verify import TOLERANCES


def open_vectors(store: Path) -> StoreVectors:
    """Read the embeddings of all rows that are in a store; StoreError where it has none or is damaged."""
    run, files = read_run(store), part_files(store)
    sizes = [rows_of_part(path, run) for path in files]
    if not sum(sizes):
        raise StoreError("store_empty", f"{store} has no rows yet: finish glam-embed run first")
    names = [*KEYS[run.config.level], "patient_id"]
    matrix = np.empty((sum(sizes), run.facts.dim), np.float32)
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    tables = []
    for path, start, size in zip(files, starts, sizes, strict=True):
        table = read_table(path, [*names, "embedding"])
        matrix[start : start + size] = vectors(table)
        check_lengths(path, matrix[start : start + size], run)
        tables.append(table.select(names).replace_schema_metadata(None))
    of_rows = pa.concat_tables(tables)
    images = read_plan(store, ["image_id", "view", "path"]) if run.config.level == "image" else None
    return StoreVectors(
        store=store,
        run=run,
        matrix=matrix,
        names=_encoded(of_rows),
        parts=tuple(files),
        starts=tuple(starts),
        salt=_salt(store),
        views=None if images is None else _views(images, of_rows),
        ids_are_paths=images is not None and ids_are_paths(images),
    )


def rows_of_part(path: Path, run: RunRecord) -> int:
    """Return how many rows a part has; StoreError where it is of another run or shard, or not of the run's form."""
    head = file_head(path)
    if head.footer.get("run_key") != run.config.key:
        raise _damaged(path, "is of another run")
    shard, rows = head.footer.get("shard"), head.footer.get("rows")
    if type(shard) is not int or part_name(shard) != path.name:
        raise _damaged(path, "is another part under this name")
    expected = part_schema(
        run.config.level,
        dim=run.facts.dim,
        dtype=run.config.dtype,
        probabilities=probability_columns(run.facts.classes),
    )
    if not head.columns.equals(expected):
        raise _damaged(path, "has other columns than its run writes")
    if rows != head.rows:
        raise _damaged(path, f"has {head.rows} rows, and its footer says {rows!s:.20}")
    return head.rows


def check_lengths(path: Path, rows: NDArray[np.float32], run: RunRecord) -> None:
    """StoreError where an embedding of a part, (row, dim), has another length than 1, or none."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
    if not np.all(np.abs(lengths - 1) <= TOLERANCES[run.config.dtype]):  # NaN is not
        raise _damaged(path, "has embeddings that are not of length 1")


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError("store_damaged", f"{path} {problem}: delete it and run the same command again")


def _views(images: pa.Table, names: pa.Table) -> pa.Array:
    """Return the view of each row by the planned images, null where they lack it."""
    planned = pc.SetLookupOptions(images.column("image_id").combine_chunks())
    places = pc.call_function("index_in", [names.column("image_id").combine_chunks()], planned)
    return images.column("view").combine_chunks().dictionary_encode().take(places)


def _salt(store: Path) -> bytes | None:
    path = store / SALT_FILE
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): make it readable, or patients would not be known"
        raise StoreError("store_damaged", message) from None


def _encoded(names: pa.Table) -> pa.Table:
    """Return names with the patients as entries of one dictionary, so that a patient's rows are found by a number."""
    patients = names.column("patient_id").combine_chunks().dictionary_encode()
    return names.set_column(names.column_names.index("patient_id"), "patient_id", patients).combine_chunks()
