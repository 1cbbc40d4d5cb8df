"""Signals that a run ends by, in place of where they happen to come."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C, SIGTERM or closed terminal; the second one ends the program as usual.

    What the caller had this program ignore, as nohup does with a closed terminal, it still ignores.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    usual = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def tell(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
