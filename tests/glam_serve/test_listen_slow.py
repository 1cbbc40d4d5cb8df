"""Connections that say nothing, or byte by byte: they hold no place, and they end."""

import logging
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification

from glam_serve.listen import limits
from glam_serve.listen.limits import Limits
from tests.glam_serve.test_listen import Listening
from tests.samples.senders import associate, send

REQUEST = struct.pack(">BBL", 1, 0, 200)
"""The beginning of an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
DATA = struct.pack(">BBL", 4, 0, 10_000)
"""The beginning of a P-DATA-TF (PS3.8 9.3.5)."""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    running = Listening(tmp_path / "out", Limits(associations=1))
    yield running
    running.close()


def connected(listening: Listening, content: bytes = b"") -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", listening.port), timeout=10)
    raw.sendall(content)
    return raw


def seconds_to_its_end(raw: socket.socket, *, most_s: float = 10.0) -> float:
    """How long a connection lives that gets a byte every 50 ms."""
    begin = time.monotonic()
    raw.settimeout(0.05)
    while time.monotonic() - begin < most_s:
        try:
            raw.sendall(b"\0")
            if raw.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begin


def test_who_has_not_said_who_it_is_takes_no_place(listening: Listening, mammograms: dict[str, Path]):
    silent = [connected(listening), connected(listening, REQUEST)]
    assert send(listening.port, mammograms["L_CC"]) == [0]
    for raw in silent:
        raw.close()


def test_who_was_refused_and_stays_takes_no_place(listening: Listening, mammograms: dict[str, Path]):
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "STRANGER", "GLAM"
    context = build_context("1.2.840.10008.1.1")
    context.context_id = 1
    asked.presentation_context_definition_list = [context]
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    asked.user_information = [length]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(asked)
    strangers = [connected(listening, request.encode()) for _ in range(3)]
    assert [raw.recv(1)[0] for raw in strangers] == [3, 3, 3]  # A-ASSOCIATE-RJ
    assert send(listening.port, mammograms["L_CC"]) == [0]
    for raw in strangers:
        raw.close()


def test_a_request_that_comes_byte_by_byte_ends_in_time(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(limits, "REQUEST_S", 0.5)
    with connected(listening, REQUEST) as raw:
        assert seconds_to_its_end(raw) < 5
    assert "does not say in time who it is" in caplog.text


def test_an_image_that_comes_byte_by_byte_ends_in_time(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(limits, "SILENCE_S", 0.5)
    sender = associate(listening.port)
    raw = sender.dul.socket.socket
    raw.sendall(DATA)
    assert seconds_to_its_end(raw) < 5
    assert "its sender is too slow" in caplog.text
    sender.abort()
    raw.close()


def test_an_image_may_take_longer_than_a_pause(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    """What has come already buys time: a narrow line is no fault."""
    budget = limits.Budget()
    budget.accept()
    monkeypatch.setattr(limits, "SILENCE_S", 0.05)
    budget.left_s()
    budget.take(10 * limits.LEAST_BYTES_A_S)
    time.sleep(0.1)
    assert budget.left_s() == 0.05


def test_connections_without_a_name_are_few(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MOST_NAMELESS", 3)
    many = [connected(listening) for _ in range(5)]
    end = time.monotonic() + limits.REQUEST_S / 2
    while len(select.select(many, [], [], 0)[0]) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    ended = select.select(many, [], [], 0)[0]
    assert [raw.recv(1) for raw in ended] == [b"", b""]
    assert send(listening.port, mammograms["L_CC"]) == [0]
    for raw in many:
        raw.close()


def test_connections_that_ended_are_not_counted(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """As those of what looks every few seconds whether the port is open."""
    monkeypatch.setattr(limits, "MOST_NAMELESS", 3)
    for _ in range(8):
        raw = connected(listening)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(1) == b""
        raw.close()
    assert "a connection is closed" not in caplog.text


def test_echoes_keep_an_association(listening: Listening, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SILENCE_S", 0.6)
    sender = associate(listening.port)
    for _ in range(5):
        assert sender.send_c_echo().Status == 0
        time.sleep(0.2)
    sender.release()
