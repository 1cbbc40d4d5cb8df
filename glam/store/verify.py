"""Whether a store is what it says: footers, hashes, keys, lengths of vectors, and a fate for every image."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from glam.store.planned import read_plan, shard_marks, shard_spans
from glam.store.read import content_sha256, footer, read_success, read_table, stray_files, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.schema import KEYS, MANIFEST_FILE, Key, Level, StoreError, errors_name, part_name

TOLERANCES = {"float32": 1e-4, "float16": 2e-3}
"""How far the length of an embedding may be from 1."""


class Verdict(NamedTuple):
    """What a check of a store found."""

    problems: tuple[str, ...]
    shards: int
    done: int
    rows: int


def verify_store(store: Path) -> Verdict:
    """Check every file of a store against the others; StoreError where there is none to check."""
    run, plan = read_run(store), read_plan(store)
    if plan is None:
        parts = stray_files(store, 0)
        return Verdict((f"{MANIFEST_FILE}: it is gone, and {len(parts)} parts are there",) if parts else (), 0, 0, 0)
    marks = shard_marks(plan, run.config.key)
    problems = [f"{path.name}: no shard of the plan" for path in stray_files(store, len(marks))]
    keys, done = Counter[Key](), 0
    for mark, (start, stop) in zip(marks, shard_spans(plan), strict=True):
        if not (store / part_name(mark.shard)).exists():
            continue
        done += 1
        try:
            part = read_table(store / part_name(mark.shard))
            errors = _errors(store, mark.shard)
            there = footer(store / part_name(mark.shard))
        except StoreError as error:
            problems.append(f"{part_name(mark.shard)}: {error}")
            continue
        images = plan.column("image_id").slice(start, stop - start).to_pylist()
        expected = {"rows": part.num_rows, "problems": len(errors), "may_share": run.facts.may_share}
        wrong = _footer_problems(there, mark._asdict() | expected)
        found = (*wrong, *_row_problems(run, part), *_fates(images, part, errors))
        problems += [f"{part_name(mark.shard)}: {problem}" for problem in found]
        keys.update(_keys(part, run.config.level))
    problems += [f"the key {', '.join(key)} is there {count} times" for key, count in keys.items() if count > 1]
    problems += _success_problems(store, run, complete=done == len(marks), rows=keys.total(), sound=not problems)
    return Verdict(tuple(problems), len(marks), done, keys.total())


def _errors(store: Path, shard: int) -> list[str]:
    """Return the ids of the images of a shard that could not be used."""
    path = store / errors_name(shard)
    if not path.exists():
        return []
    return read_table(path, ["image_id"]).column("image_id").to_pylist()


def _footer_problems(there: Mapping[str, object], expected: Mapping[str, object]) -> Iterator[str]:
    for name, value in expected.items():
        if there.get(name) != value:
            yield f"its footer says {name} {there.get(name)}, which should be {value}"


def _row_problems(run: RunRecord, part: pa.Table) -> Iterator[str]:
    yield from (f"{name} has empty cells" for name in part.column_names if part.column(name).null_count)
    numbers = vectors(part).astype(np.float64)
    if numbers.shape[1] != run.facts.dim:
        yield f"its embeddings have {numbers.shape[1]} numbers, not {run.facts.dim}"
    lengths = np.linalg.norm(numbers, axis=1)
    wrong = np.count_nonzero(~(np.abs(lengths - 1) <= TOLERANCES[run.config.dtype]))  # NaN is wrong too
    if wrong:
        yield f"{wrong} embeddings do not have length 1"


def _fates(images: list[str], part: pa.Table, errors: list[str]) -> Iterator[str]:
    """Yield how the images of a shard are not accounted for, each exactly once."""
    used = [image for row in part.column("images").to_pylist() for image in row]
    left_out = [entry["image_id"] for row in part.column("left_out").to_pylist() for entry in row]
    fates = Counter([*used, *left_out, *errors])
    if missing := [image for image in images if not fates[image]]:
        yield f"{len(missing)} of its images are neither used, left out nor among the errors, as {missing[0]}"
    if twice := [image for image, count in fates.items() if count > 1]:
        yield f"{len(twice)} of its images are accounted for twice, as {twice[0]}"
    if strange := fates.keys() - set(images):
        yield f"{len(strange)} images are not of this shard, as {min(strange)}"


def _keys(part: pa.Table, level: Level) -> Iterator[Key]:
    return zip(*(part.column(name).to_pylist() for name in KEYS[level]), strict=True)


def _success_problems(store: Path, run: RunRecord, *, complete: bool, rows: int, sound: bool) -> Iterator[str]:
    success = read_success(store)
    if success is None:
        return
    if not complete:
        yield "_SUCCESS: it is there though shards are missing: run the same command again"
    elif success["rows"] != rows:
        yield f"_SUCCESS: it counts {success['rows']} rows, and there are {rows}"
    elif sound and success["content_sha256"] != content_sha256(store, run.config.level):
        yield "_SUCCESS: the keys and embeddings do not have its hash"
