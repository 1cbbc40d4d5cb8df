"""Images that come by C-STORE, from real senders, and what becomes of them."""

import errno
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, generate_uid

from glam.client import Client, ServerError
from glam.reading.kind import CT
from glam_serve.listen import answer, limits, receive
from glam_serve.listen.answer import Answerer, Times, choose
from glam_serve.listen.command import Listen
from glam_serve.listen.limits import Limits
from glam_serve.listen.receive import Receiver, adopt_strays, application_entity, start
from glam_serve.listen.worklist import STUDIES, Worklist
from tests.samples.senders import MG, SENDER, associate, send

AT_ONCE = Times(quiet_s=0.0, hold_s=0.0)


@dataclass(frozen=True, kw_only=True)
class Model(Client):
    """A server that answers with the number of images, or as it is told."""

    asked: list[int] = field(default_factory=list)
    refusals: list[ServerError] = field(default_factory=list)

    def is_ready(self) -> bool:
        return False

    def predict_exam(self, images: Sequence[Any], **_: Any) -> Any:
        self.asked.append(len(images))
        assert all(Path(image).exists() for image in images)
        if self.refusals:
            raise self.refusals.pop(0)
        return SimpleNamespace(raw={"images": len(images)})


class Listening:
    """A provider in this process."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        (folder / STUDIES).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limits = limits or Limits()
        self.worklist = Worklist(folder)
        self.strays = adopt_strays(self.worklist, folder / STUDIES)
        self.receiver = Receiver(folder, self.worklist, self.limits)
        entity = application_entity("GLAM", [SENDER, "MAMMO2"], self.limits)
        self.server = start(entity, ("127.0.0.1", 0), self.receiver, self.limits)
        self.port = self.server.server_address[1]

    def close(self) -> None:
        self.server.shutdown()
        self.worklist.close()

    def answerer(self, model: Model, times: Times = AT_ONCE) -> Answerer:
        return Answerer(self.worklist, model, times)

    def result(self) -> dict:
        (path,) = self.folder.glob(f"{STUDIES}/*/result.json")
        return json.loads(path.read_text())

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.dcm"))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    running = Listening(tmp_path / "out")
    yield running
    running.close()


def storescu(port: int, folder: Path, *, called: str = "GLAM", title: str = SENDER) -> int:
    """Exit code of pynetdicom's program, which sends a folder."""
    command = [sys.executable, "-m", "pynetdicom", "storescu", "127.0.0.1", str(port), folder, "-r", "-q"]
    return subprocess.run([*command, "-aec", called, "-aet", title], check=False, timeout=60).returncode


def test_a_study_that_a_real_sender_sends_is_answered_once_and_its_images_are_deleted(
    listening: Listening, mammograms: dict[str, Path], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    assert storescu(listening.port, mammograms["L_CC"].parent) == 0
    assert len(listening.files()) == 4
    assert {path.stat().st_mode & 0o777 for path in listening.files()} == {0o600}
    model = Model()
    answerer = listening.answerer(model)
    answerer.look()
    answerer.look()
    assert model.asked == [4]
    result = listening.result()
    assert (result["answer"], result["error"], len(result["images"])) == ({"images": 4}, None, 4)
    assert listening.files() == []
    (study,) = listening.worklist.studies()
    assert (study.state, study.sender, study.answers) == ("answered", SENDER, 1)
    header = dcmread(mammograms["L_CC"])
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"):
        assert str(header[name].value) not in caplog.text
    assert SENDER in caplog.text


def test_an_echo_is_answered(listening: Listening):
    association = associate(listening.port)
    assert association.send_c_echo().Status == 0
    association.release()


@pytest.mark.parametrize("options", [{"title": "STRANGER"}, {"called": "OTHER"}])
def test_strangers_and_who_calls_another_are_refused(listening: Listening, options: dict):
    assert associate(listening.port, **options).is_rejected


def test_no_other_class_is_taken(listening: Listening, mammograms: dict[str, Path]):
    association = associate(listening.port, contexts=(CT,))
    assert not association.is_established
    volume = dcmread(mammograms["L_CC"])
    association = associate(listening.port)
    volume.SOPClassUID = UID(CT)
    volume.file_meta.MediaStorageSOPClassUID = UID(CT)
    assert _sent_as(association, volume, MG, volume.SOPInstanceUID) == receive.OTHER_CLASS
    association.release()
    assert listening.files() == []


def _sent_as(association: Any, dataset: Dataset, sop_class: str, image: str) -> int:
    """Status of a data set that goes under another class and name than those in it."""
    from io import BytesIO

    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.dsutils import encode

    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(sop_class), UID(image)
    request.DataSet = BytesIO(encode(dataset, False, True) or b"")
    association._reactor_checkpoint.clear()  # the reply is for us
    while not association._is_paused:
        time.sleep(0.01)
    context = next(entry for entry in association.accepted_contexts if entry.abstract_syntax == MG)
    association.dimse.send_msg(request, context.context_id)
    _, reply = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return reply.Status


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_a_header_that_names_a_place_outside_is_not_understood(
    listening: Listening, mammograms: dict[str, Path], keyword: str
):
    dataset = dcmread(mammograms["L_CC"])
    image = dataset.SOPInstanceUID
    dataset[keyword]._value = "../../../x"
    association = associate(listening.port)
    assert _sent_as(association, dataset, MG, image) == receive.NOT_UNDERSTOOD
    association.release()
    assert listening.files() == []


def test_an_image_that_is_too_large_is_refused(tmp_path: Path, mammograms: dict[str, Path]):
    running = Listening(tmp_path / "out", Limits(file_mb=1))
    try:
        assert send(running.port, mammograms["L_CC"]) == [receive.OUT_OF_RESOURCES]
        assert running.files() == []
    finally:
        running.close()


def test_a_sender_that_goes_on_for_ever_or_announces_too_much_is_cut_off(tmp_path: Path, mammograms: dict[str, Path]):
    running = Listening(tmp_path / "out", Limits(file_mb=1))
    try:
        large = dcmread(mammograms["L_CC"])
        large.PixelData = bytes(8_000_000)
        association = associate(running.port)
        ours = association.dul.socket.socket
        assert "Status" not in association.send_c_store(large)
        association.abort()
        ours.close()  # pynetdicom leaves one to the collector whose peer was the first to close it
        assert running.files() == []
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as raw:
            raw.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))
            assert raw.recv(100) == b""
    finally:
        running.close()


def test_one_association_more_than_allowed_is_refused(tmp_path: Path):
    running = Listening(tmp_path / "out", Limits(associations=1))
    try:
        first = associate(running.port)
        assert associate(running.port, title="MAMMO2").is_rejected
        first.release()
    finally:
        running.close()


def test_a_sender_over_its_rate_waits_and_then_is_refused(
    tmp_path: Path, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "LONGEST_DELAY_S", 0.1)
    running = Listening(tmp_path / "out", Limits(images_a_minute=1))
    try:
        assert send(running.port, mammograms["L_CC"], mammograms["L_MLO"]) == [0, receive.OUT_OF_RESOURCES]
        assert send(running.port, mammograms["R_CC"], title="MAMMO2") == [0]
    finally:
        running.close()


def test_a_full_disk_is_told_to_the_sender_and_leaves_nothing(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(receive.os, "fsync", full)
        assert send(listening.port, mammograms["L_CC"]) == [receive.OUT_OF_RESOURCES]
    assert listening.files() == list((listening.folder / "incoming").iterdir()) == []
    assert send(listening.port, mammograms["L_CC"]) == [0]


def test_an_image_that_comes_again_is_not_answered_again(listening: Listening, mammograms: dict[str, Path]):
    model = Model()
    answerer = listening.answerer(model)
    assert send(listening.port, mammograms["L_CC"]) == [0]
    answerer.look()
    assert send(listening.port, mammograms["L_CC"]) == [0]
    answerer.look()
    assert model.asked == [1]


def test_a_late_image_has_its_study_answered_again_with_those_that_are_still_there(
    listening: Listening, mammograms: dict[str, Path]
):
    model = Model()
    holding = listening.answerer(model, Times(quiet_s=0, hold_s=100))
    send(listening.port, mammograms["L_CC"])
    holding.look()
    send(listening.port, mammograms["L_MLO"])
    holding.look()
    assert model.asked == [1, 2]
    assert (listening.result()["is_late"], listening.result()["images_gone"]) == (True, 0)
    listening.answerer(model).look()  # deletes
    assert send(listening.port, mammograms["R_CC"]) == [0]
    listening.answerer(model).look()
    result = listening.result()
    assert (model.asked, result["answer_number"], result["images_gone"]) == ([1, 2, 1], 3, 2)
    earlier = sorted(path.name for path in listening.folder.glob(f"{STUDIES}/*/result*.json"))
    assert earlier == ["result-1.json", "result-2.json", "result.json"]


def test_a_study_is_asked_about_when_no_image_has_come_for_a_while(listening: Listening, mammograms: dict[str, Path]):
    model = Model()
    answerer = listening.answerer(model, Times(quiet_s=0.4))
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert model.asked == []
    time.sleep(0.5)
    answerer.look()
    assert model.asked == [1]


def test_a_server_that_does_not_answer_now_is_asked_later(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answer, "FIRST_WAIT_S", 0.0)
    model = Model(refusals=[ServerError(status, "x", "x") for status in (0, 503, 429, 401, 504)])
    answerer = listening.answerer(model)
    answerer._wait_s = 0.0
    send(listening.port, mammograms["L_CC"])
    for _ in range(5):
        answerer.look()
        assert listening.worklist.studies()[0].state == "receiving"
    answerer.look()
    assert listening.worklist.studies()[0].state == "answered"


@pytest.mark.parametrize(("status", "asked"), [(422, 1), (413, 1), (500, 3)])
def test_a_study_that_the_server_refuses_has_its_error_for_a_result(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch, status: int, asked: int
):
    model = Model(refusals=[ServerError(status, "truncated", "cut short", "images.1")] * asked)
    answerer = listening.answerer(model)
    answerer._wait_s = 0.0
    monkeypatch.setattr(answer, "FIRST_WAIT_S", 0.0)
    send(listening.port, mammograms["L_CC"])
    for _ in range(asked):
        answerer.look()
    assert len(model.asked) == asked
    assert listening.result()["error"] == {"code": "truncated", "message": "cut short", "where": "images.1"}
    (study,) = listening.worklist.studies()
    assert (study.state, study.code) == ("failed", "truncated")
    assert listening.files() == []


def test_a_study_that_a_ready_server_never_answers_is_given_up(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Model, "is_ready", lambda self: True)
    monkeypatch.setattr(answer, "FIRST_WAIT_S", 0.0)
    model = Model(refusals=[ServerError(0, "no_answer", "none")] * 3)
    answerer = listening.answerer(model)
    answerer._wait_s = 0.0
    send(listening.port, mammograms["L_CC"])
    for _ in range(3):
        answerer.look()
    assert listening.worklist.studies()[0].code == "no_answer"


def test_a_file_that_somebody_deleted_does_not_stop_the_others(listening: Listening, mammograms: dict[str, Path]):
    send(listening.port, mammograms["L_CC"], mammograms["L_MLO"])
    listening.files()[0].unlink()
    model = Model()
    listening.answerer(model).look()
    assert model.asked == [1]
    assert list(listening.result()["left_out"].values()) == ["missing_file"]


def test_what_a_kill_left_is_found_and_not_doubled(tmp_path: Path, mammograms: dict[str, Path]):
    first = Listening(tmp_path / "out")
    send(first.port, mammograms["L_CC"])
    (file,) = first.files()
    other = dcmread(mammograms["L_MLO"])
    (file.parent / f"{other.SOPInstanceUID}.dcm").write_bytes(mammograms["L_MLO"].read_bytes())  # no row of it yet
    (first.folder / "incoming" / "1.part").write_bytes(b"half")
    first.close()
    again = Listening(tmp_path / "out")
    try:
        assert again.strays == 1
        assert list((again.folder / "incoming").iterdir()) == []
        model = Model()
        again.answerer(model).look()
        assert model.asked == [2]
        assert len(again.worklist.studies()) == 1
    finally:
        again.close()


def test_an_image_that_comes_while_its_study_is_answered_has_it_answered_again(
    listening: Listening, mammograms: dict[str, Path]
):
    send(listening.port, mammograms["L_CC"])
    (study,) = listening.worklist.at_rest(quiet_s=0.0)
    send(listening.port, mammograms["L_MLO"])
    assert not listening.worklist.close_study(study, "answered", "")
    assert listening.worklist.studies()[0].state == "receiving"


def test_at_most_eight_images_are_asked_about_and_one_of_each_view_first(mammograms: dict[str, Path], tmp_path: Path):
    files = {f"1.{number}": mammograms["L_CC"] for number in range(9)} | {"2.1": mammograms["R_MLO"]}
    (tmp_path / "cut.dcm").write_bytes(mammograms["L_CC"].read_bytes()[:900])
    chosen = choose(files | {"3.1": tmp_path / "cut.dcm"})
    assert len(chosen.images) == 8
    assert {"1.0", "2.1"} <= set(chosen.images)
    assert chosen.left_out == {"1.7": "over_limit", "1.8": "over_limit", "3.1": "truncated"}


def test_nobody_may_send_unless_named_and_titles_are_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="--peers"):
        Listen(out=tmp_path).run()
    for title in ("", "  ", "TOO-LONG-BY-ONE-X", "BACK\\SLASH", "\u00c4"):
        with pytest.raises(ValueError, match="AE title"):
            application_entity("GLAM", [title], Limits())
    with pytest.raises(ValueError, match="no worklist"):
        Listen(out=tmp_path / "nothing", list=True).run()


def test_the_list_says_what_came_and_what_became_of_it(
    listening: Listening, mammograms: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    send(listening.port, mammograms["L_CC"])
    other = dcmread(mammograms["L_CC"])
    other.StudyInstanceUID = generate_uid()
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    listening.answerer(Model()).look()
    send(listening.port, other)
    Listen(out=listening.folder, list=True).run()
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["state"], entry["images"], entry["images_there"]) for entry in entries] == [
        ("answered", 1, 0),
        ("receiving", 1, 1),
    ]
