"""How far a run has come, on stderr: a line a shard, or one line that a terminal rewrites."""

import threading
import time
from typing import TextIO

from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.runner import Committed

FILES_TOLD_S = {True: 0.2, False: 10.0}
"""Time between two lines about the files of a folder: on a terminal, and elsewhere."""


class Progress:
    """Counts of a run, its rate and the time left."""

    def __init__(self, stream: TextIO, *, shards: int, items: int) -> None:
        """`shards` and `items`: those that this run has to do."""
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._start = time.monotonic()
        self._shards, self._items = shards, items
        self.shards_done = 0
        self._items_done = 0
        self._problems = 0

    def tell(self, committed: Committed) -> None:
        """Count a shard and say how far the run has come."""
        self.shards_done += 1
        self._items_done += committed.items
        self._problems += committed.problems
        rate = self._items_done / max(time.monotonic() - self._start, 1e-6)
        left = duration((self._items - self._items_done) / rate)
        line = f"shard {self.shards_done} of {self._shards}, item {self._items_done} of {self._items}"
        line = f"{line}: {rate:.1f} items/s, {left} left, {self._problems} images could not be used"
        self._stream.write(f"\r{line}\x1b[K" if self._on_terminal else f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line of a terminal."""
        if self._on_terminal and self.shards_done:
            self._stream.write("\n")


class Headers:
    """How many files of a folder were looked at. A folder of a million files takes a quarter of an hour."""

    def __init__(self, stream: TextIO, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop
        self._on_terminal = stream.isatty()
        self._told = time.monotonic()
        self._begun = False

    def tell(self, done: int, files: int) -> None:
        """Say so, from time to time; InterruptedRun where the run was told to stop."""
        if self._stop.is_set():
            raise InterruptedRun
        if time.monotonic() - self._told >= FILES_TOLD_S[self._on_terminal]:
            self._told, self._begun = time.monotonic(), True
            line = f"headers of {done} of {files} files are read"
            self._stream.write(f"\r{line}\x1b[K" if self._on_terminal else f"{line}\n")
            self._stream.flush()

    def end(self) -> None:
        """Leave the line of a terminal."""
        if self._on_terminal and self._begun:
            self._stream.write("\n")


def duration(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
