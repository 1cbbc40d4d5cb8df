"""The prepared cache: pairs of model squares at 16 bit, in shards, each with the record of where it came from.

A shard is two files, `shard-00007.npy` (pair, view, side, side; uint16; view 0 is CC, 1 is MLO) and
`shard-00007.jsonl` (a record a pair). The second is renamed into place last: a shard without it does not exist,
so a killed run leaves nothing half and the next one goes on where it stopped.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glam.config import FrameConfig
from glam.prepare import ModelInput, prepare_sha

SHARD_PAIRS = 64


class CacheError(ValueError):
    """A prepared cache that cannot be used as asked."""


@dataclass(frozen=True, kw_only=True)
class PreparedPair:
    """The CC and MLO view of one breast, prepared, with its record (JSON types)."""

    cc: ModelInput
    mlo: ModelInput
    record: dict[str, Any]


def to_uint16(pixels: np.ndarray) -> np.ndarray:
    """Grey values in [0, 1] as 0 .. 65535."""
    return np.round(np.clip(pixels, 0, 1) * 65535).astype(np.uint16)


def _write_shard(folder: Path, index: int, pairs: Sequence[PreparedPair]) -> None:
    stem = folder / f"shard-{index:05d}"
    squares = np.stack([np.stack([to_uint16(pair.cc.pixels), to_uint16(pair.mlo.pixels)]) for pair in pairs])
    records = [
        pair.record | {"frames": {"cc": pair.cc.frame.as_json(), "mlo": pair.mlo.frame.as_json()}} for pair in pairs
    ]
    with _replacing(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, squares)
    with _replacing(stem.with_suffix(".jsonl")) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


class _replacing:
    """Give a temporary path beside the target; rename it over the target if the block succeeds."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.temporary.unlink(missing_ok=True)
            return
        with self.temporary.open("rb") as file:
            os.fsync(file.fileno())
        self.temporary.replace(self.target)


def open_cache_folder(folder: Path, frame: FrameConfig, source: dict[str, Any]) -> None:
    """Make the folder, or check that it was prepared the same way from the same source; otherwise CacheError.

    `source`: JSON types that say what the pairs are, for the provenance of what is trained on them.
    """
    expected = json.loads(json.dumps({"frame": asdict(frame), "prepare_sha": prepare_sha(frame), "source": source}))
    header = folder / "cache.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not header.exists():
        with _replacing(header) as temporary:
            temporary.write_text(json.dumps(expected, indent=1) + "\n")
        return
    if json.loads(header.read_text()) != expected:
        raise CacheError(
            f"{folder} was prepared another way or from other data (see its cache.json): give a new folder"
        )


def build_shard(folder: Path, index: int, keys: Sequence[Any], build: Callable[[Any], PreparedPair | None]) -> None:
    """Prepare the pairs of `keys` into shard `index`, unless it is there.

    `build` returns None for a pair that cannot be used; the pair is left out of its shard.
    """
    if (folder / f"shard-{index:05d}.jsonl").exists():
        return
    pairs = [pair for pair in map(build, keys) if pair is not None]
    if pairs:
        _write_shard(folder, index, pairs)


@dataclass(frozen=True)
class PairCache:
    """A prepared cache, read: `squares(i)` maps the pixels from disk, `records[i]` says what they are."""

    frame: FrameConfig
    source: dict[str, Any]
    records: list[dict[str, Any]]
    shards: list[np.ndarray]
    offsets: np.ndarray

    def __len__(self) -> int:
        """Pairs in the cache."""
        return len(self.records)

    def squares(self, index: int) -> np.ndarray:
        """CC and MLO of pair `index`: (2, side, side) uint16."""
        shard = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.shards[shard][index - self.offsets[shard]]


def read_cache(folder: Path, *, max_shards: int | None = None) -> PairCache:
    """Open the first `max_shards` (None: all) shards of a cache. CacheError if there are none or one is torn."""
    header = folder / "cache.json"
    if not header.exists():
        raise CacheError(f"no prepared cache at {folder}: make one with glam-train prepare")
    marks = sorted(folder.glob("shard-*.jsonl"))[:max_shards]
    if not marks:
        raise CacheError(f"the cache at {folder} has no finished shard")
    shards = [np.load(mark.with_suffix(".npy"), mmap_mode="r") for mark in marks]
    records = [[json.loads(line) for line in mark.read_text().splitlines()] for mark in marks]
    for mark, shard, lines in zip(marks, shards, records, strict=True):
        if len(shard) != len(lines):
            raise CacheError(f"{mark.name} lists {len(lines)} pairs but its pixels are {len(shard)}: delete the shard")
    offsets = np.cumsum([0] + [len(shard) for shard in shards[:-1]])
    about = json.loads(header.read_text())
    return PairCache(
        FrameConfig(**about["frame"]),
        about["source"],
        [record for lines in records for record in lines],
        shards,
        offsets,
    )
