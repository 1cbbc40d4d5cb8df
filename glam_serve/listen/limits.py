"""What senders may use: sizes, rates and how many there may be."""

import logging
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

MAX_PDU = 1 << 20
"""Largest piece of a message that is taken, with room beyond what senders are told."""
PIECE_BYTES = 1 << 16
LONGEST_DELAY_S = 20.0
"""For a sender over its rate; beyond that it is refused. Senders wait for 30 s and more."""
SILENCE_S = 60.0
"""Longest pause of a sender, within a message and between two."""
LEAST_BYTES_A_S = 16_000
"""Of a message on average: the pause that is allowed is spent once, not before each byte."""
REQUEST_S = 10.0
"""From the opening of a connection to the end of its request, by which it says who it is."""
MOST_NAMELESS = 32
"""Connections that have not said who they are; the oldest is closed for one more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What senders may use."""

    associations: int = 4
    """At a time, of all senders; one more is refused."""
    sender_share: float = 0.5
    """Part of the associations that one AE title, or one address, may hold, but always one; one more is refused. 1: all
    of them, as where every sender comes through one tunnel."""
    file_mb: int = 160
    """Largest image; a larger one is refused (A700), and far beyond it the association is ended."""
    images_a_minute: int = 600
    """Of one sender; beyond that it waits, and after 20 s is refused (A700)."""

    @property
    def associations_of_one(self) -> int:
        """How many an AE title, or an address, may hold."""
        return max(1, int(self.sender_share * self.associations + 1e-9))  # 0.29 * 100 is below 29


class Budget:
    """Bytes of an association since its last image, and the time that they may take."""

    def __init__(self) -> None:
        self.num_bytes = 0
        """Announced."""
        self.has_name = False
        """Whether its request was accepted."""
        self._began: float | None = time.monotonic()
        self._num_there = 0

    def clear(self) -> None:
        """Begin anew with what comes next."""
        self.num_bytes = self._num_there = 0
        self._began = None

    def accept(self) -> None:
        """Begin anew as one that said who it is."""
        self.has_name = True
        self.clear()

    def take(self, num_bytes: int) -> None:
        """Count bytes that came."""
        self._num_there += num_bytes

    def left_s(self) -> float:
        """Seconds that the next byte may take; none or less: it is too late."""
        self._began = self._began or time.monotonic()
        allowed_s = SILENCE_S + self._num_there / LEAST_BYTES_A_S if self.has_name else REQUEST_S
        return min(SILENCE_S, self._began + allowed_s - time.monotonic())


def bounded_recv(sock: Any, budget: Budget, most_bytes: int) -> Callable[[int], bytearray]:
    """Return what reads from an association's socket, and closes it where there would be too much or it is too slow."""

    def bounded(num_bytes: int) -> bytearray:
        budget.num_bytes += num_bytes
        if num_bytes > MAX_PDU or budget.num_bytes > most_bytes:
            log.warning("an association is ended: it sends more than an image may have")
            sock.close()
            raise OSError("more than an image may have")
        try:
            return _received(sock.socket, budget, num_bytes)
        except TimeoutError:
            who = "its sender is too slow" if budget.has_name else "it does not say in time who it is"
            log.warning("an association is ended: %s", who)
            sock.close()
            raise

    return bounded


def _received(raw: socket.socket, budget: Budget, num_bytes: int) -> bytearray:
    """Return so many bytes, or fewer where there are no more; TimeoutError where they come too late."""
    content = bytearray()
    try:
        while len(content) < num_bytes:
            if (left_s := budget.left_s()) <= 0:
                raise TimeoutError
            raw.settimeout(left_s)
            piece = raw.recv(min(num_bytes - len(content), PIECE_BYTES))
            if not piece:
                break
            content += piece
            budget.take(len(piece))
    finally:
        with suppress(OSError):  # of one that was closed meanwhile
            raw.settimeout(SILENCE_S)  # for what is sent
    return content


class Nameless:
    """Connections that have not said who they are: they take no association's place, and there are not too many."""

    def __init__(self) -> None:
        self._waiting = deque[tuple[Any, Budget]]()
        self._lock = threading.Lock()

    def add(self, sock: Any, budget: Budget) -> None:
        """Note a connection; the oldest one is closed where there are too many."""
        with self._lock:
            waiting = [entry for entry in self._waiting if not entry[1].has_name and _is_open(entry[0].socket)]
            self._waiting = deque([*waiting, (sock, budget)])
            oldest = self._waiting.popleft()[0] if len(self._waiting) > MOST_NAMELESS else None
        if oldest is not None:
            log.warning("a connection is closed: %d others have not said who they are either", MOST_NAMELESS)
            oldest.close()


def _is_open(raw: socket.socket | None) -> bool:
    return raw is not None and raw.fileno() >= 0


class Shares:
    """Associations that each sender holds, by every name that it is known by."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = list[tuple[Any, Mapping[str, str]]]()
        self._lock = threading.Lock()

    def admit(self, association: Any, names: Mapping[str, str]) -> str | None:
        """Note an association; where its sender holds as many as one may, return by which kind of its names."""
        with self._lock:
            self._held = [entry for entry in self._held if entry[0].is_alive() and takes_place(entry[0])]
            for kind, name in names.items():
                if sum(others[kind] == name for _, others in self._held) >= self._most:
                    return kind
            self._held.append((association, names))
        return None


def takes_place(association: Any) -> bool:
    """Whether who holds an association has said who it is, and it is not on its way out."""
    is_ending = association.is_rejected or association.is_aborted or association.is_released
    return association.requestor.primitive is not None and not is_ending


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
