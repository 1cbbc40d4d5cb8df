"""An append-only log of what answered which request, each line chained to the one before by its hash.

A line that is changed, moved or taken out breaks the chain, and `verify` names the first such line. Whoever can write
the file can also write all of it anew: keep the last hash, which `verify` returns, in another place.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

FIRST = "0" * 64
"""What the first line gives as the hash of the one before."""
_LONGEST_LINE = 4096


class Chain(NamedTuple):
    """What a log holds, when every line follows from the one before."""

    num_lines: int
    last_hash: str


class AuditLog:
    """Appends lines; safe from several processes and threads at once."""

    def __init__(self, path: Path) -> None:
        """Open the log, or make it, readable by its owner alone; ValueError where that fails or its end is no line."""
        self.path = path
        try:
            with self._locked(os.O_CREAT) as file:
                self._last_hash(file)
        except OSError as error:
            way_out = "make its folder writable, or name another file"
            raise ValueError(f"the audit log {path} cannot be opened ({error.strerror}): {way_out}") from None

    def append(self, *, request_id: str, bundle: str, route: str, status: int) -> None:
        """Write what answered a request, to the disk, before this returns.

        OSError where it cannot be written, or the file is gone; ValueError where its end is no whole line.
        """
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "bundle": bundle,
            "route": route,
            "status": status,
        }
        with self._locked() as file:
            entry["previous"] = self._last_hash(file)
            _write(file, (json.dumps(entry | {"hash": _hash(entry)}) + "\n").encode())

    @contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        """Open the file, which is this block's alone.

        It is opened each time: a lock belongs to an opening (flock(2)), and threads and forked processes share one.
        """
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _last_hash(self, file: int) -> str:
        size = os.fstat(file).st_size
        if not size:
            return FIRST
        tail = os.pread(file, _LONGEST_LINE, max(0, size - _LONGEST_LINE))
        if not tail.endswith(b"\n"):
            raise ValueError(f"{self.path} ends in half a line: keep it, and start another --audit file")
        return str(_entry(tail.splitlines()[-1], f"the last line of {self.path}")["hash"])


def _write(file: int, line: bytes) -> None:
    """Write a whole line to the disk, or nothing: OSError."""
    size = os.fstat(file).st_size
    written = 0
    try:
        written = os.write(file, line)
        os.fdatasync(file)
    finally:
        if written < len(line):  # the disk is full
            os.ftruncate(file, size)
    if written < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def verify(path: Path) -> Chain:
    """Read a log from its beginning; ValueError with the first line that does not follow from the one before."""
    previous, number = FIRST, 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            entry = _entry(line, f"line {number} of {path}")
            claimed = entry.pop("hash")
            if entry.get("previous") != previous or _hash(entry) != claimed:
                raise ValueError(f"line {number} of {path} was changed, or lines before it were")
            previous = str(claimed)
    return Chain(number, previous)


def _entry(line: bytes, what: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "hash" not in entry:
        raise ValueError(f"{what} is no line of an audit log")
    return entry


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
