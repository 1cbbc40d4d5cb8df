"""The prepared cache: pairs of model squares at 16 bit, in shards, each with the record of where it came from.

A shard is two files, `shard-00007.npy` (pair, view, row, col; uint16; view 0 is CC, 1 is MLO) and
`shard-00007.jsonl` (a record a pair). The second is renamed into place last: a shard without it does not exist,
so a killed run leaves nothing half and the next one goes on where it stopped.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from glam.config import FrameConfig
from glam.files import json_object, replacing
from glam.prepare import ModelInput, prepare_sha
from glam_train.data.cohort import cohort_of
from glam_train.data.places import count_places
from glam_train.data.shard_files import filling, mapped_pixels, pixels_sha256, shard_records

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
    squares = [np.stack([to_uint16(pair.cc.pixels), to_uint16(pair.mlo.pixels)]) for pair in pairs]
    records = [_record(pair, square) for pair, square in zip(pairs, squares, strict=True)]
    pixels = np.stack(squares) if squares else np.empty((0, 2, 1, 1), np.uint16)
    try:
        with replacing(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(pixels))
            file.write(pixels.data)  # not by np.save, which says of a full disk how many items it could not write
        with replacing(stem.with_suffix(".jsonl")) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
    except OSError as error:
        whole = len(list(folder.glob("shard-*.jsonl")))
        raise CacheError(
            f"{stem.name} cannot be written into {folder} ({error.strerror}); {whole} shards are whole: make room and "
            "run the command again"
        ) from None


def _record(pair: PreparedPair, square: np.ndarray) -> dict[str, Any]:
    frames = {"cc": pair.cc.frame.as_json(), "mlo": pair.mlo.frame.as_json()}
    return pair.record | {"frames": frames, "pixels_sha256": pixels_sha256(square)}


def open_cache_folder(folder: Path, frame: FrameConfig, source: dict[str, Any], *, num_pairs: int) -> None:
    """Make the folder, or check that it was prepared the same way from the same source; otherwise CacheError.

    `source`: JSON types that say what the pairs are, for the provenance of what is trained on them. `num_pairs`: how
    many will be asked for; a cache does not grow.
    """
    settings = {"frame": asdict(frame), "prepare_sha": prepare_sha(frame), "source": source, "pairs": num_pairs}
    expected = json.loads(json.dumps(settings))
    header = folder / "cache.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not header.exists():
        with replacing(header) as temporary:
            temporary.write_text(json.dumps(expected, indent=1) + "\n")
        return
    about = read_header(folder)
    if differing := [name for name in expected if about[name] != expected[name]]:
        raise CacheError(
            f"{folder} was prepared another way or from other data (another {', '.join(differing)} in cache.json): "
            "give a new folder"
        )


def build_shard(folder: Path, index: int, keys: Sequence[Any], build: Callable[[Any], PreparedPair | None]) -> None:
    """Prepare the pairs of `keys` into shard `index`, unless it is there.

    `build` returns None for a pair that cannot be used; the pair is left out of its shard.
    """
    if (folder / f"shard-{index:05d}.jsonl").exists():
        return
    _write_shard(folder, index, [pair for pair in map(build, keys) if pair is not None])


def fill_cache(
    folder: Path, keys: Sequence[Any], build: Callable[[Any], PreparedPair | None], *, workers: int
) -> Iterator[int]:
    """Build all shards of `keys`, and yield the keys done so far.

    In this process where it is one worker's work; in others, for which `build` must be picklable, where it is more.
    """
    chunks = [keys[start : start + SHARD_PAIRS] for start in range(0, len(keys), SHARD_PAIRS)]
    if all((folder / f"shard-{index:05d}.jsonl").exists() for index in range(len(chunks))):
        yield len(keys)  # nothing to write: the folder may be read-only
        return
    arguments = (repeat(folder), range(len(chunks)), chunks, repeat(build))
    if min(workers, len(chunks)) < 2:  # another process would import everything once more
        with filling(folder):
            yield from _keys_done(chunks, map(build_shard, *arguments))
        return
    starting = (_end_with, (os.getpid(),))
    with filling(folder), ProcessPoolExecutor(workers, get_context("spawn"), *starting) as pool:
        yield from _keys_done(chunks, pool.map(build_shard, *arguments))


def _end_with(parent: int) -> None:
    """End this process when its parent does: one that is killed tells its workers nothing, and they wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _keys_done(chunks: Sequence[Sequence[Any]], shards: Iterator[None]) -> Iterator[int]:
    """Yield the number of keys done so far, whenever the shard of a chunk is written."""
    done = 0
    for chunk, _ in zip(chunks, shards, strict=True):
        done += len(chunk)
        yield done


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
        """CC and MLO of pair `index`: (2, row, col) uint16."""
        shard = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.shards[shard][index - self.offsets[shard]]


def read_header(folder: Path) -> dict[str, Any]:
    """Return the content of cache.json; CacheError for a file that is not one."""
    path = folder / "cache.json"
    try:
        about = json_object(path.read_bytes())
    except ValueError as error:
        raise CacheError(f"{path} does not read ({error}): prepare the cache again in a new folder") from error
    if missing := [name for name in ("frame", "prepare_sha", "source", "pairs") if name not in about]:
        raise CacheError(f"{path} has no {', '.join(missing)}: prepare the cache again in a new folder")
    if type(about["pairs"]) is not int:
        raise CacheError(f"{path} has pairs {about['pairs']!r}, no number: prepare the cache again in a new folder")
    return about


def read_shard(mark: Path) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the pixels, mapped from disk, and the records of a shard; CacheError for damaged files."""
    try:
        pixels, records = mapped_pixels(mark.with_suffix(".npy")), shard_records(mark)
    except ValueError as error:
        stem = mark.with_suffix("")
        raise CacheError(f"{stem}.npy or .jsonl is damaged ({error}): delete both and prepare again") from None
    if len(pixels) != len(records):
        raise CacheError(f"{mark.name} lists {len(records)} pairs but its pixels are {len(pixels)}: delete the shard")
    return pixels, records


def read_cache(folder: Path) -> PairCache:
    """Open a finished cache. CacheError if it is not whole, or was prepared by another version of the program."""
    if not (folder / "cache.json").exists():
        raise CacheError(f"no prepared cache at {folder}: make one with glam-train prepare")
    about = read_header(folder)
    other_version = f"the cache at {folder} was prepared by another version of this program: prepare it again"
    try:
        frame = FrameConfig(**about["frame"])
    except TypeError:
        raise CacheError(other_version) from None
    if about["prepare_sha"] != prepare_sha(frame):
        raise CacheError(other_version)
    marks = sorted(folder.glob("shard-*.jsonl"))
    expected = math.ceil(about["pairs"] / SHARD_PAIRS)
    if len(marks) != expected:
        raise CacheError(f"the cache at {folder} has {len(marks)} of {expected} shards: run its command again")
    shards, records = zip(*map(read_shard, marks), strict=True) if marks else ((), ())
    if not any(records):
        raise CacheError(
            f"the cache at {folder} holds no pair: none of its files could be used; mend them and prepare a new folder"
        )
    offsets = np.cumsum([0] + [len(shard) for shard in shards[:-1]])
    return PairCache(frame, about["source"], [record for lines in records for record in lines], list(shards), offsets)


def verify_pixels(cache: PairCache) -> Iterator[int]:
    """Hold the pixels of all pairs to the hashes in their records; yield the pairs done so far.

    CacheError with the shard's name where they differ: zeroed, or swapped, or of another cache.
    """
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        for index, digest in enumerate(pool.map(pixels_sha256, map(cache.squares, range(len(cache))))):
            if digest != cache.records[index].get("pixels_sha256"):
                pool.shutdown(cancel_futures=True)
                shard = int(np.searchsorted(cache.offsets, index, side="right")) - 1
                name = Path(getattr(cache.shards[shard], "filename", None) or f"shard-{shard:05d}.npy").with_suffix("")
                raise CacheError(
                    f"{name}.npy is damaged: the pixels of {cache.records[index]['pair_id']} are not those that were "
                    f"prepared: delete {name.name}.npy and .jsonl and run the command of the cache again"
                )
            yield index + 1


def describe_cache(cache: PairCache) -> dict[str, Any]:
    """Return the source, the number of pairs and places, and a hash of all records in order, as JSON types.

    Of a manifest, its cohort in counts too. A record holds the hash of its pixels, so that two caches with the same
    description train the same model.
    """
    digest = hashlib.sha256()
    for record in cache.records:
        digest.update(json.dumps(record, sort_keys=True).encode())
    about = {"pairs": len(cache), "records_sha256": digest.hexdigest(), "source": cache.source}
    cohort = {"cohort": cohort_of(cache.records)} if cache.source.get("kind") == "manifest" else {}
    return about | {"places": count_places(cache.records)} | cohort
