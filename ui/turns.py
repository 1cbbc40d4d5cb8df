"""Whose turn it is: a share of the work for each session, and what a session asked for last."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from anyio.to_thread import run_sync

Shown = TypeVar("Shown")


class Turns:
    """Counts the exams that a session asks for; each session has its own, by which it is told from others."""

    def __init__(self) -> None:
        self.latest = 0


class BusyError(Exception):
    """So many wait already that nobody else may."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Does one thing at a time for each session, and for so many sessions at a time; others wait in line.

    What a session asks for replaces what it asked for before: that ends at its next step, or at once if it still waits,
    and the newer one takes its place in line. For one event loop.
    """

    most_under_way: int
    most_waiting: int
    _under_way: set[Hashable] = field(default_factory=set, init=False)
    _waiting: "dict[Hashable, asyncio.Future[bool]]" = field(default_factory=dict, init=False)

    @property
    def is_full(self) -> bool:
        """Whether somebody new has to wait."""
        return len(self._under_way) >= self.most_under_way

    async def shown(self, session: Hashable, values: Iterator[Shown], *, instead: Shown) -> AsyncIterator[Shown]:
        """Yield values, each made in a thread, until the session asks for something newer; then `instead`, once.

        No value is None. BusyError where too many wait. Gradio sends the last value of a generator a second time at its
        end: `instead` must change nothing.
        """
        if not await self._is_granted(session):
            yield instead
            return
        step: asyncio.Future[Shown | None] | None = None
        try:
            while session not in self._waiting:
                step = asyncio.ensure_future(run_sync(next, values, None))
                value = await asyncio.shield(step)  # where the question is cancelled, its thread works on
                if value is None:
                    return
                if session not in self._waiting:
                    yield value
            yield instead
        finally:
            if step is None:
                self._end(session)
            else:
                step.add_done_callback(lambda _: self._end(session))

    async def _is_granted(self, session: Hashable) -> bool:
        """Wait for a session's turn; False where it asked for something newer meanwhile."""
        if not (self.is_full or session in self._under_way or session in self._waiting):
            self._under_way.add(session)
            return True
        older = self._waiting.get(session)
        if older is None and len(self._waiting) >= self.most_waiting:
            raise BusyError
        granted = self._waiting[session] = asyncio.get_running_loop().create_future()
        if older is not None and not older.done():
            older.set_result(False)
        try:
            return await granted
        except asyncio.CancelledError:
            self._leave(session, granted)
            raise

    def _leave(self, session: Hashable, granted: "asyncio.Future[bool]") -> None:
        """Give up a place in line, or the turn where it has just come."""
        if self._waiting.get(session) is granted:
            del self._waiting[session]
        elif not granted.cancelled() and granted.result():
            self._end(session)

    def _end(self, session: Hashable) -> None:
        """End what is done for a session; it is the turn of who waits."""
        self._under_way.discard(session)
        for waiting, granted in list(self._waiting.items()):
            if not (self.is_full or waiting in self._under_way or granted.done()):
                del self._waiting[waiting]
                self._under_way.add(waiting)
                granted.set_result(True)
