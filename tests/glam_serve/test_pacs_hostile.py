"""Services that answer late, in part, wrongly or without an end: an error row, or the end of the run."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam.config import FrameConfig
from glam.reading.source import MAX_BYTES
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.embed import Cohort
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.cohort.items import ImageRow, Item, PreparedItem
from glam_serve.pacs import connection, query, survey
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.answer import Patience
from glam_serve.pacs.cohort import pacs_cohort
from glam_serve.pacs.fetch import PacsItems
from glam_serve.pacs.survey import PacsQuery
from tests.samples.pacs import MULTIPART, Asked, Reply, StandIn, multipart, stand_in, study_of

SALT = bytes(32)


@pytest.fixture
def pacs(mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(connection, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(connection, "SILENCE_S", 0.3)
    with stand_in([mammograms["L_CC"], mammograms["L_MLO"]]) as running:
        yield running


def cohort(pacs: StandIn, store: Path, *, timeout_s: float = 5.0, stop: threading.Event | None = None) -> Cohort:
    asked = PacsQuery(access=PacsAccess(url=pacs.url), filters=[{"ModalitiesInStudy": "MG"}], timeout_s=timeout_s)
    return pacs_cohort(asked, store, SALT, level="breast", stop=stop or threading.Event(), writes=False)


def item_of(pacs: StandIn) -> Item:
    """The left breast, whose CC comes first."""
    rows = [
        ImageRow(
            header.SOPInstanceUID,
            f"/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}/instances/{header.SOPInstanceUID}",
            *("L", view),
            None,
            "2D",
        )
        for header, view in zip(pacs.headers, ("CC", "MLO"), strict=True)
    ]
    return Item(("exam", "L"), "patient", tuple(rows))


def read(pacs: StandIn, *, timeout_s: float = 5.0) -> PreparedItem:
    return PacsItems(access=PacsAccess(url=pacs.url), config=FrameConfig(size=126), timeout_s=timeout_s)(item_of(pacs))


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


def many(pacs: StandIn, count: int) -> list[dict]:
    """So many studies, of which each has the images of the one."""
    matches = []
    for number in range(count):
        match = json.loads(json.dumps(study_of(pacs.headers[0], 2)))
        match["0020000D"]["Value"] = [f"1.2.{number}"]
        matches.append(match)
    return matches


def page(matches: list[dict]) -> Reply:
    return Reply(body=json.dumps(matches).encode()) if matches else Reply(204)


def found_in(pacs: StandIn) -> list[query.StudyMatch]:
    access = connection.Connection(PacsAccess(url=pacs.url))
    return list(
        query.studies(access, {}, lambda: connection.Patience(deadline=time.monotonic() + 9, stop=threading.Event()))
    )


def listed(pacs: StandIn) -> int:
    uids = [match.uid for match in found_in(pacs)]
    assert len(set(uids)) == len(uids)
    return len(uids)


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 450])
def test_all_pages_are_asked_for(pacs: StandIn, count: int):
    matches = many(pacs, count)
    pacs.rule = lambda asked: pacs.page(matches, asked)
    assert listed(pacs) == count


@pytest.mark.parametrize("count", [1, 199, 450])
def test_a_service_that_knows_no_limit_and_no_offset_is_asked_once_more_and_not_for_ever(pacs: StandIn, count: int):
    matches = many(pacs, count)
    pacs.rule = lambda asked: page(matches)
    assert listed(pacs) == count
    assert len(pacs.asked) == 2


def test_short_pages_and_studies_that_come_twice_are_no_end(pacs: StandIn):
    matches = [match for match in many(pacs, 30) for _ in range(2)]
    pacs.rule = lambda asked: page(matches[int(asked.parameters["offset"]) :][:7])
    assert listed(pacs) == 30


@pytest.mark.parametrize(("most", "headers"), [(200, {}), (50, {"Warning": '299 pacs "150 more results"'})])
def test_a_service_that_keeps_matches_back_is_refused(pacs: StandIn, most: int, headers: dict[str, str]):
    matches = many(pacs, 300)[:most]
    pacs.rule = lambda asked: Reply(body=json.dumps(matches).encode(), headers=headers)
    with pytest.raises(query.PacsRefusal, match="--query"):
        listed(pacs)


def test_a_service_that_does_not_count_images_does_not_make_the_catalogue_grow(pacs: StandIn, tmp_path: Path):
    pacs.rule = lambda asked: (
        pacs.page([{"0020000D": study_of(pacs.headers[0], 2)["0020000D"]}], asked) if asked.path == "/studies" else None
    )
    for _ in range(3):
        asked = PacsQuery(access=PacsAccess(url=pacs.url), filters=[{"ModalitiesInStudy": "MG"}], timeout_s=5)
        pacs_cohort(asked, tmp_path, SALT, level="breast", stop=threading.Event(), writes=True)
    assert len((tmp_path / ".pacs").read_bytes().splitlines()) == 1


def test_a_catalogue_that_was_deleted_is_made_again(pacs: StandIn, tmp_path: Path):
    asked = PacsQuery(access=PacsAccess(url=pacs.url), filters=[{"ModalitiesInStudy": "MG"}], timeout_s=5)
    for _ in range(2):
        found = pacs_cohort(asked, tmp_path, SALT, level="breast", stop=threading.Event(), writes=True)
        assert found.locate is not None
        assert {found.locate(path) for path in found.images["path"]} == {row.path for row in item_of(pacs).images}
        (tmp_path / ".pacs").unlink()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[[]]",
        b"[" * 100_000,
    ],
)
def test_matches_that_are_none_are_refused(pacs: StandIn, body: bytes, tmp_path: Path):
    pacs.rule = lambda asked: Reply(body=body) if asked.parameters.get("offset") else None
    with pytest.raises(ValueError, match="pacs_malformed"):
        cohort(pacs, tmp_path)


BAD_ROWS = [{}, *({"0020000D": {"vr": "UI", "Value": [uid]}} for uid in ("../../x", "..", "", "1.2/../3", 7.5e300))]


def test_a_match_without_a_uid_costs_that_row_and_is_told(pacs: StandIn, tmp_path: Path):
    matches = [*BAD_ROWS, study_of(pacs.headers[0], 2), *BAD_ROWS]
    pacs.rule = lambda asked: pacs.page(matches, asked) if asked.path == "/studies" else None
    found = cohort(pacs, tmp_path)
    assert len(found.images) == 2
    assert [problem.code for problem in found.rejected] == ["pacs_bad_uid"] * len(BAD_ROWS)
    assert cohort(pacs, tmp_path).rejected == found.rejected
    assert not [asked.path for asked in pacs.asked if ".." in asked.path]


def test_pages_of_matches_without_a_uid_are_no_end(pacs: StandIn):
    matches = [{"00080050": {"vr": "SH", "Value": [str(number)]}} for number in range(14)] + many(pacs, 7)
    pacs.rule = lambda asked: page(matches[int(asked.parameters["offset"]) :][:7])
    assert len(found_in(pacs)) == 21


def test_a_series_without_a_uid_costs_that_series(pacs: StandIn, tmp_path: Path):
    def also(asked: Asked) -> Reply | None:
        if not asked.path.endswith("/series"):
            return None
        series = [{"0020000E": {"vr": "UI", "Value": [uid]}} for uid in ("..", pacs.headers[0].SeriesInstanceUID)]
        return pacs.page(series, asked)

    pacs.rule = also
    found = cohort(pacs, tmp_path)
    assert "CC" in set(found.images["view"])
    assert [problem.code for problem in found.rejected] == ["pacs_bad_uid"]


UID_ALONE = {"vr": "UI", "Value": ["1.2"]}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "pacs_bad_uid"),
        ({"00080018": "x"}, "pacs_bad_uid"),
        ({"00080018": {"vr": "UI", "Value": ["../1"]}}, "pacs_bad_uid"),
        ({"00080018": UID_ALONE, "00080016": {"vr": "??", "Value": 3}}, "pacs_malformed"),
    ],
)
def test_headers_that_do_not_read_cost_their_images(pacs: StandIn, header: dict, code: str, tmp_path: Path):
    def also(asked: Asked) -> Reply | None:
        if not asked.path.endswith("/metadata"):
            return None
        return Reply(body=json.dumps([pacs.headers[0].to_json_dict(), header]).encode())

    pacs.rule = also
    found = cohort(pacs, tmp_path)
    assert (len(found.images), {problem.code for problem in found.rejected}) == (1, {code})


def test_an_image_that_two_series_list_is_fetched_from_the_first_whose_header_was_read(pacs: StandIn, tmp_path: Path):
    first, second = pacs.headers[0].to_json_dict(), pacs.headers[1].to_json_dict()
    second["00080018"] = first["00080018"]  # another view under the same name
    series = [{"0020000E": {"vr": "UI", "Value": [uid]}} for uid in ("1.1", "1.2")]

    def twice(asked: Asked) -> Reply | None:
        if asked.path.endswith("/series"):
            return pacs.page(series, asked)
        shown = {"1.1": first, "1.2": second}
        parts = asked.path.split("/")
        return Reply(body=json.dumps([shown[parts[4]]]).encode()) if parts[-1] == "metadata" else None

    pacs.rule = twice
    found = cohort(pacs, tmp_path)
    assert (found.images["view"].tolist(), [problem.code for problem in found.rejected]) == (["CC"], ["duplicate"])
    assert found.locate is not None
    assert "/series/1.1/" in found.locate(found.images["path"][0])


def test_an_image_that_two_studies_have_is_fetched_from_the_one_that_was_taken(pacs: StandIn, tmp_path: Path):
    matches = many(pacs, 2)
    pacs.rule = lambda asked: pacs.page(matches, asked) if asked.path == "/studies" else None
    found = cohort(pacs, tmp_path)
    assert [problem.code for problem in found.rejected] == ["duplicate"] * 2
    assert found.locate is not None
    assert {found.locate(path).split("/")[2] for path in found.images["path"]} == {"1.2.0"}


def test_a_number_that_two_issuers_gave_is_one_patient_and_that_is_told(
    pacs: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    headers = [header.to_json_dict() for header in pacs.headers]
    pacs.rule = lambda asked: Reply(body=json.dumps(headers).encode()) if asked.path.endswith("/metadata") else None
    for issuer in ("EAST", None, "WEST"):
        headers[0]["00100021"] = {"vr": "LO", "Value": ["EAST"]}
        headers[1]["00100021"] = {"vr": "LO", "Value": [issuer] if issuer else []}
        assert cohort(pacs, tmp_path).images["patient_id"].nunique() == 1
        told = capsys.readouterr().err
        assert ("numbers that two issuers gave, each taken for one patient: 1;" in told) == (issuer == "WEST")
        assert "EAST" not in told


def test_a_number_that_is_none_does_not_cost_its_image(pacs: StandIn, tmp_path: Path):
    headers = [header.to_json_dict() | {"00180060": {"vr": "DS", "Value": ["29,5"]}} for header in pacs.headers]
    pacs.rule = lambda asked: Reply(body=json.dumps(headers).encode()) if asked.path.endswith("/metadata") else None
    assert len(cohort(pacs, tmp_path).images) == 2


def test_studies_that_fail_are_told_and_the_others_are_taken(pacs: StandIn, tmp_path: Path):
    own = str(pacs.headers[0].StudyInstanceUID)
    matches = [*many(pacs, 1), study_of(pacs.headers[0], 2)]
    pacs.rule = lambda asked: (
        pacs.page(matches, asked) if asked.path == "/studies" else Reply(500) if own not in asked.path else None
    )
    found = cohort(pacs, tmp_path)
    assert [problem.code for problem in found.rejected] == ["pacs_failed"]
    assert sorted(found.images["view"]) == ["CC", "MLO"]


def test_no_view_and_no_side_need_to_be_in_the_answers_to_queries(pacs: StandIn, tmp_path: Path):
    found = cohort(pacs, tmp_path)
    assert sorted(zip(found.images["laterality"], found.images["view"], strict=True)) == [("L", "CC"), ("L", "MLO")]
    assert not any("/instances" in asked.path for asked in pacs.asked)
