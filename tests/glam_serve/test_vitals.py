import os
import signal
import subprocess
import sys
import time

import pytest

from glam_serve.vitals import (
    CALLERS_AN_API,
    REQUESTS_AN_API,
    SILENT_S,
    Places,
    SharedLoad,
    Vitals,
    beat_in_thread,
    is_stopped,
)

pytestmark = pytest.mark.alone

ANNE, BERT = 2**64 - 1, 1
"""Numbers of callers."""


@pytest.fixture
def vitals() -> Vitals:
    return Vitals(num_apis=2, num_workers=2)


def test_a_worker_counts_that_is_loaded_and_beats(vitals: Vitals):
    now = time.monotonic()
    vitals.worker_ready[:] = [1, 1]
    vitals.worker_beats[:] = [now, now - SILENT_S - 1]
    assert vitals.num_ready() == 1
    vitals.worker_ready[0] = 0
    assert vitals.num_ready() == 0


def test_the_heartbeat_of_a_worker_goes_on(vitals: Vitals):
    beat_in_thread(vitals, 1)
    time.sleep(0.05)
    first = vitals.worker_beats[1]
    deadline = time.monotonic() + 10
    while vitals.worker_beats[1] == first and time.monotonic() < deadline:
        time.sleep(0.05)
    assert vitals.worker_beats[1] > first > 0
    assert vitals.worker_beats[0] == 0


def test_a_place_that_is_given_back_is_wanted_no_more_whoever_gets_it_next(vitals: Vitals):
    places = Places(vitals, 1)
    place, ticket = places.take()
    assert place >= REQUESTS_AN_API  # the second API process's part
    assert vitals.is_wanted(place, ticket)
    places.give_back(place)
    assert not vitals.is_wanted(place, ticket)
    again, other = places.take()
    assert (again, other != ticket) == (place, True)
    assert not vitals.is_wanted(place, ticket)


def test_there_is_an_end_of_places(vitals: Vitals):
    places = Places(vitals, 0)
    taken = {places.take()[0] for _ in range(REQUESTS_AN_API)}
    assert taken == set(range(REQUESTS_AN_API))
    with pytest.raises(IndexError):
        places.take()


def test_the_load_is_the_sum_over_processes_without_those_that_died(vitals: Vitals):
    SharedLoad(vitals, 0).add(ANNE, waiting=2, spooled=100)
    SharedLoad(vitals, 1).add(ANNE, waiting=1, spooled=50)
    place, ticket = Places(vitals, 1).take()
    load = SharedLoad(vitals, 0)
    assert (load.waiting(), load.spooled()) == (3, 150)
    vitals.forget_api(1)
    assert (load.waiting(), load.spooled()) == (2, 100)
    assert not vitals.is_wanted(place, ticket)


def test_what_a_caller_has_is_the_sum_over_processes_without_those_that_died(vitals: Vitals):
    first, second = SharedLoad(vitals, 0), SharedLoad(vitals, 1)
    first.add(ANNE, waiting=2, spooled=100)
    second.add(ANNE, waiting=1, spooled=50)
    second.add(BERT, waiting=1)
    for load in (first, second):
        assert [(load.waiting_of(caller), load.spooled_of(caller)) for caller in (ANNE, BERT)] == [(3, 150), (1, 0)]
    vitals.forget_api(1)
    assert [(first.waiting_of(caller), first.spooled_of(caller)) for caller in (ANNE, BERT)] == [(2, 100), (0, 0)]
    second.add(BERT, waiting=1)  # the process in its place finds nothing of the one before
    assert (second.waiting_of(BERT), second.waiting_of(ANNE)) == (1, 2)


def test_a_caller_who_has_nothing_any_more_gives_its_place_to_another(vitals: Vitals):
    load = SharedLoad(vitals, 1)
    for caller in range(1, 3 * CALLERS_AN_API):
        load.add(caller, waiting=1, spooled=caller)
        load.add(caller, spooled=-caller)
        assert (load.waiting_of(caller), load.spooled_of(caller)) == (1, 0)
        load.add(caller, waiting=-1)
    assert not any(vitals.callers)


def test_a_stopped_process_is_seen():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        assert not is_stopped(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert is_stopped(process.pid)
        process.kill()
    assert not is_stopped(process.pid)
