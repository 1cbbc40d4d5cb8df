"""Callers that take turns."""

import asyncio

import pytest

from glam_serve.turns import FairQueue, Turns


def all_of(queue: FairQueue[str]) -> str:
    return "".join(queue.take() for _ in range(len(queue)))


def test_callers_take_turns_and_each_ones_items_keep_their_order():
    queue: FairQueue[str] = FairQueue()
    for caller, items in ((1, "abcdef"), (2, "xy"), (3, "z")):
        for item in items:
            queue.put(caller, item)
    assert len(queue) == 9
    assert all_of(queue) == "axzbycdef"
    assert len(queue) == 0
    with pytest.raises(KeyError):
        queue.take()


def test_whoever_comes_waits_for_one_item_of_each_other_caller_at_the_most():
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.put(number % 3, "x")
    assert queue.take() == "x"
    queue.put(9, "mine")
    assert [queue.take() for _ in range(4)].index("mine") <= 3


def test_what_is_put_back_is_the_next_and_what_is_not_kept_is_gone():
    queue: FairQueue[str] = FairQueue()
    for caller, item in ((1, "a"), (1, "b"), (2, "x")):
        queue.put(caller, item)
    queue.put_back(2, "y")
    assert queue.take() == "y"
    queue.keep(lambda item: item != "x")
    assert all_of(queue) == "ab"


def test_a_caller_of_one_goes_before_the_rest_of_a_caller_of_many():
    order: list[str] = []

    async def ask(turns: Turns, caller: int, name: str) -> None:
        async with turns.turn(caller):
            await asyncio.sleep(0.001)
            order.append(name)

    async def everybody() -> None:
        turns = Turns(1)
        many = [asyncio.create_task(ask(turns, 1, f"many-{number}")) for number in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(ask(turns, 2, "one"), *many)

    asyncio.run(everybody())
    assert order.index("one") <= 2
    assert [name for name in order if name != "one"] == [f"many-{number}" for number in range(20)]


@pytest.mark.parametrize("num_at_a_time", [1, 3])
def test_turns_of_those_who_left_are_not_lost_whenever_they_leave(num_at_a_time: int):
    inside = most = 0

    async def ask(turns: Turns, number: int) -> None:
        nonlocal inside, most
        async with turns.turn(number % 4):
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(0)
                if number % 5 == 0:
                    raise RuntimeError
            finally:
                inside -= 1

    async def everybody() -> None:
        turns = Turns(num_at_a_time)
        for round_ in range(50):
            tasks = [asyncio.create_task(ask(turns, number)) for number in range(12)]
            for step, task in enumerate(tasks):
                if (step * 7 + round_) % 3 == 0:
                    task.cancel()
                await asyncio.sleep(0)
                if (step + round_) % 4 == 0:
                    tasks[step // 2].cancel()  # perhaps at the moment when its turn comes
            await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5):
            for _ in range(num_at_a_time):
                await ask(turns, 1)
        assert (turns._num_free, len(turns._waiting)) == (num_at_a_time, 0)

    asyncio.run(everybody())
    assert (inside, most) == (0, num_at_a_time)
