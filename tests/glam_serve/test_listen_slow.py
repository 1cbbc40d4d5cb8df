"""Connections that say nothing, or byte by byte: they hold no place, and they end."""

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification

from glam_serve.listen import limits, receive
from glam_serve.listen.limits import Limits
from tests.glam_serve.test_listen import Listening
from tests.samples.senders import associate, send

ELSEWHERE = "127.0.0.2"
"""Another address of this machine."""
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


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Listening]:
    running = Listening(tmp_path / "out", Limits(associations=4))
    yield running
    running.close()


def test_a_sender_that_holds_what_it_may_and_says_nothing_keeps_no_other_out(
    shared: Listening, mammograms: dict[str, Path], caplog: pytest.LogCaptureFixture
):
    held = [associate(shared.port) for _ in range(9)]
    assert [sender.is_established for sender in held] == [True, True] + 7 * [False]
    assert held[-1].acceptor.primitive.diagnostic == 2  # local-limit-exceeded, PS3.8 9.3.4
    assert send(shared.port, mammograms["L_CC"], title="MAMMO2", address=ELSEWHERE) == [0]
    assert "an association of 'MAMMO1' is refused: its AE title has its --limits.sender-share" in caplog.text
    held[0].release()
    assert send(shared.port, mammograms["L_MLO"]) == [0]
    held[1].abort()


def test_a_share_is_of_an_address_whatever_its_titles_and_of_a_title_wherever_it_is(
    shared: Listening, caplog: pytest.LogCaptureFixture
):
    held = [associate(shared.port, title=title) for title in ("MAMMO1", "MAMMO2")]
    assert all(sender.is_established for sender in held)
    assert associate(shared.port, title="MAMMO2").is_rejected
    assert "an association of 'MAMMO2' is refused: its address has its --limits.sender-share" in caplog.text
    held.append(associate(shared.port, title="MAMMO2", address=ELSEWHERE))
    assert held[-1].is_established
    assert associate(shared.port, title="MAMMO2", address="127.0.0.3").is_rejected
    for sender in held:
        sender.release()


def test_who_is_refused_by_its_title_takes_nothing_of_the_share_of_its_address(
    shared: Listening, mammograms: dict[str, Path]
):
    assert [associate(shared.port, title="STRANGER").is_rejected for _ in range(4)] == 4 * [True]
    held = [associate(shared.port) for _ in range(2)]
    assert all(sender.is_established for sender in held)
    for sender in held:
        sender.release()


def test_associations_that_come_at_once_get_the_whole_share(shared: Listening):
    senders = list[Any]()
    threads = [threading.Thread(target=lambda: senders.append(associate(shared.port))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sender.is_established for sender in senders) == 4 * [False] + 2 * [True]
    for sender in senders:
        sender.abort()


@pytest.mark.parametrize(("associations", "share", "most"), [(4, 0.5, 2), (1, 0.5, 1), (4, 0.1, 1), (4, 1, 4)])
def test_a_share_is_one_association_at_least(associations: int, share: float, most: int):
    assert Limits(associations=associations, sender_share=share).associations_of_one == most


def test_an_association_that_says_nothing_ends_and_leaves_its_place(
    tmp_path: Path, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(receive, "SILENCE_S", 1.0)
    listening = Listening(tmp_path / "out", Limits(associations=1))
    held = associate(listening.port)
    assert held.is_established
    held.join(20)
    assert held.is_aborted
    assert send(listening.port, mammograms["L_CC"]) == [0]
    listening.close()
