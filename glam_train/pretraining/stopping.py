"""Signals that ask a run to stop: noted while it trains, and heeded when the update in progress is made."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAME_S = 1.0
"""Signals within so many seconds of the first are one: `timeout`, and a terminal with a launcher in it, send two."""


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGINT and SIGHUP while the block runs; one that comes after the first `SAME_S` is as ever.

    Those that this process was started to ignore (`nohup`, `&` in a script) stay ignored.
    """
    caught: list[int] = []
    previous = {}
    first = None

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first
        first = time.monotonic() if first is None else first
        if time.monotonic() - first <= SAME_S:
            caught.append(number)
            return
        signal.signal(number, previous[number])
        os.kill(os.getpid(), number)

    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    except ValueError:  # not the main thread, which alone may ask for signals
        pass
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
