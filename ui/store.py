"""What the page fetches for a while: bytes in memory under names that cannot be guessed. Nothing of it is on a disk."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

LIFETIME_S = 900.0
"""A quarter of an hour after the last look at an exam, its pixels are gone."""
MAX_BYTES = 1 << 30
"""Held together; the oldest go first."""


class Kept(NamedTuple):
    """Bytes, the name under which a browser saves them (None: it shows them itself), and when they go."""

    content: bytes
    file_name: str | None
    until: float
    is_fetched: bool = False


class Store:
    """Bytes by token, each for a limited time after it was last asked for; safe to call from several threads."""

    def __init__(
        self,
        *,
        lifetime_s: float = LIFETIME_S,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime_s, self._max_bytes, self._clock = lifetime_s, max_bytes, clock
        self._kept: dict[str, Kept] = {}
        self._lock = threading.Lock()
        self._fetched = threading.Condition(self._lock)

    def put(self, content: bytes, file_name: str | None = None) -> str:
        """Keep bytes, and return their token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._kept[token] = Kept(content, file_name, self._clock() + self._lifetime_s)
            self._make_room()
        return token

    def get(self, token: str) -> Kept | None:
        """Return what is kept under a token, and keep it on; None when it is gone."""
        with self._lock:
            self._make_room()
            kept = self._kept.pop(token, None)
            if kept is None:
                return None
            until = self._clock() + self._lifetime_s
            self._kept[token] = kept._replace(until=until, is_fetched=True)  # the last one to go
            self._fetched.notify_all()
            return kept

    def wait_for(self, tokens: Sequence[str], *, most_s: float) -> bool:
        """Wait, at most so many seconds, until everything under these tokens has been asked for, or is gone.

        Returns whether it has.
        """

        def are_fetched() -> bool:
            return all(self._kept[token].is_fetched for token in tokens if token in self._kept)

        with self._fetched:
            return self._fetched.wait_for(are_fetched, most_s)

    def drop(self, token: str) -> None:
        """Forget the bytes of a token."""
        with self._lock:
            self._kept.pop(token, None)

    def num_bytes(self) -> int:
        """Return how many bytes are held."""
        with self._lock:
            return sum(len(kept.content) for kept in self._kept.values())

    def _make_room(self) -> None:
        now = self._clock()
        for token in [token for token, kept in self._kept.items() if kept.until <= now]:
            del self._kept[token]
        held = sum(len(kept.content) for kept in self._kept.values())
        while held > self._max_bytes and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            held -= len(self._kept.pop(oldest).content)
