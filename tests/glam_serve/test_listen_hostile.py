"""Studies and servers that would hold up, lose or misjudge what others send."""

import logging
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from glam.client import ServerError
from glam_serve.listen import answer, receive
from glam_serve.listen.answer import Answerer, choose
from glam_serve.listen.command import Listen, _is_private, _locked
from glam_serve.listen.limits import Limits
from tests.glam_serve.test_listen import Listening, Model
from tests.samples.senders import associate, send


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    running = Listening(tmp_path / "out")
    yield running
    running.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "FIRST_WAIT_S", 0.0)


def unhurried(listening: Listening, model: Model) -> Answerer:
    """What answers without a pause after a refusal."""
    answerer = listening.answerer(model)
    answerer._wait_s = 0.0
    return answerer


def of_another_study(path: Path) -> Dataset:
    dataset = dcmread(path)
    dataset.StudyInstanceUID = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return dataset


def states(listening: Listening) -> list[str]:
    return [study.state for study in listening.worklist.studies()]


class Poisoned(Model):
    """A server that can never answer about studies of two images."""

    def predict_exam(self, images, **options):
        if len(images) == 2:
            self.asked.append(2)
            raise self.refusals[0]
        return super().predict_exam(images, **options) if not self.refusals else Model().predict_exam(images)


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_study_that_is_always_put_off_does_not_hold_up_the_others(
    listening: Listening, mammograms: dict[str, Path], status: int
):
    answerer = unhurried(listening, Poisoned(refusals=[ServerError(status, "busy", "later")]))
    send(listening.port, mammograms["L_CC"], mammograms["L_MLO"])
    send(listening.port, of_another_study(mammograms["L_CC"]))
    for _ in range(2):
        answerer.look()
    assert states(listening) == ["receiving", "answered"]


def test_a_study_that_ends_the_worker_of_the_server_is_given_up(listening: Listening, mammograms: dict[str, Path]):
    model = Model(refusals=[ServerError(503, "worker_lost", "ended")] * 9)
    answerer = unhurried(listening, model)
    send(listening.port, mammograms["L_CC"])
    for _ in range(5):
        answerer.look()
    assert (len(model.asked), states(listening)) == (3, ["failed"])


@pytest.mark.parametrize("status", [200, 400, 404, 405])
def test_an_address_where_something_else_answers_is_no_fault_of_a_study(
    listening: Listening, mammograms: dict[str, Path], status: int
):
    answerer = unhurried(listening, Model(refusals=[ServerError(status, "not_glam", "a login page")] * 5))
    send(listening.port, mammograms["L_CC"])
    for _ in range(5):
        answerer.look()
    assert states(listening) == ["receiving"]
    answerer.look()
    assert states(listening) == ["answered"]


def test_a_proxy_for_which_a_study_is_too_large_is_its_result(listening: Listening, mammograms: dict[str, Path]):
    answerer = unhurried(listening, Model(refusals=[ServerError(413, "not_glam", "of a proxy")]))
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert states(listening) == ["failed"]


class Broken(Model):
    """A client with a fault of ours."""

    def predict_exam(self, images, **_):
        raise KeyError("SECRET^NAME")


def test_a_fault_of_ours_costs_its_study_and_is_told_without_what_it_quotes(
    listening: Listening, mammograms: dict[str, Path], caplog: pytest.LogCaptureFixture
):
    answerer = unhurried(listening, Broken())
    send(listening.port, mammograms["L_CC"])
    for _ in range(3):
        answerer.look()
    assert listening.result()["error"]["code"] == "internal_error"
    assert "internal_error: KeyError at" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_clock_that_is_set_back_holds_up_no_study(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    send(listening.port, mammograms["L_CC"])
    answerer = listening.answerer(Model(), answer.Times(quiet_s=0.05))
    time.sleep(0.1)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    answerer.look()
    assert states(listening) == ["answered"]


class Stopping(Model):
    """A client that is told to stop while it asks."""

    def predict_exam(self, images, **options):
        stopped.set()
        return super().predict_exam(images, **options)


stopped = threading.Event()


def test_a_listener_that_is_told_to_stop_asks_about_no_further_study(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answer, "POLL_S", 0.01)
    stopped.clear()
    for _ in range(3):
        send(listening.port, of_another_study(mammograms["L_CC"]))
    unhurried(listening, Stopping()).run(stopped)
    assert states(listening) == ["answered", "receiving", "receiving"]


class Answering(Model):
    """A server that answers with what no JSON can hold."""

    def predict_exam(self, images, **_):
        self.asked.append(len(images))
        return SimpleNamespace(raw={"probability": float("nan")})


def test_an_answer_that_is_no_number_costs_its_study_and_the_listener_goes_on(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answer, "POLL_S", 0.01)
    send(listening.port, mammograms["L_CC"])
    model, stop = Answering(), threading.Event()
    thread = threading.Thread(target=unhurried(listening, model).run, args=(stop,))
    thread.start()
    end = time.monotonic() + 20
    while states(listening) != ["failed"] and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert thread.is_alive()
    stop.set()
    thread.join()
    assert listening.result()["error"]["code"] == "not_finite"
    assert len(model.asked) == 3


@pytest.mark.parametrize("code", [["x"], {"a": float("nan")}, 7, "two\nlines", ""])
def test_an_error_whose_code_is_none_is_told_as_not_glam(
    listening: Listening, mammograms: dict[str, Path], code: Any, caplog: pytest.LogCaptureFixture
):
    refusal = ServerError(422, code, code, code)
    answerer = unhurried(listening, Model(refusals=[refusal]))
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert listening.result()["error"]["code"] == "not_glam"
    assert "two" not in caplog.text


def test_a_server_that_asks_to_wait_for_ever_is_asked_again(listening: Listening, mammograms: dict[str, Path]):
    refusal = ServerError(503, "busy", "later", retry_after_s=1e300)
    answerer = unhurried(listening, Model(refusals=[refusal]))
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert answerer._not_before - time.monotonic() <= answer.LONGEST_PUT_OFF_S


def test_a_fault_of_ours_in_reading_an_image_costs_that_image(
    mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    identify = answer.identify

    def identify_most(path: Path):
        if path == mammograms["L_CC"]:
            raise KeyError("SECRET^NAME")
        return identify(path)

    monkeypatch.setattr(answer, "identify", identify_most)
    chosen = choose({"1": mammograms["L_CC"], "2": mammograms["L_MLO"]})
    assert (chosen.images, chosen.left_out) == (["2"], {"1": "internal_error"})
    assert "SECRET" not in caplog.text


def test_a_file_that_the_disk_does_not_give_does_not_hold_up_other_studies(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    send(listening.port, mammograms["L_CC"])
    bad = listening.files()[0]
    send(listening.port, of_another_study(mammograms["L_CC"]))
    identify = answer.identify

    def identify_most(path: Path):
        if path == bad:
            raise OSError(5, "Input/output error")
        return identify(path)

    monkeypatch.setattr(answer, "identify", identify_most)
    answerer = unhurried(listening, Model())
    stop = threading.Event()
    monkeypatch.setattr(answer, "POLL_S", 0.01)
    thread = threading.Thread(target=answerer.run, args=(stop,))
    thread.start()
    end = time.monotonic() + 20
    while states(listening) != ["receiving", "answered"] and time.monotonic() < end:
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert states(listening) == ["receiving", "answered"]


def test_a_study_whose_folder_somebody_deleted_is_done(listening: Listening, mammograms: dict[str, Path]):
    send(listening.port, mammograms["L_CC"])
    shutil.rmtree(listening.files()[0].parent)
    unhurried(listening, Model()).look()
    assert states(listening) == ["failed"]
    assert listening.result()["error"]["code"] == "no_mammogram"


def test_who_is_refused_is_told(listening: Listening, caplog: pytest.LogCaptureFixture):
    assert associate(listening.port, title="MAMMO9").is_rejected
    assert "an association of 'MAMMO9' is refused" in caplog.text


def test_a_study_that_failed_is_asked_about_again_when_it_is_sent_again(
    listening: Listening, mammograms: dict[str, Path]
):
    model = Model(refusals=[ServerError(422, "not_a_mammogram", "x")])
    answerer = unhurried(listening, model)
    for state in ("failed", "answered", "answered"):
        assert send(listening.port, mammograms["L_CC"]) == [0]
        answerer.look()
        assert states(listening) == [state]
        assert listening.files() == []
    assert model.asked == [1, 1]


def test_images_that_were_deleted_are_taken_again_beside_a_late_one(listening: Listening, mammograms: dict[str, Path]):
    model = Model()
    answerer = unhurried(listening, model)
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert send(listening.port, mammograms["L_MLO"], mammograms["L_CC"]) == [0, 0]
    answerer.look()
    assert model.asked == [1, 2]
    assert listening.result()["images_gone"] == 0


def test_an_image_is_not_deleted_between_its_place_and_its_row(
    listening: Listening, mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    send(listening.port, mammograms["L_CC"])
    (study,) = listening.worklist.studies()
    listening.worklist.close_study(study, "answered", "")
    deleting: list[threading.Thread] = []

    def flush_and_delete(folder: Path) -> None:
        deleting.append(threading.Thread(target=listening.worklist.forget_files, args=(study,)))
        deleting[-1].start()
        deleting[-1].join(0.3)

    corrected = dcmread(mammograms["L_CC"])
    corrected.PatientComments = "corrected"
    with monkeypatch.context() as patched:
        patched.setattr(receive, "flush_folder", flush_and_delete)
        assert send(listening.port, corrected) == [0]
    for thread in deleting:
        thread.join()
    assert len(deleting) == 1
    assert len(listening.files()) == 1


def test_looking_for_work_reads_no_study_that_is_done(listening: Listening):
    queries: list[str] = []
    listening.worklist._database.set_trace_callback(queries.append)
    listening.worklist.at_rest(quiet_s=1.0)
    listening.worklist.done_with_files(before=1.0)
    listening.worklist._database.set_trace_callback(None)
    assert len(queries) == 2
    for query in queries:
        plan = [row[3] for row in listening.worklist._database.execute(f"explain query plan {query}")]
        assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], plan


def test_a_sender_that_keeps_its_association_open_does_not_keep_the_listener_from_ending(tmp_path: Path):
    running = Listening(tmp_path / "out")
    sender = associate(running.port)
    (association,) = running.server.ae.active_associations
    receive.end(running.server)
    association.dul.join(10)
    assert not association.dul.is_alive()
    running.worklist.close()
    sender.abort()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost:8000", "ftp://host", "http://", "http://h:x"])
def test_what_is_no_address_of_a_server_is_refused_before_anything_is_taken(tmp_path: Path, url: str):
    with pytest.raises(ValueError, match="--url takes an address"):
        Listen(out=tmp_path, peers=("MAMMO1",), url=url)._check()  # `run` would listen for ever if it were taken


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("HTTPS://glam.example", True),
        ("http://glam.example:8000", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_an_address_to_which_images_go_unencrypted_is_known(url: str, is_private: bool):
    assert _is_private(url) == is_private


def test_a_second_listener_in_a_folder_is_refused(tmp_path: Path):
    with _locked(tmp_path), pytest.raises(ValueError, match="another glam-serve listen"), _locked(tmp_path):
        pass
    with _locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"no database " * 100, b""])
def test_a_worklist_that_does_not_read_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "worklist.sqlite").write_bytes(content)
    with pytest.raises(ValueError, match="does not read as a worklist"):
        Listen(out=tmp_path, list=True).run()


def test_a_limit_above_the_largest_file_that_is_read_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="above 160"):
        Listen(out=tmp_path, peers=("MAMMO1",), limits=Limits(file_mb=161))._check()


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float):
    with pytest.raises(ValueError, match=r"--limits.sender-share .* is not above 0 and at most 1"):
        Listen(out=tmp_path, peers=("MAMMO1",), limits=Limits(sender_share=share))._check()


def test_the_log_says_nothing_of_who_is_put_off(
    listening: Listening, mammograms: dict[str, Path], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    answerer = unhurried(listening, Model(refusals=[ServerError(503, "busy", "later")]))
    send(listening.port, mammograms["L_CC"])
    answerer.look()
    assert str(dcmread(mammograms["L_CC"]).StudyInstanceUID) not in caplog.text
    assert "the server does not answer now: busy, status 503" in caplog.text
