"""Slots for reading files: never more than there are, first come, first served, and none lost with a process."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Coroutine
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from glam_serve.slots import ReadingSlots
from glam_serve.vitals import Vitals
from tests.samples.serving import wait_until

pytestmark = pytest.mark.alone

IN_TIME_S = 20.0
FORK = multiprocessing.get_context("fork")


def house(num_slots: int) -> tuple[Vitals, ReadingSlots]:
    """Two API processes; the test's own is the first."""
    vitals = Vitals(num_apis=2, num_workers=1)
    return vitals, ReadingSlots(vitals, num_slots)


def other_api(slots: ReadingSlots, act: Callable[[], Coroutine[Any, Any, object]]) -> BaseProcess:
    """The second API process, which does as it is told."""

    def run() -> None:
        slots.become_api(1)
        asyncio.run(act())

    process = FORK.Process(target=run)
    process.start()
    return process


def waits(vitals: Vitals, api: int) -> Callable[[], bool]:
    return lambda: vitals.slot_wanted_since[api] != 0


def test_whoever_comes_when_all_are_taken_waits_until_one_is_given_back():
    vitals, slots = house(2)

    async def act() -> None:
        assert [await slots.take(), await slots.take()] == [1, 1]
        third = asyncio.create_task(slots.take())
        await asyncio.sleep(0.05)
        assert not third.done()
        slots.give_back(1)
        assert await asyncio.wait_for(third, IN_TIME_S) == 1
        assert vitals.slots_held[0] == 2
        assert vitals.slot_wanted_since[0] == 0

    asyncio.run(act())


def test_free_slots_are_taken_together_but_not_while_another_waits():
    _, slots = house(3)

    async def act() -> None:
        assert await slots.take(2) == 2
        assert await slots.take(8) == 1
        waiting = [asyncio.create_task(slots.take(3)) for _ in range(2)]
        await asyncio.sleep(0.05)
        slots.give_back(3)
        assert await asyncio.wait_for(asyncio.gather(*waiting), IN_TIME_S) == [1, 2]

    asyncio.run(act())


@pytest.mark.parametrize(("of_this", "of_the_other", "taken"), [(1, 0, 4), (1, 1, 2), (3, 0, 1), (2, 7, 1)])
def test_a_request_takes_no_more_than_its_part_among_all_that_are_not_answered(
    of_this: int, of_the_other: int, taken: int
):
    vitals, slots = house(4)
    vitals.waiting[0], vitals.waiting[1] = of_this, of_the_other
    assert asyncio.run(slots.take(8)) == taken


@pytest.mark.parametrize(("num_slots", "an_api"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_a_process_reads_as_many_requests_at_a_time_as_its_part_of_the_slots(num_slots: int, an_api: int):
    _, slots = house(num_slots)
    assert slots.an_api == an_api


def test_a_process_is_served_in_the_order_of_coming():
    _, slots = house(1)
    served: list[int] = []

    async def read(number: int) -> None:
        await slots.take()
        served.append(number)
        await asyncio.sleep(0.001)
        slots.give_back(1)

    async def act() -> None:
        await asyncio.gather(*map(read, range(8)))

    asyncio.run(act())
    assert served == list(range(8))


def test_one_who_leaves_while_waiting_takes_none():
    vitals, slots = house(1)

    async def act() -> None:
        await slots.take()
        leaving, staying = (asyncio.create_task(slots.take()) for _ in range(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        slots.give_back(1)
        assert await asyncio.wait_for(staying, IN_TIME_S) == 1
        assert vitals.slots_held[0] == 1

    asyncio.run(act())


def test_a_slot_that_one_process_gives_back_goes_to_the_one_that_waited_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glam_serve.slots.PATIENCE_S", 5.0)  # however busy the machine is
    vitals, slots = house(1)
    served = FORK.RawArray(ctypes.c_double, 2)

    async def second() -> None:
        await slots.take()
        served[1] = time.monotonic()
        slots.give_back(1)

    async def act() -> None:
        await slots.take()
        process = other_api(slots, second)
        wait_until(waits(vitals, 1), "the other process waits", IN_TIME_S)
        own = asyncio.create_task(slots.take())
        await asyncio.sleep(0.05)
        slots.give_back(1)
        await asyncio.wait_for(own, IN_TIME_S)
        served[0] = time.monotonic()
        slots.give_back(1)
        process.join(IN_TIME_S)
        assert process.exitcode == 0

    asyncio.run(act())
    assert 0 < served[1] < served[0]


def test_a_process_that_waits_and_does_not_answer_is_passed_over():
    vitals, slots = house(1)

    async def act() -> None:
        await slots.take()
        process = other_api(slots, slots.take)
        wait_until(waits(vitals, 1), "the other process waits", IN_TIME_S)
        os.kill(process.pid or 0, signal.SIGSTOP)
        own = asyncio.create_task(slots.take())
        await asyncio.sleep(0)
        slots.give_back(1)
        assert await asyncio.wait_for(own, IN_TIME_S) == 1
        process.kill()
        process.join()

    asyncio.run(act())


def test_what_a_process_held_that_was_killed_can_be_taken_again():
    vitals, slots = house(2)

    async def hold() -> None:
        await slots.take(2)
        await asyncio.sleep(IN_TIME_S)

    async def act() -> None:
        process = other_api(slots, hold)
        wait_until(lambda: vitals.slots_held[1] == 2, "the other process holds both", IN_TIME_S)
        own = asyncio.create_task(slots.take(2))
        await asyncio.sleep(0.05)
        assert not own.done()
        process.kill()
        process.join()
        slots.forget_api(1)
        assert await asyncio.wait_for(own, IN_TIME_S) == 2
        assert list(vitals.slots_held) == [2, 0]

    asyncio.run(act())


def test_two_processes_never_hold_more_than_there_are():
    _, slots = house(2)
    held, most_held = (FORK.RawArray(ctypes.c_int64, 2) for _ in range(2))

    async def read(index: int) -> None:
        for _ in range(30):
            held[index] = await slots.take(2)
            most_held[index] = max(most_held[index], sum(held))
            await asyncio.sleep(0.002)
            count, held[index] = held[index], 0
            slots.give_back(count)

    async def act() -> None:
        process = other_api(slots, lambda: read(1))
        await asyncio.wait_for(read(0), IN_TIME_S)
        process.join()
        assert process.exitcode == 0
        assert await slots.take(2) == 2  # none was lost

    asyncio.run(act())
    assert max(most_held) <= 2


def test_the_pipe_goes_with_the_slots():
    _, slots = house(1)
    before = num_open_files()
    del slots
    assert num_open_files() == before - 2


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
