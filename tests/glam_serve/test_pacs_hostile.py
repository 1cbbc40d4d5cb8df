"""Services that answer late, in part or wrongly: an error row of the image, or the end of the run."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam.reading.source import MAX_BYTES
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.pacs import connection, survey
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.answer import Patience
from tests.samples.pacs import MULTIPART, Asked, Reply, StandIn, multipart, stand_in, study_of
from tests.samples.pacs_cohorts import cohort, hurried_pacs, item_of, many, read


@pytest.fixture
def pacs(mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with hurried_pacs(mammograms, monkeypatch) as running:
        yield running


def spoil_cc(pacs: StandIn, reply: Reply, *, times: int = 1000) -> None:
    """Answer so where the CC view is asked for, the first times."""
    path = item_of(pacs).images[0].path
    pacs.rule = lambda asked: reply if asked.path == path and asked.before < times else None


def content_of_cc(pacs: StandIn) -> bytes:
    return pacs.contents[pacs.headers[0].SOPInstanceUID]


CUT = Reply(body=b"--the", content_type=MULTIPART, length=90_000)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, headers={"Retry-After": "0"}),
        Reply(429),
        Reply(503, headers={"Retry-After": "Fri, 27 Nov 2020 10:00:00 GMT"}),
        Reply(503, headers={"Retry-After": "soon"}),
        Reply(500),
        CUT,
        Reply(body=b"", content_type=MULTIPART),
        Reply(body=b"--the boundary\r\n", content_type=MULTIPART, length=-1),
        Reply(is_reset=True),
        Reply(204),
    ],
)
def test_what_is_better_the_next_time_is_asked_for_again(pacs: StandIn, reply: Reply):
    spoil_cc(pacs, reply, times=2)
    assert read(pacs).problems == ()
    assert len(pacs.fetched()) == 4


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404), "pacs_missing"),
        (Reply(410), "pacs_missing"),
        (Reply(403), "pacs_forbidden"),
        (Reply(401), "pacs_forbidden"),
        (Reply(406), "pacs_refused"),
        (Reply(302, headers={"Location": "http://127.0.0.1:1/"}), "pacs_refused"),
        (Reply(500), "pacs_failed"),
        (CUT, "pacs_cut"),
        (Reply(is_reset=True), "pacs_cut"),
        (Reply(body=b"<html>", content_type="text/html"), "pacs_malformed"),
        (Reply(body=multipart(b"x") + multipart(b"y"), content_type="multipart/related"), "pacs_malformed"),
        (Reply(body=multipart(b"x"), content_type=MULTIPART, headers={"Content-Encoding": "gzip"}), "pacs_malformed"),
        (Reply(body=multipart(b"no DICOM"), content_type=MULTIPART), "not_dicom"),
        (Reply(body=b"", content_type=MULTIPART, length=MAX_BYTES + 1), "too_large"),
        (Reply(body=b"--the boundary\r\n\r\n", content_type=MULTIPART, is_endless=True), "too_large"),
    ],
)
def test_an_image_that_is_at_fault_is_an_error_row_and_the_other_one_is_used(pacs: StandIn, reply: Reply, code: str):
    spoil_cc(pacs, reply)
    prepared = read(pacs, timeout_s=20)
    (problem,) = prepared.problems
    assert (problem.image_id, problem.code) == (pacs.headers[0].SOPInstanceUID, code)
    assert problem.stage == ("read" if code == "not_dicom" else "fetch")
    assert list(prepared.used.values()) == [pacs.headers[1].SOPInstanceUID]


def test_another_image_than_was_asked_for_is_refused(pacs: StandIn):
    other = pacs.contents[pacs.headers[1].SOPInstanceUID]
    spoil_cc(pacs, Reply(body=multipart(other), content_type=MULTIPART))
    assert [problem.code for problem in read(pacs).problems] == ["pacs_other_image"]


def test_a_bare_file_is_taken(pacs: StandIn):
    spoil_cc(pacs, Reply(body=content_of_cc(pacs), content_type="application/dicom"))
    assert len(read(pacs).used) == 2


def test_a_service_that_says_nothing_for_one_image_costs_that_image(pacs: StandIn):
    path = item_of(pacs).images[0].path

    def hang(asked: Asked) -> Reply | None:
        if asked.path == path:
            time.sleep(1.5)
        return None

    pacs.rule = hang
    assert [problem.code for problem in read(pacs, timeout_s=4).problems] == ["pacs_slow"]


def test_more_time_has_a_silent_archive_waited_for(pacs: StandIn):
    """As the sentence of pacs_slow says."""
    path = item_of(pacs).images[0].path

    def fetch_from_tape(asked: Asked) -> Reply | None:
        if asked.path == path:
            time.sleep(0.6)
        return None

    pacs.rule = fetch_from_tape
    assert read(pacs, timeout_s=20).problems == ()
    assert len(pacs.fetched()) == 2


def test_an_answer_that_is_whole_is_not_too_late(pacs: StandIn):
    def late(asked: Asked) -> Reply | None:
        time.sleep(0.25)
        return Reply(body=b"[]")

    pacs.rule = late
    patience = Patience(deadline=time.monotonic() + 0.1, stop=threading.Event())
    access = connection.Connection(PacsAccess(url=pacs.url))
    answer = access.ask("/studies", lambda answer: answer.body, accept=connection.JSON_TYPES, patience=patience)
    assert answer == b"[]"


def test_an_older_service_that_knows_no_transfer_syntax_parameter_is_asked_without_it(pacs: StandIn):
    pacs.rule = lambda asked: Reply(406) if "transfer-syntax" in asked.headers.get("Accept", "") else None
    assert read(pacs).problems == ()


def test_headers_that_do_not_read_have_no_address_in_the_log(pacs: StandIn, caplog: pytest.LogCaptureFixture):
    bare = {"body": content_of_cc(pacs), "content_type": "application/dicom"}
    spoil_cc(pacs, Reply(headers={"X-Strange": "1\r\nno colon in this line"}, **bare))
    assert read(pacs).problems == ()
    assert pacs.headers[0].SOPInstanceUID not in caplog.text


def test_a_length_of_five_thousand_digits_is_none(pacs: StandIn):
    spoil_cc(
        pacs,
        Reply(
            body=content_of_cc(pacs),
            content_type="application/dicom",
            headers={"Content-Length": "9" * 5000},
            length=-1,
        ),
    )
    assert [problem.code for problem in read(pacs).problems] == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(401), "refuses the credentials"),
        (Reply(503), "is busy or down"),
        (Reply(429, headers={"Retry-After": "3600"}), "is busy"),
        (Reply(404), "answers no question"),
        (Reply(body=b"<html>", content_type="text/html"), "answers no question"),
        (Reply(is_reset=True), "breaks the connection off"),
    ],
)
def test_a_service_that_answers_nothing_ends_the_run(pacs: StandIn, reply: Reply, message: str):
    pacs.rule = lambda asked: reply
    with pytest.raises(SourceGoneError, match=message):
        read(pacs, timeout_s=1)


def test_a_service_that_is_gone_ends_the_run(mammograms: dict[str, Path]):
    with stand_in([mammograms["L_CC"], mammograms["L_MLO"]]) as running:
        pass
    with pytest.raises(SourceGoneError, match=r"cannot be reached \(Connection refused\)"):
        read(running, timeout_s=0.2)


def test_a_service_that_is_slow_to_answer_its_first_question_is_asked_on(
    pacs: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survey, "FIRST_ANSWER_S", 0.1)

    def slow(asked: Asked) -> Reply | None:
        if asked.path == "/studies":
            time.sleep(0.2)
            return Reply(body=pacs.page([study_of(pacs.headers[0], 2)], asked).body, length=-1)
        return None

    pacs.rule = slow
    assert len(cohort(pacs, tmp_path).images) == 2


def test_a_service_that_refuses_a_question_without_a_filter_is_asked_none(pacs: StandIn, tmp_path: Path):
    pacs.rule = lambda asked: (
        Reply(400) if asked.path == "/studies" and "ModalitiesInStudy" not in asked.parameters else None
    )
    assert len(cohort(pacs, tmp_path).images) == 2
    spoiled = item_of(pacs).images[0].path
    pacs.rule = lambda asked: (
        Reply(400)
        if asked.path == spoiled or (asked.path == "/studies" and "ModalitiesInStudy" not in asked.parameters)
        else None
    )
    assert [problem.code for problem in read(pacs).problems] == ["pacs_refused"]


def test_an_address_where_nothing_listens_is_told_at_once(
    mammograms: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survey, "FIRST_ANSWER_S", 0.5)
    with stand_in([mammograms["L_CC"]]) as running:
        pass
    start = time.monotonic()
    with pytest.raises(SourceGoneError):
        cohort(running, tmp_path, timeout_s=600)
    assert time.monotonic() - start < 20


def test_a_run_that_is_told_to_stop_waits_for_no_service(pacs: StandIn, tmp_path: Path):
    stop = threading.Event()

    def busy(asked: Asked) -> Reply | None:
        if asked.path.endswith("/metadata"):
            stop.set()
            return Reply(503, headers={"Retry-After": "60"})
        return None

    pacs.rule = busy
    with pytest.raises(InterruptedRun):
        cohort(pacs, tmp_path, timeout_s=600, stop=stop)


def test_a_service_that_goes_down_while_many_studies_are_looked_up_is_waited_for_once(pacs: StandIn, tmp_path: Path):
    matches = many(pacs, 60)
    pacs.rule = lambda asked: (
        None if asked.parameters.get("limit") == "1" and not asked.before else
        pacs.page(matches, asked) if asked.parameters.get("limit") == "200" and asked.path == "/studies" else Reply(503)
    )  # fmt: skip
    start = time.monotonic()
    with pytest.raises(SourceGoneError):
        cohort(pacs, tmp_path, timeout_s=1)
    assert time.monotonic() - start < 8
