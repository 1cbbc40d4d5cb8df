"""Signals that stop a run, in this process; tests/glam_train/test_stopped.py sends them to the command."""

import os
import signal
import time

import pytest

from glam_train.pretraining import stopping
from glam_train.pretraining.stopping import SIGNALS, caught_signals


class AsEver(Exception):
    """What a signal does that nobody notes."""


def send(number):
    """Signal this process, and let Python see it."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.fixture(autouse=True)
def interrupts():
    """Without anybody who notes them, signals raise AsEver."""

    def interrupt(number, _):
        raise AsEver

    previous = {number: signal.signal(number, interrupt) for number in SIGNALS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_program_goes_on(number):
    with caught_signals() as caught:
        send(number)
    assert caught == [number]
    with pytest.raises(AsEver):
        send(number)


def test_a_signal_that_is_sent_twice_at_once_is_one():
    with caught_signals() as caught:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)
    assert set(caught) == {signal.SIGTERM, signal.SIGINT}


def test_a_second_signal_later_is_as_ever(monkeypatch):
    monkeypatch.setattr(stopping, "SAME_S", 0.05)
    with caught_signals() as caught:
        send(signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(AsEver):
            send(signal.SIGTERM)
    assert caught == [signal.SIGTERM]


def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with caught_signals() as caught:
        send(signal.SIGHUP)
    assert caught == []
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
