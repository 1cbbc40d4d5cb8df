"""Callers that take turns: whoever asks much waits for itself, not the others for it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of several callers: callers take turns, and each one's items come in the order in which they were put."""

    def __init__(self) -> None:
        self._lines: OrderedDict[int, deque[Item]] = OrderedDict()
        """Items by caller, whose turn is next first; no line is empty."""

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, caller: int, item: Item) -> None:
        """Add a caller's item behind its others; a caller without any is the last of the round."""
        self._lines.setdefault(caller, deque()).append(item)

    def put_back(self, caller: int, item: Item) -> None:
        """Put an item back that was taken: it is the next."""
        self._lines.setdefault(caller, deque()).appendleft(item)
        self._lines.move_to_end(caller, last=False)

    def take(self) -> Item:
        """Return the next item; KeyError where there is none."""
        caller, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[caller] = line
        return item

    def keep(self, is_kept: Callable[[Item], bool]) -> None:
        """Drop all items but those."""
        kept = ((caller, deque(filter(is_kept, line))) for caller, line in self._lines.items())
        self._lines = OrderedDict((caller, line) for caller, line in kept if line)


class Turns:
    """Lets so many through at a time, of several callers in turns; for one event loop."""

    def __init__(self, num_at_a_time: int) -> None:
        self._num_free = num_at_a_time
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def turn(self, caller: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it for as long as a block lasts."""
        if self._num_free:
            self._num_free -= 1
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, caller: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(caller, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came together with the end of whoever waited
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a turn to the next that still waits."""
        while len(self._waiting):
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._num_free += 1
