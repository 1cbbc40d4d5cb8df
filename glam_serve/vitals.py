"""Signs of life that the processes of a server share: heartbeats, load, and the state of requests."""

import ctypes
import multiprocessing
import os
import threading
import time
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEAT_S = 0.25
SILENT_S = 1.5
"""A worker that gave no sign of life for this long is not counted on."""
CANNOT_LOAD = 3
"""Exit status of a worker that cannot load the model; the server ends with it if no worker ever could."""
REQUESTS_AN_API = 4096
"""Requests that one API process can have in the worker's queue at a time; the guard's limit is far below."""

CALLERS_AN_API = 1024
"""Callers of whom one API process can have requests or jobs at a time: it has fewer connections and jobs than that."""


class Vitals:
    """Numbers in memory that every process of a server sees; each number has one writer.

    It crosses to other processes at their start only, as an argument or an attribute of one.
    """

    def __init__(self, *, num_apis: int, num_workers: int) -> None:
        # RawArray: one aligned 8-byte number is written at once, so no lock is needed, and none can be left locked.
        context = multiprocessing.get_context("spawn")
        self.num_apis = num_apis
        self.num_workers = num_workers
        self.api_beats = context.RawArray(ctypes.c_double, num_apis)
        self.worker_beats = context.RawArray(ctypes.c_double, num_workers)
        self.worker_ready = context.RawArray(ctypes.c_uint8, num_workers)
        """1: the model is loaded."""
        self.waiting = context.RawArray(ctypes.c_int64, num_apis)
        """Requests that an API process has taken and not yet answered."""
        self.spooled = context.RawArray(ctypes.c_int64, num_apis)
        """Bytes of uploads that an API process holds."""
        self.callers = context.RawArray(ctypes.c_uint64, num_apis * CALLERS_AN_API)
        """Numbers of the callers of whom an API process has anything; 0: a free place."""
        self.waiting_of = context.RawArray(ctypes.c_int64, num_apis * CALLERS_AN_API)
        """Requests of the caller in this place."""
        self.spooled_of = context.RawArray(ctypes.c_int64, num_apis * CALLERS_AN_API)
        """Bytes of its uploads."""
        self.slots_held = context.RawArray(ctypes.c_int64, num_apis)
        """Slots for reading files that an API process holds (`glam_serve.slots`)."""
        self.slot_wanted_since = context.RawArray(ctypes.c_double, num_apis)
        """When the request came that waits for a slot for longest in an API process; 0: none waits."""
        self.wanted = context.RawArray(ctypes.c_uint64, num_apis * REQUESTS_AN_API)
        """The ticket of the request that holds a place; 0: nobody waits for it any more."""
        self.begun = context.RawArray(ctypes.c_uint64, num_apis * REQUESTS_AN_API)
        """The ticket that a worker has begun to answer."""
        self.lost = context.RawArray(ctypes.c_uint64, num_apis * REQUESTS_AN_API)
        """The ticket that a worker had begun when it died."""

    @cached_property
    def caller_numbers(self) -> NDArray[np.uint64]:
        """`callers` as an array over the same memory; made where it is first asked for, and crosses to no process."""
        return np.ctypeslib.as_array(self.callers)

    def is_wanted(self, place: int, ticket: int) -> bool:
        """Say whether somebody still waits for the request with this ticket."""
        return self.wanted[place] == ticket

    def num_ready(self) -> int:
        """Return how many workers have loaded the model and give signs of life."""
        beats = zip(self.worker_ready, self.worker_beats, strict=True)
        return sum(1 for ready, beat in beats if ready and time.monotonic() - beat < SILENT_S)

    def forget_api(self, index: int) -> None:
        """Clear what an API process that died had taken; its clients are gone with it."""
        self.waiting[index] = 0
        self.spooled[index] = 0
        start = index * CALLERS_AN_API
        self.callers[start : start + CALLERS_AN_API] = [0] * CALLERS_AN_API
        first = index * REQUESTS_AN_API
        self.wanted[first : first + REQUESTS_AN_API] = [0] * REQUESTS_AN_API
        self.api_beats[index] = time.monotonic()


class Places:
    """The places of one API process in `Vitals.wanted`, given out and taken back on its event loop."""

    def __init__(self, vitals: Vitals, index: int) -> None:
        first = index * REQUESTS_AN_API
        self._vitals = vitals
        self._free = list(range(first, first + REQUESTS_AN_API))
        self._next_ticket = (os.getpid() << 32) + 1  # of another process than the one that held this index before

    def take(self) -> tuple[int, int]:
        """Return a place and its new ticket; IndexError when none is free."""
        place, ticket = self._free.pop(), self._next_ticket
        self._next_ticket += 1
        self._vitals.wanted[place] = ticket
        return place, ticket

    def give_back(self, place: int) -> None:
        """Say that nobody waits for what holds the place."""
        self._vitals.wanted[place] = 0
        self._free.append(place)


def beat_in_thread(vitals: Vitals, worker: int) -> None:
    """Write a worker's heartbeat for as long as its interpreter runs."""

    def beat() -> None:
        while True:
            vitals.worker_beats[worker] = time.monotonic()
            time.sleep(BEAT_S)

    threading.Thread(target=beat, daemon=True, name="heartbeat").start()


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped (SIGSTOP, a debugger): proc(5), state T or t; False where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return fields.rpartition(")")[2].split()[0] in {"T", "t"}


class SharedLoad:
    """What all API processes have taken, as `glam_serve.exchange.Load`; each adds to its own part alone."""

    def __init__(self, vitals: Vitals, index: int) -> None:
        self._vitals = vitals
        self._index = index

    def waiting(self) -> int:
        """Requests taken and not yet answered."""
        return sum(self._vitals.waiting)

    def spooled(self) -> int:
        """Bytes of uploads held."""
        return sum(self._vitals.spooled)

    def waiting_of(self, caller: int) -> int:
        """Requests of a caller taken and not yet answered."""
        return sum(self._vitals.waiting_of[place] for place in self._places(caller))

    def spooled_of(self, caller: int) -> int:
        """Bytes of uploads of a caller held."""
        return sum(self._vitals.spooled_of[place] for place in self._places(caller))

    def add(self, caller: int, *, waiting: int = 0, spooled: int = 0) -> None:
        """Count what this process takes from a caller or lets go."""
        vitals = self._vitals
        vitals.waiting[self._index] += waiting
        vitals.spooled[self._index] += spooled
        place = self._own_place(caller)
        vitals.waiting_of[place] += waiting
        vitals.spooled_of[place] += spooled
        if not vitals.waiting_of[place] and not vitals.spooled_of[place]:
            vitals.callers[place] = 0

    def _places(self, caller: int) -> list[int]:
        """Return where the caller is counted, one place an API process at the most."""
        return np.flatnonzero(self._vitals.caller_numbers == np.uint64(caller)).tolist()

    def _own_place(self, caller: int) -> int:
        """Return where this process counts the caller: a free place, empty, where it has nothing of it yet."""
        start = self._index * CALLERS_AN_API
        own = [place for place in self._places(caller) if start <= place < start + CALLERS_AN_API]
        if own:
            return own[0]
        place = next(place for place in range(start, start + CALLERS_AN_API) if not self._vitals.callers[place])
        self._vitals.waiting_of[place] = self._vitals.spooled_of[place] = 0
        self._vitals.callers[place] = caller
        return place
