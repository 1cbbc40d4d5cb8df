"""What senders may use: sizes, rates and how many there may be."""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

MAX_PDU = 1 << 20
"""Largest piece of a message that is taken, with room beyond what senders are told."""
LONGEST_DELAY_S = 20.0
"""For a sender over its rate; beyond that it is refused. Senders wait for 30 s and more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What senders may use."""

    associations: int = 4
    """At a time, of all senders; one more is refused."""
    file_mb: int = 160
    """Largest image; a larger one is refused (A700), and far beyond it the association is ended."""
    images_a_minute: int = 600
    """Of one sender; beyond that it waits, and after 20 s is refused (A700)."""


class Budget:
    """Bytes of an association since its last image."""

    def __init__(self) -> None:
        self.num_bytes = 0

    def clear(self) -> None:
        """Begin anew."""
        self.num_bytes = 0


def bounded_recv(sock: Any, budget: Budget, most_bytes: int) -> Callable[[int], bytearray]:
    """Return what reads from an association's socket, and closes it where there would be too much."""
    recv: Callable[[int], bytearray] = sock.recv

    def bounded(num_bytes: int) -> bytearray:
        budget.num_bytes += num_bytes
        if num_bytes > MAX_PDU or budget.num_bytes > most_bytes:
            log.warning("an association is ended: it sends more than an image may have")
            sock.close()
            raise OSError("more than an image may have")
        return recv(num_bytes)

    return bounded


class Rate:
    """Images of each sender in the last minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def admit(self, sender: str) -> bool:
        """Wait until a sender is within its rate; False where that would take too long."""
        end = time.monotonic() + LONGEST_DELAY_S
        while True:
            with self._lock:
                now, times = time.monotonic(), self._times[sender]
                while times and times[0] <= now - 60:
                    times.popleft()
                if len(times) < self._most:
                    times.append(now)
                    return True
                wait_s = times[0] + 60 - now
            if now + wait_s > end:
                return False
            time.sleep(wait_s)
