"""When lost workers are started again."""

import pytest

from glam_serve.restarts import LONGEST_PAUSE_S, Restarts


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("age_s", "pause_s"), [(0.25, 0.75), (1.0, 0.0), (3600.0, 0.0)])
def test_a_worker_that_was_ready_is_started_again_a_second_after_its_last_start(age_s: float, pause_s: float):
    restarts = Restarts(1, clock=Clock())
    assert restarts.plan(0, start=2, started=100.0 - age_s, was_ready=True) == pause_s


def test_the_pause_doubles_up_to_a_minute_until_a_worker_was_ready_again():
    restarts = Restarts(2, clock=Clock())
    pauses = [restarts.plan(0, start=number, started=0.0, was_ready=False) for number in range(2000)]
    assert pauses[:6] == [2, 4, 8, 16, 32, 60]
    assert set(pauses[6:]) == {LONGEST_PAUSE_S}
    assert restarts.plan(1, start=1, started=0.0, was_ready=False) == 2
    assert restarts.plan(0, start=1, started=0.0, was_ready=True) == 0
    assert restarts.plan(0, start=1, started=0.0, was_ready=False) == 2


def test_only_those_whose_time_has_come_are_taken_and_once():
    clock = Clock()
    restarts = Restarts(2, clock=clock)
    restarts.plan(0, start=5, started=0.0, was_ready=False)
    restarts.plan(1, start=7, started=0.0, was_ready=True)
    assert restarts.take_due() == [(1, 7)]
    assert restarts.take_due() == []
    clock.now += 2
    assert restarts.take_due() == [(0, 5)]
    restarts.plan(0, start=6, started=0.0, was_ready=True)
    restarts.clear()
    assert restarts.take_due() == []
