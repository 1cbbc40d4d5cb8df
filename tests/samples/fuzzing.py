"""Reading and preparing damaged files in processes that may die or hang: how each file ended."""

import multiprocessing
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from glam.config import FrameConfig
from glam.findings import InputError
from glam.prepare import prepare
from glam.reading.image_file import picture_format
from glam.reading.read import read_view
from tests.samples.mutations import damaged
from tests.samples.own_memory import peak_bytes

LIMIT_S = 10.0
LIMIT_BYTES = 2 * 1024**3


class Outcome(NamedTuple):
    """How a file ended."""

    index: int
    code: str
    """"view", the code of an InputError, or what should not happen, with a blank in it."""
    took_s: float
    peak_mb: float
    """Of the process, up to now."""


class Worker:
    """A process that reads one file at a time; it is replaced when a file was too much for it."""

    def __init__(self, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, seed), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()  # it has imported what it needs
        self.index: int | None = None
        self.since = 0.0

    def take(self, index: int) -> None:
        """Begin with a file."""
        self.index, self.since = index, time.monotonic()
        self.connection.send(index)

    def outcome(self) -> Outcome | None:
        """What became of the file; None: it is still being read."""
        assert self.index is not None
        took_s = time.monotonic() - self.since
        try:
            if self.connection.poll():
                return self.connection.recv()
        except EOFError:
            self.process.join()
            return Outcome(self.index, f"the process died: {_death(self.process.exitcode)}", took_s, 0)
        return Outcome(self.index, "longer than the limit", took_s, 0) if took_s > LIMIT_S else None

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def outcomes(num_files: int, *, seed: int, num_workers: int = 2) -> Iterator[Outcome]:
    """Yield how each file of the seed ended, as they do."""
    indices = iter(range(num_files))
    workers = [Worker(seed) for _ in range(num_workers)]
    busy = [worker for worker in workers if _give(worker, indices)]
    while busy:
        wait([worker.connection for worker in busy], timeout=0.5)
        for worker in list(busy):
            found = worker.outcome()
            if found is None:
                continue
            yield found
            busy.remove(worker)
            if " " in found.code:
                worker.stop()
                worker = Worker(seed)
                workers.append(worker)
            if _give(worker, indices):
                busy.append(worker)
    for worker in workers:
        worker.stop()


def _give(worker: Worker, indices: Iterator[int]) -> bool:
    index = next(indices, None)
    if index is not None:
        worker.take(index)
    return index is not None


def read_and_prepare(data: bytes) -> str:
    """Return "view" or the code of the InputError; a picture, which says nothing, is told its view and side."""
    try:
        given = {"view": "CC", "laterality": "L"} if picture_format(data) else {}
        prepare(read_view(data, FrameConfig(), **given), FrameConfig(size=126))
    except InputError as error:
        return error.code
    return "view"


def _serve(connection: Connection, seed: int) -> None:
    """Answer each index with its Outcome, until killed."""
    import cv2

    cv2.setNumThreads(1)
    read_and_prepare(damaged(seed, 0))  # what is imported on the way
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    warnings.simplefilter("error")
    connection.send(None)
    while True:
        index = connection.recv()
        data, start = damaged(seed, index), time.monotonic()
        try:
            code = read_and_prepare(data)
        except (Exception, RecursionError) as error:  # what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            code = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {str(error)[:120]}"
            code = code if " " in code else f"{code} "
        peak_mb = peak_bytes() / 1e6
        connection.send(Outcome(index, code, time.monotonic() - start, peak_mb))


def _death(exitcode: int | None) -> str:
    return signal.Signals(-exitcode).name if exitcode and exitcode < 0 else f"exit {exitcode}"
