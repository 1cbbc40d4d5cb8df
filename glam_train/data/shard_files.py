"""The two files of a shard of the prepared cache, read; what is wrong with one is said in words. Who may write them."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glam.lock import held_alone


def mapped_pixels(path: Path) -> np.ndarray:
    """Return the pixels of a shard, (pair, view, rows, cols) uint16, mapped from disk.

    ValueError for a file that is not there, is none of the cache, or has another length than its header says.
    """
    if not path.is_file():
        raise ValueError("its pixels are not there")
    expected, found = _expected_bytes(path), path.stat().st_size
    if found != expected:
        raise ValueError(f"its pixels have {found} bytes of {expected}")
    return np.load(path, mmap_mode="r")


def shard_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a shard, one a line; ValueError with the line that is none."""
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:  # UnicodeDecodeError too
            record = None
        if not isinstance(record, dict):
            raise ValueError(f"line {number} of its records does not read")
        records.append(record)
    return records


def pixels_sha256(square: np.ndarray) -> str:
    """Return the hash of a pair's pixels that its record holds."""
    return hashlib.sha256(np.ascontiguousarray(square).data).hexdigest()


def _expected_bytes(path: Path) -> int:
    """Return the length that the header of a file of numpy's says."""
    with path.open("rb") as file:
        try:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except (ValueError, EOFError):
            raise ValueError(f"its pixels, of {path.stat().st_size} bytes, have no header that reads") from None
        if dtype != np.uint16 or len(shape) != 4 or shape[1] != 2:
            raise ValueError(f"its pixels are {dtype} of {shape}, not two views a pair in 16 bit")
        return file.tell() + math.prod(shape) * dtype.itemsize


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Keep a second command from filling a cache; ValueError if there is one. What a killed one left is removed."""
    in_use = ValueError(f"another command fills the cache at {folder}: wait for its end")
    with held_alone(folder / ".lock", in_use=in_use):
        for left in folder.glob(".shard-*.part"):
            left.unlink(missing_ok=True)
        yield
