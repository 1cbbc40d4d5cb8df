"""Processes that read and prepare items, watched: one that dies or hangs costs its item, and nothing else.

Items go out one at a time to each process and come back in their order. A thread of this process does the watching, so
that decoding goes on while the model runs.
"""

import logging
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Literal

from glam.store.schema import Problem
from glam_serve.cohort.decoder import Decoder, DecoderOptions, Prepare, Raised, Ready, Stopped, Task, start_decoder
from glam_serve.cohort.items import Item, PreparedItem, lost_item

log = logging.getLogger(__name__)

Fault = Literal["worker_crashed", "timed_out", "internal_error"]
FAULT_SENTENCES: Mapping[Fault, str] = {
    "worker_crashed": "the process that read it died, twice: try the file with glam inspect",
    "timed_out": "it was not read within --timeout-s: try the file with glam inspect, or allow more time",
    "internal_error": "reading it ended in a fault of this program: please report the lines on stderr",
}
ATTEMPTS = 2
"""Processes that an item may cost: it may have been innocent of the first one's end."""
MAX_FAILED_STARTS = 3
"""In a row; then something is wrong with the installation, not with a file."""
POLL_S = 0.2
"""How often a caller that waits looks whether it was told to stop."""


STARVED_S = 0.02
"""How often a pool without items looks whether some have come."""


class InterruptedRun(Exception):
    """The run was told to stop."""


_END = object()
"""In place of an item: there are no more."""
Outcome = tuple[int, PreparedItem] | BaseException | None
"""The place of an item and what became of it; what ended the watching; None: there are no more items."""


def prepared_items(
    items: Iterable[Item | None], prepare: Prepare, options: DecoderOptions, stop: threading.Event
) -> Generator[PreparedItem]:
    """Yield what becomes of each item, in their order; the processes live as long as this generator.

    Of `items`, None says that there is none at the moment, and more may come.
    InterruptedRun soon after `stop` was set; SourceGoneError where what items come from is gone; RuntimeError where
    processes do not start at all.
    """
    outcomes = queue.SimpleQueue[Outcome]()
    room = threading.Semaphore(max(options.ahead, options.workers))
    listening, wake = get_context("spawn").Pipe(duplex=False)
    pool = _Pool(iter(items), prepare, options, room, outcomes, listening)
    watcher = threading.Thread(target=pool.run, name="decoders", daemon=True)
    watcher.start()
    try:
        done: dict[int, PreparedItem] = {}
        number = 0
        while (outcome := _next(outcomes, stop)) is not None:
            done[outcome[0]] = outcome[1]
            while number in done:
                yield done.pop(number)
                number += 1
                room.release()
                with suppress(OSError):  # of a watcher that has nothing left to do
                    wake.send_bytes(b"room")
    finally:
        pool.ending.set()
        wake.close()  # which wakes the watcher too
        watcher.join()


def _next(outcomes: "queue.SimpleQueue[Outcome]", stop: threading.Event) -> tuple[int, PreparedItem] | None:
    while True:
        if stop.is_set():
            raise InterruptedRun
        try:
            outcome = outcomes.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class _Pool:
    """The watching thread: what it starts, gives out, takes back and ends."""

    def __init__(
        self,
        items: Iterator[Item | None],
        prepare: Prepare,
        options: DecoderOptions,
        room: threading.Semaphore,
        outcomes: "queue.SimpleQueue[Outcome]",
        listening: Connection,
    ) -> None:
        self.ending = threading.Event()
        self._items = items
        self._numbers = count()
        self._prepare = prepare
        self._options = options
        self._room = room
        self._outcomes = outcomes
        self._listening = listening
        self._decoders: list[Decoder] = []
        self._exhausted = self._starved = False
        self._failed_starts = 0

    def run(self) -> None:
        """Watch until every item has its outcome, or until told to end."""
        try:
            self._decoders = [start_decoder(self._prepare) for _ in range(self._options.workers)]
            self._give_out()
            while not self.ending.is_set() and not self._is_done():
                self._listen()
                self._end_late_ones()
                self._give_out()  # which sees that there are no more: whoever listened then would hear nothing again
            self._outcomes.put(None)
        except BaseException as error:  # raised where the outcomes are awaited
            self._outcomes.put(error)
        finally:
            for decoder in self._decoders:
                decoder.kill()
            self._listening.close()

    def _is_done(self) -> bool:
        return self._exhausted and all(decoder.task is None for decoder in self._decoders)

    def _give_out(self) -> None:
        for decoder in [decoder for decoder in self._decoders if decoder.ready and decoder.task is None]:
            if self._exhausted or not self._room.acquire(blocking=False):
                return
            item = next(self._items, _END)
            self._exhausted, self._starved = item is _END, item is None
            if not isinstance(item, Item):
                self._room.release()
                return
            self._give(decoder, Task(next(self._numbers), item))

    def _give(self, decoder: Decoder, task: Task) -> None:
        try:
            decoder.give(task, timeout_s=self._options.timeout_s)
        except OSError:
            self._replace_dead(decoder)

    def _listen(self) -> None:
        """Wait for an answer, for the end of a process, for room or for a deadline."""
        busy = [decoder for decoder in self._decoders if decoder.task is not None or not decoder.ready]
        deadline = min((decoder.deadline for decoder in busy), default=None)
        timeout = None if deadline is None else max(deadline - time.monotonic(), 0)
        if self._starved:
            timeout = STARVED_S if timeout is None else min(timeout, STARVED_S)
        connections = {decoder.connection: decoder for decoder in self._decoders}
        for speaking in wait([self._listening, *connections], timeout):
            if speaking is self._listening:
                self._drain()
            else:
                self._take(connections[speaking])  # pyright: ignore[reportArgumentType]  # only connections were given

    def _drain(self) -> None:
        try:
            while self._listening.poll():
                self._listening.recv_bytes()
        except EOFError:
            self.ending.set()

    def _take(self, decoder: Decoder) -> None:
        try:
            answer = decoder.connection.recv()
        except (EOFError, OSError):
            self._replace_dead(decoder)
            return
        task, decoder.task = decoder.task, None
        if isinstance(answer, Ready):
            decoder.ready, self._failed_starts = True, 0
            if task is not None:
                self._give(decoder, task)
            return
        assert task is not None, "only a process that has an item answers"
        if isinstance(answer, Stopped):
            raise answer.error
        if isinstance(answer, Raised):
            log.error("internal_error: %s in\n%s", answer.type_name, answer.frames)
            self._lose(task, "internal_error")
        else:
            self._outcomes.put((task.number, answer))
        decoder.count_item()
        is_large = decoder.grown_bytes > self._options.most_growth_mb * 2**20
        if is_large or decoder.items_done >= self._options.most_items:
            self._replace(decoder, None)

    def _replace_dead(self, decoder: Decoder) -> None:
        """Start another process in place of one that died; its item is tried once more there, alone."""
        task = decoder.task
        if not decoder.ready:
            self._failed_starts += 1
            if self._failed_starts == MAX_FAILED_STARTS:
                raise RuntimeError(f"processes that read files do not start: {MAX_FAILED_STARTS} ended at once")
        elif task is not None and task.attempt == ATTEMPTS:
            self._lose(task, "worker_crashed")
            task = None
        elif task is not None:
            task = task._replace(attempt=task.attempt + 1)
        self._replace(decoder, task)

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        for decoder in list(self._decoders):
            if decoder.deadline > now or (decoder.ready and decoder.task is None):
                continue
            if not decoder.ready:
                self._replace_dead(decoder)
                continue
            assert decoder.task is not None, "it has something to be late with"
            self._lose(decoder.task, "timed_out")
            self._replace(decoder, None)

    def _replace(self, decoder: Decoder, task: Task | None) -> None:
        decoder.kill()
        self._decoders[self._decoders.index(decoder)] = start_decoder(self._prepare, task=task)

    def _lose(self, task: Task, code: Fault) -> None:
        """Give an item up: each of its images gets the same problem."""
        log.warning("%s: an item of %d images is given up", code, len(task.item.images))
        stage = "timeout" if code == "timed_out" else "crash"
        images = (image.image_id for image in task.item.images)
        problems = [Problem(image, stage, code, FAULT_SENTENCES[code]) for image in images]
        self._outcomes.put((task.number, lost_item(problems)))
