"""Services whose lists of studies, series and headers are cut, repeated, damaged or without an end."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam_serve.pacs import connection, query
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.cohort import pacs_cohort
from glam_serve.pacs.survey import PacsQuery
from tests.samples.pacs import Asked, Reply, StandIn, study_of
from tests.samples.pacs_cohorts import SALT, cohort, hurried_pacs, item_of, many


@pytest.fixture
def pacs(mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with hurried_pacs(mammograms, monkeypatch) as running:
        yield running


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
