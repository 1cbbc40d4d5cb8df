"""Requests and answers between API processes and workers, held by a process of their own so that none is lost.

LitServe's own queues forget: what waits in `get` for a process that died takes the next item with it. Here a taker
names its incarnation, and one that was replaced gets nothing; what a dead worker had taken and not begun is given out
again.
"""

import asyncio
import json
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty
from typing import Any

from litserve.transport.base import MessageTransport

from glam_serve.errors import FAULTS, error_body
from glam_serve.store import MAX_RESULT_BYTES, MAX_RESULTS, RESULT_KEPT_S, Job, JobRefusal, Jobs, Store
from glam_serve.turns import FairQueue
from glam_serve.vitals import Vitals

POLL_S = 1.0
"""Longest time that a call to the hub waits; then it is made again."""
JOB_LOST = json.dumps(error_body("job_lost", FAULTS["job_lost"].sentence)).encode()
"""The error of a job whose API process ended."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A request on its way: who asked, and a body that only the worker unpacks."""

    api: int
    uid: str
    place: int
    ticket: int
    caller: int
    """Number of whoever waits for it in the end."""
    body: bytes


class Hub:
    """The queues; lives in the manager process and is called through proxies, from a thread a caller."""

    def __init__(self, num_apis: int, num_workers: int) -> None:
        self._changed = threading.Condition()
        self._requests: FairQueue[Envelope] = FairQueue()
        self._taken: list[list[Envelope]] = [[] for _ in range(num_workers)]
        self._answers: list[deque[bytes]] = [deque() for _ in range(num_apis)]
        self._worker_starts = [0] * num_workers
        self._api_starts = [0] * num_apis
        self._results = Store(max_items=MAX_RESULTS, max_bytes=MAX_RESULT_BYTES, kept_s=RESULT_KEPT_S)
        self._jobs = Jobs()

    def put(self, envelope: Envelope) -> None:
        """Queue a request: callers take turns."""
        with self._changed:
            self._requests.put(envelope.caller, envelope)
            self._changed.notify_all()

    def take(self, worker: int, start: int, timeout_s: float) -> Envelope | None:
        """Return the next request for the worker's `start`-th incarnation; None: none came in time."""
        with self._changed:
            self._wait(lambda: len(self._requests) > 0 or start != self._worker_starts[worker], timeout_s)
            if start != self._worker_starts[worker] or not len(self._requests):
                return None
            envelope = self._requests.take()
            self._taken[worker].append(envelope)
            return envelope

    def answer(self, worker: int, api: int, uid: str, answer: bytes) -> None:
        """Queue an answer; the request it belongs to is done."""
        with self._changed:
            self._taken[worker] = [envelope for envelope in self._taken[worker] if envelope.uid != uid]
            self._answers[api].append(answer)
            self._changed.notify_all()

    def collect(self, api: int, start: int, timeout_s: float) -> bytes | None:
        """Return the next answer for the API process's `start`-th incarnation; None: none came in time."""
        with self._changed:
            self._wait(lambda: bool(self._answers[api]) or start != self._api_starts[api], timeout_s)
            if start != self._api_starts[api] or not self._answers[api]:
                return None
            return self._answers[api].popleft()

    def worker_started(self, worker: int, begun: frozenset[str]) -> int:
        """Begin a worker's next incarnation and return its number; what the last one had not begun is queued first.

        `begun`: uids of requests that the dead worker had begun; they are given up.
        """
        with self._changed:
            for envelope in reversed(self._taken[worker]):
                if envelope.uid not in begun:
                    self._requests.put_back(envelope.caller, envelope)
            self._taken[worker] = []
            self._worker_starts[worker] += 1
            self._changed.notify_all()
            return self._worker_starts[worker]

    def api_started(self, api: int) -> int:
        """Begin an API process's next incarnation and return its number; what the last one waited for is dropped."""
        self._jobs.fail_all_of(api, JOB_LOST)
        with self._changed:
            self._answers[api].clear()
            self._requests.keep(lambda envelope: envelope.api != api)
            self._api_starts[api] += 1
            self._changed.notify_all()
            return self._api_starts[api]

    def taken(self, worker: int) -> tuple[tuple[str, int, int], ...]:
        """Return uid, place and ticket of what a worker has taken and not answered."""
        with self._changed:
            return tuple((envelope.uid, envelope.place, envelope.ticket) for envelope in self._taken[worker])

    def num_waiting(self) -> int:
        """Return how many requests wait for a worker."""
        return len(self._requests)

    # What is kept for a while, whichever API process asks for it

    def keep_result(self, key: str, vectors: bytes) -> None:
        """Keep the vectors of an answer for RESULT_KEPT_S."""
        self._results.put(key, vectors, size=len(vectors))

    def result(self, key: str) -> bytes | None:
        """Return the vectors of an answer; None: there are none, or none any more."""
        return self._results.get(key)

    def submit_job(self, key: str, job: Job, max_of_caller: int) -> JobRefusal | None:
        """Take a job, or say why not."""
        return self._jobs.submit(key, job, max_of_caller)

    def advance_job(self, key: str, job: Job) -> bool:
        """Note a job's next state; False where it was forgotten meanwhile."""
        return self._jobs.advance(key, job)

    def job(self, key: str) -> Job | None:
        """Return a job; None: there is none, or none any more."""
        return self._jobs.get(key)

    def forget_job(self, key: str) -> bool:
        """Drop a job and its answer; False where there was none."""
        return self._jobs.forget(key)

    def let_go_of_job(self, key: str) -> None:
        """Note that the API process which had a job no longer holds its form."""
        self._jobs.let_go(key)

    def _wait(self, is_due: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_due() and (left_s := deadline - time.monotonic()) > 0:
            self._changed.wait(left_s)


@contextmanager
def _exit_without_hub() -> Iterator[None]:
    """End this worker quietly when the hub has ended: the supervisor starts both anew."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


class WorkerQueue:
    """The hub's requests as LitServe's loops read a queue; it crosses to the worker at its start."""

    def __init__(self, hub: Hub, vitals: Vitals, *, worker: int, start: int) -> None:
        self.hub = hub
        self.vitals = vitals
        self.worker = worker
        self.start = start

    def get(self, block: bool = True, timeout: float | None = None) -> tuple[int, str, float, Any]:
        """Return the next request that somebody still waits for, as LitServe's tuple; queue.Empty for none."""
        deadline = time.monotonic() + (POLL_S if timeout is None else timeout)
        while True:
            left_s = max(0.0, deadline - time.monotonic()) if block else 0.0
            with _exit_without_hub():
                envelope = self.hub.take(self.worker, self.start, left_s)
            if envelope is None:
                raise Empty
            self.vitals.begun[envelope.place] = envelope.ticket
            if self.vitals.is_wanted(envelope.place, envelope.ticket):
                return envelope.api, envelope.uid, time.monotonic(), pickle.loads(envelope.body)
            with _exit_without_hub():
                self.hub.answer(self.worker, envelope.api, envelope.uid, b"")

    def get_nowait(self) -> tuple[int, str, float, Any]:
        """`get` that does not wait."""
        return self.get(block=False)


class HubTransport(MessageTransport):
    """The hub's answers as LitServe sends and receives them."""

    def __init__(self, hub: Hub, worker: int | None = None) -> None:
        self.hub = hub
        self.worker = worker
        self.start = 0
        """Incarnation of the API process that receives."""

    def send(self, item: Any, consumer_id: int) -> None:
        """Send an answer from a worker."""
        assert self.worker is not None
        answer = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        with _exit_without_hub():
            self.hub.answer(self.worker, consumer_id, item[0], answer)

    async def areceive(  # pyright: ignore[reportIncompatibleMethodOverride]  # LitServe's own have this order
        self, consumer_id: int, timeout: float | None = None, block: bool = True
    ) -> Any:
        """Return the next answer, or None."""
        answer = await asyncio.to_thread(self.hub.collect, consumer_id, self.start, POLL_S)
        return pickle.loads(answer) if answer else None

    def close(self, **kwargs: Any) -> None:
        """Nothing to do: the hub ends with its manager."""
