"""Tables for other programs: the embeddings of a store where its licence permits, and its probabilities."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from glam.files import replacing
from glam.licence import withheld_embeddings
from glam.store.opening import rows_of_part
from glam.store.read import footer, part_files, read_table, vectors
from glam.store.run_key import read_run
from glam.store.schema import KEYS, StoreError, probability_columns


def refuse_sharing(store: Path, *, keep_local: bool) -> None:
    """StoreError `embedding_withheld` where the embeddings of a store must stay, unless the caller keeps them here."""
    way_out = "--keep-local writes them, to stay here"
    parts = part_files(store)
    may_share = read_run(store).facts.may_share and all(footer(path).get("may_share") is True for path in parts)
    if withheld := withheld_embeddings(may_share=may_share, stays_here=keep_local, way_out=way_out):
        raise StoreError(withheld.code, withheld.message)


def export_csv(store: Path, out: Path) -> list[Path]:
    """Write keys and embeddings as CSV, a row an item; return the file."""
    run, target = read_run(store), _target(store, out)
    names = [*KEYS[run.config.level], "patient_id"]

    def rows() -> Iterator[Sequence[Any]]:
        for part in _parts(store, [*names, "embedding"]):
            keys = zip(*(part.column(name).to_pylist() for name in names), strict=True)
            for key, vector in zip(keys, vectors(part), strict=True):
                yield [*key, *(repr(float(number)) for number in vector.astype(np.float32))]

    _write_csv(target, [*names, *(f"embedding_{number}" for number in range(run.facts.dim))], rows())
    return [out]


def export_npy(store: Path, out: Path) -> list[Path]:
    """Write the embeddings as one array (item, dim), and their keys as CSV beside it; return both files."""
    run = read_run(store)
    names = [*KEYS[run.config.level], "patient_id"]
    num_rows = sum(rows_of_part(path, run) for path in part_files(store))
    keys = out.with_name(f"{out.stem}_keys.csv")
    of_array, of_keys = _target(store, out), _target(store, keys)
    with replacing(of_array) as scratch:
        array = np.lib.format.open_memmap(
            scratch, "w+", dtype=np.dtype(run.config.dtype), shape=(num_rows, run.facts.dim)
        )
        start = 0
        for part in _parts(store, ["embedding"]):
            array[start : start + part.num_rows] = vectors(part)
            start += part.num_rows
        array.flush()
    columns = (zip(*(part.column(name).to_pylist() for name in names), strict=True) for part in _parts(store, names))
    _write_csv(of_keys, names, (row for part in columns for row in part))
    return [out, keys]


def export_scores(store: Path, out: Path) -> Path:
    """Write the probabilities of every item with its codes of intake; nothing of an embedding is in it."""
    run, target = read_run(store), _target(store, out)
    classes = probability_columns(run.facts.classes)
    names = [*KEYS[run.config.level], "patient_id", *classes, "calibrated", "missing", "codes"]

    def rows() -> Iterator[Sequence[Any]]:
        for part in _parts(store, names):
            for row in part.to_pylist():
                numbers = {name: f"{row[name]:.6f}" for name in classes}
                lists = {name: " ".join(row[name]) for name in ("missing", "codes")}
                cells = row | numbers | lists | {"calibrated": str(row["calibrated"]).lower()}
                yield [*(cells[name] for name in names), run.facts.notice]

    _write_csv(target, [*names, "notice"], rows())
    return out


def _parts(store: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the columns of one part after the other; StoreError as `parts_of_run`."""
    for path in parts_of_run(store):
        yield read_table(path, columns)


def parts_of_run(store: Path) -> list[Path]:
    """Return the parts of a store; StoreError where there is none, or one that its run did not write."""
    run, files = read_run(store), part_files(store)
    if not files:
        raise StoreError("store_empty", f"{store} has no rows yet: finish glam-embed run first")
    for path in files:
        rows_of_part(path, run)
    return files


def _target(store: Path, out: Path) -> Path:
    """Return the file that a table takes the place of, where a link points; ValueError where it may take none."""
    if out.exists() and not out.is_file():  # a rename would replace a pipe, or /dev/stdout, for everybody
        raise ValueError(f"--out {out} is a folder, a pipe or a device: give the name of a file")
    target = out.resolve()
    if not target.parent.is_dir():
        raise ValueError(f"--out {out} is in no folder that there is: make {target.parent} first")
    if target.is_relative_to(store.resolve()):
        raise ValueError(f"--out {out} is in the store, whose files a table must not replace: give a place beside it")
    return target


def _write_csv(out: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(out) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
