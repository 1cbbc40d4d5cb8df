"""One process that prepares items, as the pool of `decoders` sees it, and what the process itself does."""

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from glam_serve.children import spawn_bound
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.cohort.items import Item, PreparedItem

Prepare = Callable[[Item], PreparedItem]
KILL_S = 5.0
"""A process that waits for a disk or a network that is gone cannot be killed; it is left to itself then."""
START_S = 120.0
"""Longest time that a process may take to start."""


LONGEST_TIMEOUT_S = 1e6
"""Of an item. What waits for a process takes no more than two thousand million milliseconds."""


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """How many processes there are, and what they may take."""

    workers: int = 1
    timeout_s: float = 120.0
    ahead: int = 16
    """Items that may be under way or wait for the model, all together: the bound of their memory."""
    most_items: int = 2000
    """Items after which a process is replaced: what a decoder leaks does not add up over a cohort."""
    most_growth_mb: float = 1000.0
    """Memory beyond that after its first item, above which a process is replaced before."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers {self.workers} is not above 0")
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise ValueError(f"timeout_s {self.timeout_s} is not above 0 and at most {LONGEST_TIMEOUT_S:.0f}")


class Task(NamedTuple):
    """An item on its way."""

    number: int
    """Its place among all items."""
    item: Item
    attempt: int = 1


class Ready(NamedTuple):
    """What a process sends first."""


class Raised(NamedTuple):
    """An exception of ours in a process: its type and where, without its message, which may quote a header."""

    type_name: str
    frames: str


class Stopped(NamedTuple):
    """What no item can be read without is gone."""

    error: SourceGoneError


@dataclass
class Decoder:
    """A process and what it does."""

    process: BaseProcess
    connection: Connection
    deadline: float
    """By `time.monotonic`; of what it does now."""
    ready: bool = False
    task: Task | None = None
    """What it prepares; while it starts, what it begins with."""
    items_done: int = 0
    first_bytes: int = 0
    """Its memory after the first item, when everything is imported."""
    grown_bytes: int = 0
    """Its memory beyond that."""

    def count_item(self) -> None:
        """Count an item that came back, and look at what the process holds after it."""
        self.items_done += 1
        held = _resident_bytes(self.process.pid)
        self.first_bytes = self.first_bytes or held
        self.grown_bytes = held - self.first_bytes

    def give(self, task: Task, *, timeout_s: float) -> None:
        """Send an item; OSError where the process is gone."""
        self.task = task
        self.deadline = time.monotonic() + timeout_s
        self.connection.send(task.item)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join(KILL_S)
        if self.process.exitcode is not None:
            self.process.close()
        self.connection.close()


def start_decoder(prepare: Prepare, *, task: Task | None = None) -> Decoder:
    """Start a process, bound to this one; `task` is what it will begin with."""
    ours, theirs = get_context("spawn").Pipe()
    with theirs:
        process = spawn_bound(partial(_run, theirs, prepare), name="decoder")
    return Decoder(process, ours, time.monotonic() + START_S, task=task)


def _resident_bytes(pid: int | None) -> int:
    """Return the memory of a process; 0 where /proc does not tell it."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]  # proc(5): size, resident, ...
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _run(connection: Connection, prepare: Prepare) -> None:
    """Prepare what comes, until nothing comes any more."""
    import cv2

    cv2.setNumThreads(1)  # the pool is as parallel as its caller wants
    connection.send(Ready())
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(prepare, item))


def _outcome(prepare: Prepare, item: Item) -> PreparedItem | Raised | Stopped:
    try:
        return prepare(item)
    except SourceGoneError as error:
        return Stopped(error)
    except Exception as error:  # whatever it is, the other items do not depend on it
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
        return Raised(type(error).__name__, "".join(frames))
