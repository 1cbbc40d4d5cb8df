"""A prepared cache examined whole: every shard and record that training could not use, not the first of them alone."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glam_train.data.cache import SHARD_PAIRS, CacheError, read_header
from glam_train.data.shard_files import mapped_pixels, pixels_sha256, shard_records


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something wrong with a shard, or with one of its records."""

    shard: str
    """Its name, such as shard-00007."""
    record: str | None
    """The pair_id, or the place in the shard where there is none. None: the shard as a whole."""
    fault: str


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A shard that was looked at."""

    pairs: int
    faults: tuple[Fault, ...]


def examine(folder: Path) -> Iterator[Examined]:
    """Yield what is found of each shard that the cache should have, in order; CacheError where cache.json is none."""
    names = shard_names(folder)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        yield from pool.map(lambda name: _examined(folder, name), names)


def shard_names(folder: Path) -> list[str]:
    """Return the shards that a cache should have, and those that it has beyond."""
    if not (folder / "cache.json").exists():
        raise CacheError(f"no prepared cache at {folder}: make one with glam-train prepare")
    expected = math.ceil(read_header(folder)["pairs"] / SHARD_PAIRS)
    there = {mark.stem for mark in folder.glob("shard-*.jsonl")}
    return sorted(there | {f"shard-{index:05d}" for index in range(expected)})


def _examined(folder: Path, name: str) -> Examined:
    mark = folder / f"{name}.jsonl"
    if not mark.exists():
        return _whole(name, "is not there: the cache is not whole")
    try:
        pixels, records = mapped_pixels(mark.with_suffix(".npy")), shard_records(mark)
    except ValueError as error:
        return _whole(name, str(error))
    if len(pixels) != len(records):
        return _whole(name, f"lists {len(records)} pairs but its pixels are {len(pixels)}")
    faults = [_fault(pixels[index], record) for index, record in enumerate(records)]
    told = [
        Fault(shard=name, record=str(record.get("pair_id", index)), fault=fault)
        for index, (record, fault) in enumerate(zip(records, faults, strict=True))
        if fault is not None
    ]
    return Examined(pairs=len(records), faults=tuple(told))


def _fault(square: np.ndarray, record: dict) -> str | None:
    if missing := [name for name in ("pair_id", "facts", "frames", "pixels_sha256") if name not in record]:
        return f"has no {', '.join(missing)} in its record"
    if pixels_sha256(square) != record["pixels_sha256"]:
        return "its pixels are not those that were prepared"
    return None


def _whole(name: str, fault: str) -> Examined:
    return Examined(pairs=0, faults=(Fault(shard=name, record=None, fault=fault),))
