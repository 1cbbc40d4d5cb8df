"""When workers that were lost are started again: soon, and later each time that one ended before it was ready."""

import time
from collections.abc import Callable
from dataclasses import dataclass

RESTART_PAUSE_S = 1.0
"""Least time between two starts of the same worker, so that one that dies at once does not fill the machine."""
LONGEST_PAUSE_S = 60.0
"""Longest pause before a worker that ended before it was ready is started again; each time it is doubled."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """The next incarnation of a worker, and when it is started."""

    start: int
    due: float


class Restarts:
    """The workers of a server that were lost and are not yet started again."""

    def __init__(self, num_workers: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_failures = [0] * num_workers
        """How often each worker in turn has ended before it was ready."""
        self._planned: dict[int, Restart] = {}

    def plan(self, index: int, *, start: int, started: float, was_ready: bool) -> float:
        """Note a worker's `start`-th incarnation; return the seconds until it is started.

        `started`: time of the last one's start; `was_ready`: whether that one had loaded the model.
        """
        now = self._clock()
        failures = 0 if was_ready else self._num_failures[index] + 1
        self._num_failures[index] = failures
        pause_s = min(LONGEST_PAUSE_S, RESTART_PAUSE_S * 2.0 ** min(failures, 10)) if failures else 0.0
        due = max(now + pause_s, started + RESTART_PAUSE_S)
        self._planned[index] = Restart(start=start, due=due)
        return due - now

    def take_due(self) -> list[tuple[int, int]]:
        """Return index and incarnation of the workers whose time has come, and forget them."""
        due = [(index, restart.start) for index, restart in self._planned.items() if restart.due <= self._clock()]
        for index, _ in due:
            del self._planned[index]
        return due

    def clear(self) -> None:
        """Forget what was planned: all workers are started anew."""
        self._planned.clear()
