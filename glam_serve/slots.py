"""Slots for reading files: over all API processes together no more files are read at a time than there are cores."""

import asyncio
import os
import time
import weakref

from glam_serve.vitals import Vitals

PATIENCE_S = 0.005
"""Time that a free slot is left to a process whose request came earlier; it may be at something else."""


def num_cores() -> int:
    """Return how many cores this process may use, or has, where the system does not say which it may."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


class ReadingSlots:
    """Slots of all API processes, taken first come, first served, whichever process they come to.

    Made before those processes are forked. A pipe that they share holds a byte for each free slot, so that whoever
    waits wakes when any process gives one back. In an API process it is used on the event loop alone.
    """

    def __init__(self, vitals: Vitals, num_slots: int) -> None:
        self._vitals = vitals
        self._num_slots = num_slots
        self._index = 0
        self._num_waiting = 0
        self._turn = asyncio.Lock()
        self._free, self._given = os.pipe()
        weakref.finalize(self, _close, self._free, self._given)
        os.set_blocking(self._free, False)
        self._put(num_slots)

    @property
    def an_api(self) -> int:
        """How many requests an API process reads at a time: its part of the slots.

        Reading holds Python's lock for most of its time, so that a second thread of the same process brings little;
        it costs a quarter more (docs/LOG.md), and another process could use the core.
        """
        return -(-self._num_slots // self._vitals.num_apis)

    def become_api(self, index: int) -> None:
        """Take the part of the API process with this index, in the process that was forked for it."""
        self._index = index

    def forget_api(self, index: int) -> None:
        """Give back, in the supervisor, what an API process held that has ended.

        If it ended while it took or gave back a slot, there may be a slot more from then on, and never one less.
        """
        self._put(self._vitals.slots_held[index])
        self._vitals.slots_held[index] = 0
        self._vitals.slot_wanted_since[index] = 0

    async def take(self, most: int = 1) -> int:
        """Wait for a slot and take it, and more of them, up to `most`, where they are free and nobody waits for one.

        No request takes more than its part of the slots among all that the server has not answered yet. Returns how
        many were taken.
        """
        came = time.monotonic()
        most = max(1, min(most, self._num_slots // max(1, sum(self._vitals.waiting))))
        self._num_waiting += 1
        try:
            async with self._turn:  # in the order of their coming
                self._vitals.slot_wanted_since[self._index] = came
                return await self._take_before_later_ones(came, most)
        finally:
            self._num_waiting -= 1
            self._vitals.slot_wanted_since[self._index] = 0

    def give_back(self, count: int) -> None:
        """Give back so many slots."""
        self._put(count)
        self._vitals.slots_held[self._index] -= count

    async def _take_before_later_ones(self, came: float, most: int) -> int:
        while True:
            await self._some_are_free()
            others = [
                since for index, since in enumerate(self._vitals.slot_wanted_since) if since and index != self._index
            ]
            if any(since < came for since in others):
                await asyncio.sleep(PATIENCE_S)
            if count := self._take_free(1 if others or self._num_waiting > 1 else most):
                return count

    async def _some_are_free(self) -> None:
        loop, are_free = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._free, are_free.set)
        try:
            await are_free.wait()
        finally:
            loop.remove_reader(self._free)

    def _take_free(self, most: int) -> int:
        """Take up to so many slots without waiting; noted first, so that none is lost with this process."""
        self._vitals.slots_held[self._index] += most
        try:
            count = len(os.read(self._free, most))
        except BlockingIOError:  # another process was faster
            count = 0
        self._vitals.slots_held[self._index] -= most - count
        return count

    def _put(self, count: int) -> None:
        os.write(self._given, bytes(count))


def _close(*ends: int) -> None:
    for end in ends:
        os.close(end)
