"""Items that are tried again: what is better takes their place, nothing is lost, doubled or left half done."""

from pathlib import Path

import pytest

from glam.store import amend, write
from glam.store.amend import amend_shard, failed_items
from glam.store.planned import shard_marks
from glam.store.read import content_sha256, is_done, read_errors, read_rows
from glam.store.schema import Key, Problem, Row, ShardMark, StoreError
from glam.store.verify import verify_store
from glam.store.write import write_shard
from tests.samples.stores import RECORD, contents, plan_of, row_of, write_store

EXAMS = ["e1", "e2", "e3"]
KEY = ("e2", "L")


def failed(view: str, code: str = "pacs_failed") -> tuple[Key, Problem]:
    return KEY, Problem(f"e2-{view}", "fetch", code, "an error of the PACS")


def lone(view: str) -> Row:
    """The row of e2 where one view alone was used."""
    row = row_of("e2", used=[view])
    row.__dict__["left_out"] = []
    return row


@pytest.fixture
def mark(tmp_path: Path) -> ShardMark:
    """Of the shard of e1, and of e2 whose CC could not be fetched."""
    write_store(tmp_path, EXAMS)
    mark = shard_marks(plan_of(EXAMS), RECORD.config.key)[0]
    write_shard(tmp_path, RECORD, mark, [row_of("e1"), lone("MLO")], [failed("CC")])
    return mark


def test_items_to_try_again_are_found_by_their_codes(mark: ShardMark, tmp_path: Path):
    marks = shard_marks(plan_of(EXAMS), RECORD.config.key)
    assert failed_items(tmp_path, marks, "breast", {"pacs_failed"}) == {0: {KEY}}
    assert failed_items(tmp_path, marks, "breast", {"pacs_missing"}) == {}


def test_what_is_whole_now_takes_its_place_in_the_order_of_the_plan(mark: ShardMark, tmp_path: Path):
    amend_shard(tmp_path, RECORD, mark, [KEY], [row_of("e2")], [])
    assert read_errors(tmp_path) is None
    assert verify_store(tmp_path).problems == ()
    write_store(tmp_path / "whole", EXAMS)
    assert contents(tmp_path) == contents(tmp_path / "whole")
    assert read_rows(tmp_path).column("exam_id").to_pylist() == EXAMS
    assert (tmp_path / "part-000000.parquet").read_bytes() == (tmp_path / "whole/part-000000.parquet").read_bytes()


@pytest.mark.parametrize(
    ("rows", "problems"), [([lone("CC")], [failed("MLO", "pacs_missing")]), ([], [failed("CC"), failed("MLO")])]
)
def test_a_second_try_costs_no_image_that_the_first_one_had(
    mark: ShardMark, tmp_path: Path, rows: list[Row], problems: list[tuple[Key, Problem]]
):
    before = contents(tmp_path)
    amend_shard(tmp_path, RECORD, mark, [KEY], rows, problems)
    assert contents(tmp_path) == before
    assert verify_store(tmp_path).problems == ()


def test_a_verdict_takes_the_place_of_a_fault(mark: ShardMark, tmp_path: Path):
    amend_shard(tmp_path, RECORD, mark, [KEY], [lone("MLO")], [failed("CC", "pacs_missing")])
    errors = read_errors(tmp_path)
    assert errors is not None
    assert errors.column("code").to_pylist() == ["pacs_missing"]
    assert verify_store(tmp_path).problems == ()


def test_a_kill_between_errors_and_part_has_the_shard_made_anew(
    mark: ShardMark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hash_before = content_sha256(tmp_path, "breast")

    def killed(path: Path, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(write, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            amend_shard(tmp_path, RECORD, mark, [KEY], [row_of("e2")], [])
    assert not is_done(tmp_path, mark)
    assert content_sha256(tmp_path, "breast") == hash_before
    with pytest.raises(StoreError, match="makes the shard anew"):
        amend_shard(tmp_path, RECORD, mark, [KEY], [row_of("e2")], [])
    write_shard(tmp_path, RECORD, mark, [row_of("e1"), row_of("e2")], [])
    assert verify_store(tmp_path).problems == ()


def test_the_same_amendment_twice_is_the_same(mark: ShardMark, tmp_path: Path):
    """As where two actors of a cluster do it."""
    for _ in range(2):
        amend_shard(tmp_path, RECORD, mark, [KEY], [row_of("e2")], [])
    assert verify_store(tmp_path).problems == ()
    assert amend.failed_items(tmp_path, [mark], "breast", {"pacs_failed"}) == {}
