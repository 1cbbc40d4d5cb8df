"""The queues: nothing is lost with a process that dies, and nothing is given to one that was replaced."""

import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty

import pytest

from glam_serve.hub import Envelope, Hub, WorkerQueue
from glam_serve.hub_process import HubHangsError, HubManager, hub_answers_within, start_hub
from glam_serve.vitals import Places, Vitals, is_stopped

pytestmark = pytest.mark.alone

SOON_S, LONG_S = 0.05, 20.0
KILL = HubManager.kill


@pytest.fixture
def hub() -> Hub:
    """Two API processes and two workers, each started once."""
    hub = Hub(2, 2)
    for index in range(2):
        assert hub.worker_started(index, frozenset()) == 1
        assert hub.api_started(index) == 1
    return hub


def letter(uid: str, *, api: int = 0, place: int = 0, ticket: int = 1, caller: int = 1) -> Envelope:
    return Envelope(api=api, uid=uid, place=place, ticket=ticket, caller=caller, body=pickle.dumps(uid))


def taken(hub: Hub, worker: int = 0, start: int = 1) -> str | None:
    envelope = hub.take(worker, start, SOON_S)
    return envelope and envelope.uid


def test_callers_take_turns_whichever_api_process_they_asked(hub: Hub):
    for number, caller in enumerate([1, 1, 1, 1, 2, 2, 3]):
        hub.put(letter(str(number), api=number % 2, caller=caller))
    assert [taken(hub) for _ in range(7)] == list("0461523")


def test_what_is_given_out_again_comes_before_all_else(hub: Hub):
    for number, caller in enumerate([1, 1, 2]):
        hub.put(letter(str(number), caller=caller))
    assert [taken(hub) for _ in range(2)] == list("02")
    assert hub.worker_started(0, frozenset()) == 2
    assert [taken(hub, start=2) for _ in range(3)] == list("021")


def test_what_an_api_process_that_ended_had_asked_is_dropped_of_every_caller(hub: Hub):
    for number, caller in enumerate([1, 1, 2]):
        hub.put(letter(str(number), api=number % 2, caller=caller))
    assert hub.api_started(0) == 2
    assert [taken(hub), taken(hub)] == ["1", None]


def test_requests_of_a_caller_are_given_out_in_the_order_they_came(hub: Hub):
    for number in range(6):
        hub.put(letter(str(number), api=number % 2))
    assert hub.num_waiting() == 6
    assert [taken(hub, worker=number % 2) for number in range(6)] == list("012345")
    assert taken(hub) is None


def test_a_worker_that_was_replaced_gets_nothing(hub: Hub):
    with ThreadPoolExecutor(1) as pool:
        zombie = pool.submit(hub.take, 0, 1, LONG_S)
        time.sleep(SOON_S)
        start = time.monotonic()
        assert hub.worker_started(0, frozenset()) == 2
        assert zombie.result() is None  # at once, and not after its time
        assert time.monotonic() - start < LONG_S / 2
    hub.put(letter("a"))
    assert taken(hub, start=1) is None
    assert taken(hub, start=2) == "a"


def test_an_api_process_that_was_replaced_gets_no_answer(hub: Hub):
    with ThreadPoolExecutor(1) as pool:
        zombie = pool.submit(hub.collect, 0, 1, LONG_S)
        time.sleep(SOON_S)
        assert hub.api_started(0) == 2
        assert zombie.result() is None
    hub.answer(0, 0, "a", b"answer")
    assert hub.collect(0, 1, SOON_S) is None
    assert hub.collect(0, 2, SOON_S) == b"answer"


def test_what_a_dead_worker_had_not_begun_is_given_out_again_and_first(hub: Hub):
    for uid in "abcd":
        hub.put(letter(uid))
    assert [taken(hub) for _ in range(3)] == ["a", "b", "c"]
    hub.worker_started(0, frozenset({"b"}))  # it had begun b
    assert [taken(hub, worker=1) for _ in range(4)] == ["a", "c", "d", None]


def test_what_was_answered_is_not_given_out_again(hub: Hub):
    hub.put(letter("a", place=5, ticket=7))
    hub.put(letter("b", place=6, ticket=8))
    taken(hub), taken(hub)
    assert hub.taken(0) == (("a", 5, 7), ("b", 6, 8))
    hub.answer(0, 0, "a", b"answer")
    assert hub.taken(0) == (("b", 6, 8),)
    hub.worker_started(0, frozenset())
    assert [taken(hub, start=2), taken(hub, start=2)] == ["b", None]


def test_answers_go_to_whoever_asked(hub: Hub):
    hub.answer(0, 1, "a", b"for the second")
    assert hub.collect(0, 1, SOON_S) is None
    assert hub.collect(1, 1, SOON_S) == b"for the second"


def test_what_a_dead_api_process_waited_for_is_dropped(hub: Hub):
    hub.put(letter("a", api=0))
    hub.put(letter("b", api=1))
    hub.answer(0, 0, "c", b"answer")
    hub.api_started(0)
    assert hub.collect(0, 2, SOON_S) is None
    assert [taken(hub), taken(hub)] == ["b", None]


def test_a_taker_is_woken_by_what_comes(hub: Hub):
    threading.Timer(SOON_S, hub.put, (letter("late"),)).start()
    envelope = hub.take(0, 1, LONG_S)
    assert envelope is not None
    assert envelope.uid == "late"


def test_a_request_whose_client_has_gone_is_not_begun(hub: Hub):
    vitals = Vitals(num_apis=2, num_workers=2)
    places = Places(vitals, 0)
    queue = WorkerQueue(hub, vitals, worker=0, start=1)
    held = {uid: places.take() for uid in "abc"}
    for uid, (place, ticket) in held.items():
        hub.put(letter(uid, place=place, ticket=ticket))
    for uid in "ac":
        places.give_back(held[uid][0])
    api, uid, _, body = queue.get_nowait()
    assert (api, uid, body) == (0, "b", "b")
    with pytest.raises(Empty):
        queue.get(timeout=SOON_S)
    assert [entry[0] for entry in hub.taken(0)] == ["b"]
    place, ticket = held["b"]
    assert vitals.begun[place] == ticket


def test_the_hub_works_from_a_process_of_its_own_and_ends_with_its_manager():
    vitals = Vitals(num_apis=1, num_workers=1)
    manager, hub = start_hub(vitals)
    try:
        start = hub.worker_started(0, frozenset())
        hub.put(letter("a"))
        envelope = hub.take(0, start, LONG_S)
        assert envelope is not None
        assert envelope.uid == "a"
    finally:
        manager.shutdown()
    with pytest.raises((ConnectionError, EOFError, FileNotFoundError)):
        hub.num_waiting()


def test_a_hub_that_hangs_or_has_ended_is_told_in_time():
    manager, hub = start_hub(Vitals(num_apis=1, num_workers=1))
    pid = manager.process.pid
    assert pid is not None
    with hub_answers_within(LONG_S):
        assert hub.num_waiting() == 0
    os.kill(pid, signal.SIGSTOP)
    while not is_stopped(pid):
        time.sleep(0.01)
    start = time.monotonic()
    with pytest.raises(HubHangsError, match=r"no answer for 0\.2 s"), hub_answers_within(0.2):
        hub.num_waiting()
    assert time.monotonic() - start < 2
    manager.kill()
    with pytest.raises(HubHangsError, match="it ended"), hub_answers_within(LONG_S):
        hub.num_waiting()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_hub_that_does_not_come_up_leaves_no_process(monkeypatch: pytest.MonkeyPatch):
    begun = []
    monkeypatch.setattr("glam_serve.hub_process.begin_as_child", lambda *_: time.sleep(LONG_S))
    monkeypatch.setattr(HubManager, "kill", lambda manager: begun.append(manager.process) or KILL(manager))
    with pytest.raises(HubHangsError), hub_answers_within(0.2):
        start_hub(Vitals(num_apis=1, num_workers=1))
    assert [process.exitcode for process in begun] == [-signal.SIGKILL]
