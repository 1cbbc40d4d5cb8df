"""A store as a Lance dataset, for programs that search and filter there."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from glam.files import flush_folder
from glam.store.read import read_table
from glam.store.run_key import read_run
from glam.store.schema import FOOTER_KEY, StoreError, part_schema, probability_columns
from glam_serve.cohort.export import parts_of_run

OF_LANCE = {"_versions", "_transactions", "_indices", "_deletions", "data"}


def export_lance(store: Path, out: Path) -> list[Path]:
    """Write every column of a store's rows as a new Lance dataset, whole or not at all; return its folder.

    A dataset that is there is replaced, so that rows are never there twice; where an export was killed in between, the
    next one puts it back first. StoreError `not_a_dataset`: something else is there; `export_in_use`: another export
    writes there.
    """
    import lance  # noqa: F401  # what is not installed is told before anything is done

    dataset = out.resolve()  # of a link, what it points at is replaced
    with _alone(dataset):
        _replace(dataset, store, out)
    return [out]


@contextmanager
def _alone(dataset: Path) -> Iterator[None]:
    """Hold the place of a dataset for this process alone; the lock ends with the process, its file with the block."""
    dataset.parent.mkdir(parents=True, exist_ok=True)
    path = dataset.with_name(f".{dataset.name}.lock")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):  # the latter: one that had the file has just ended
            way_out = "wait until it ends, or give another --out"
            raise StoreError("export_in_use", f"another export writes to {dataset}: {way_out}") from None
        try:
            yield
        finally:
            path.unlink()


def _replace(dataset: Path, store: Path, out: Path) -> None:
    import lance

    scratch, old = (dataset.with_name(f".{dataset.name}.{word}") for word in ("new", "old"))
    if old.exists() and not dataset.exists():
        old.rename(dataset)
    if dataset.exists() and not _is_dataset(dataset):
        raise StoreError("not_a_dataset", f"{out} is there and no Lance dataset: give another --out")
    files, run = parts_of_run(store), read_run(store)
    told = {"run_key": run.config.key, "notice": run.facts.notice, "may_share": run.facts.may_share}
    schema = part_schema(
        run.config.level,
        dim=run.facts.dim,
        dtype=run.config.dtype,
        probabilities=probability_columns(run.facts.classes),
    ).with_metadata({FOOTER_KEY: json.dumps(told).encode()})
    for left in (scratch, old):  # of an export that was killed
        shutil.rmtree(left, ignore_errors=True)
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, _batches(files, schema)), scratch, mode="create")
    if dataset.exists():
        dataset.rename(old)
    scratch.rename(dataset)
    flush_folder(dataset.parent)
    shutil.rmtree(old, ignore_errors=True)


def _batches(files: list[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in files:
        yield from read_table(path).replace_schema_metadata(schema.metadata).to_batches()


def _is_dataset(folder: Path) -> bool:
    """Whether a folder has what Lance writes and nothing else, so that it may be replaced."""
    return (folder / "_versions").is_dir() and {path.name for path in folder.iterdir()} <= OF_LANCE
