"""Whose turn it is, and which of two exams that were asked for is shown."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from glam_ui.turns import BusyError, Shares

ENOUGH_S = 10


async def collected(shares: Shares, session: str, values: Iterator[str]) -> list[str]:
    return [value async for value in shares.shown(session, values, instead="as it was")]


def held(name: str, gate: threading.Event, begun: list[str]) -> Iterator[str]:
    """An exam that says that it begins, and then waits for a gate."""
    begun.append(name)
    yield f"busy {name}"
    assert gate.wait(ENOUGH_S)
    yield f"exam {name}"


async def until(is_so: Any) -> None:
    async with asyncio.timeout(ENOUGH_S):
        while not is_so():
            await asyncio.sleep(0.001)


def task(work: Coroutine[Any, Any, list[str]]) -> "asyncio.Task[list[str]]":
    return asyncio.ensure_future(work)  # type: ignore[return-value]


def test_an_exam_is_shown_to_its_end():
    shares = Shares(most_under_way=1, most_waiting=0)
    assert asyncio.run(collected(shares, "a", iter(["busy", "preview", "exam"]))) == ["busy", "preview", "exam"]
    assert not shares.is_full


def test_of_a_session_the_newest_is_shown_and_what_waited_before_it_is_not_begun():
    async def asked() -> tuple[list[list[str]], list[str]]:
        shares, gate, begun = Shares(most_under_way=8, most_waiting=1), threading.Event(), list[str]()
        asks = [task(collected(shares, "greedy", held("0", gate, begun)))]
        await until(lambda: begun)
        for number in range(1, 50):
            asks.append(task(collected(shares, "greedy", held(str(number), gate, begun))))
        await asyncio.wait(asks[1:49], timeout=ENOUGH_S)
        assert all(ask.done() for ask in asks[1:49]), "they wait for nothing"
        gate.set()
        return await asyncio.gather(*asks), begun

    shown, begun = asyncio.run(asked())
    assert shown[0] in (["busy 0", "as it was"], ["as it was"])  # it had begun; what it said may come too late
    assert shown[1:] == [*[["as it was"]] * 48, ["busy 49", "exam 49"]]
    assert begun == ["0", "49"]


def test_sessions_wait_in_the_order_in_which_they_came_however_often_one_asks():
    async def asked() -> list[str]:
        shares, gate, begun = Shares(most_under_way=1, most_waiting=8), threading.Event(), list[str]()
        first = task(collected(shares, "first", held("first", gate, begun)))
        await until(lambda: begun)
        names = ["greedy 1", "modest", "greedy 2", "greedy 3", "third"]
        asks = [task(collected(shares, name.split()[0], held(name, gate, begun))) for name in names]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *asks)
        return begun

    assert asyncio.run(asked()) == ["first", "greedy 3", "modest", "third"]


def test_whom_the_line_has_no_place_for_is_told_at_once():
    async def asked() -> None:
        shares, gate, begun = Shares(most_under_way=1, most_waiting=1), threading.Event(), list[str]()
        asks = [task(collected(shares, "a", held("a", gate, begun)))]
        await until(lambda: begun)
        asks.append(task(collected(shares, "b", held("b", gate, begun))))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await collected(shares, "c", iter(["never"]))
        gate.set()
        await asyncio.gather(*asks)
        assert await collected(shares, "c", iter(["exam"])) == ["exam"]

    asyncio.run(asked())


@pytest.mark.parametrize("is_under_way", [True, False])
def test_a_question_that_is_cancelled_leaves_its_turn_to_the_next(is_under_way: bool):
    """One whose thread still works keeps its place until that ends."""

    async def asked() -> list[str]:
        shares, gate, begun = Shares(most_under_way=1, most_waiting=2), threading.Event(), list[str]()
        first = task(collected(shares, "a", held("a", gate, begun)))
        await until(lambda: begun)
        waiting = task(collected(shares, "b", held("b", gate, begun)))
        last = task(collected(shares, "c", held("c", gate, begun)))
        await asyncio.sleep(0.05)
        (first if is_under_way else waiting).cancel()
        await asyncio.sleep(0.05)
        assert begun == ["a"]
        gate.set()
        return await last

    assert asyncio.run(asked()) == ["busy c", "exam c"]


def test_an_exam_that_nobody_reads_to_its_end_leaves_its_turn():
    async def left() -> bool:
        shares = Shares(most_under_way=1, most_waiting=1)
        shown = shares.shown("a", iter(["busy", "exam"]), instead="")
        assert await anext(shown) == "busy"
        assert shares.is_full
        await shown.aclose()
        await asyncio.sleep(0)
        return shares.is_full

    assert not asyncio.run(left())


def test_what_fails_leaves_its_turn():
    def failing() -> Iterator[str]:
        yield "busy"
        raise ValueError("of the exam")

    async def failed() -> bool:
        shares = Shares(most_under_way=1, most_waiting=1)
        with pytest.raises(ValueError, match="of the exam"):
            await collected(shares, "a", failing())
        await asyncio.sleep(0)
        return shares.is_full

    assert not asyncio.run(failed())
