"""Stores whose files were cut, swapped, renamed or lost, in odd places; each is refused or mended by the next run."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.store.read import read_rows, read_success, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.schema import StoreError
from glam.store.summary import summarise
from glam.store.verify import verify_store
from glam.store.write import write_json
from glam_serve.cohort.cli import Export, Scores, Status, Verify
from glam_serve.cohort.decoders import InterruptedRun
from tests.samples.cohorts import embed_rows
from tests.samples.stores import DIM, RECORD, contents

EXAMS = ["e1", "e2", "e3", "e4", "e5"]
PART = "part-000001.parquet"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of three shards; the second has images that could not be used."""
    embed_rows(EXAMS, tmp_path / "store", refused=["e3"])
    return tmp_path / "store"


@pytest.fixture
def sound(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "sound"))


def again(store: Path) -> None:
    embed_rows(EXAMS, store, refused=["e3"])


def assert_whole(store: Path, sound: Path) -> None:
    assert contents(store) == contents(sound)
    assert read_success(store) == read_success(sound)
    assert verify_store(store).problems == ()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def flip(path: Path) -> None:
    """Change a byte of a number in a page; the footer stays whole."""
    (vector,) = vectors(read_rows(path.parent).slice(2, 1))
    content = bytearray(path.read_bytes())
    content[content.index(vector.tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [PART, "errors-000001.parquet"])
@pytest.mark.parametrize("damage", [cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_file_that_was_cut_or_lost_is_made_again(store: Path, sound: Path, name: str, damage: Callable[[Path], None]):
    damage(store / name)
    again(store)
    assert_whole(store, sound)


def test_a_page_that_was_damaged_is_told_and_its_shard_made_again_once_it_is_deleted(store: Path, sound: Path):
    flip(store / PART)
    assert "delete it and run the same command again" in verify_store(store).problems[0]
    (store / "_SUCCESS").unlink()
    with pytest.raises(StoreError, match="delete it and run the same command again") as caught:
        again(store)
    assert caught.value.code == "store_damaged"
    (store / PART).unlink()
    again(store)
    assert_whole(store, sound)


def test_parts_under_each_others_names_are_refused_by_the_name_to_delete(store: Path, sound: Path):
    (store / "part-000000.parquet").rename(store / "other")
    (store / PART).rename(store / "part-000000.parquet")
    (store / "other").rename(store / PART)
    for name in ("part-000000.parquet", PART):
        with pytest.raises(StoreError, match=f"{name} is the part of shard . under another name: delete it") as caught:
            again(store)
        assert caught.value.code == "store_damaged"
        (store / name).unlink()
    again(store)
    assert_whole(store, sound)


@pytest.mark.parametrize("name", ["part-000007.parquet", "part-000001 (copy).parquet", "part-1.parquet"])
def test_a_copy_of_a_part_is_refused_and_never_counted(store: Path, sound: Path, name: str, tmp_path: Path):
    shutil.copy(store / PART, store / name)
    assert summarise(store) == summarise(sound)
    assert read_rows(store).num_rows == 4
    assert f"{name}: no shard of the plan" in verify_store(store).problems
    with pytest.raises(StoreError, match="move it away") as caught:
        again(store)
    assert caught.value.code == "store_damaged"
    (store / name).rename(tmp_path / name)
    again(store)
    assert_whole(store, sound)


def test_a_plan_that_was_lost_is_told_and_made_again(store: Path, sound: Path):
    (store / "manifest.parquet").unlink()
    assert verify_store(store).problems == ("manifest.parquet: it is gone, and 3 parts are there",)
    again(store)
    assert_whole(store, sound)


def test_a_plan_that_was_cut_is_told(store: Path):
    cut(store / "manifest.parquet")
    for use in (summarise, verify_store, again):
        with pytest.raises(StoreError, match=r"manifest.parquet does not read .*: put it back") as caught:
            use(store)
        assert caught.value.code == "store_damaged"


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_an_end_that_does_not_read_is_told_and_made_again_once_it_is_deleted(store: Path, sound: Path, text: str):
    (store / "_SUCCESS").write_text(text)
    for use in (summarise, verify_store, again):
        with pytest.raises(StoreError, match="delete it and run the same command again") as caught:
            use(store)
        assert caught.value.code == "store_damaged"
    (store / "_SUCCESS").unlink()
    again(store)
    assert_whole(store, sound)


def test_no_old_summary_stands_beside_a_run_that_was_interrupted(tmp_path: Path):
    store = tmp_path / "s"
    embed_rows(["e1"], store)
    assert json.loads((store / "summary.json").read_text())["complete"]
    with pytest.raises(InterruptedRun):
        embed_rows(["e1", "e2", "e3", "e4"], store, interrupted_after=1)
    assert not (store / "summary.json").exists()
    assert (summarise(store).images, summarise(store).not_done, summarise(store).complete) == (8, 2, False)


def test_a_run_that_ended_before_its_plan_is_not_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = tmp_path / "s"
    embed_rows(["e1"], store)
    for path in store.glob("*"):
        if path.name != "run.json":
            path.unlink()
    assert Verify(store=store).run() == 0
    assert json.loads(capsys.readouterr().out)["complete"] is False
    embed_rows(["e1"], store)
    assert Verify(store=store).run() == 0
    assert json.loads(capsys.readouterr().out)["complete"] is True


def test_a_cohort_of_which_nothing_can_be_used_is_a_whole_store_without_rows(tmp_path: Path):
    store = tmp_path / "s"
    summary = embed_rows(EXAMS, store, refused=EXAMS)
    assert (summary.rows, summary.embedded, summary.rejected, summary.complete) == (0, 0, {"truncated": 10}, True)
    assert verify_store(store).problems == ()
    assert vectors(read_rows(store)).shape == (0, DIM)
    Export(store=store, to="npy", out=tmp_path / "e.npy").run()
    assert np.load(tmp_path / "e.npy").shape == (0, DIM)
    Export(store=store, to="csv", out=tmp_path / "e2.csv").run()
    Scores(store=store, out=tmp_path / "scores.csv").run()
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("e_keys.csv", "e2.csv", "scores.csv")] == [
        1,
        1,
        1,
    ]


def test_a_manifest_without_rows_is_an_empty_store_that_grows(tmp_path: Path, sound: Path):
    store = tmp_path / "s"
    summary = embed_rows([], store)
    assert (summary.images, summary.rows, summary.complete) == (0, 0, True)
    assert verify_store(store) == ((), 0, 0, 0)
    again(store)
    assert_whole(store, sound)


@pytest.mark.parametrize("name", ["a b%20#?", "two\nlines", "level=exam", "_x", "[a-b]*", os.fsdecode(b"latin-\xe9")])
def test_a_store_may_lie_in_a_folder_of_any_name(
    tmp_path: Path, sound: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    store = tmp_path / name / "s"
    again(store)
    assert_whole(store, sound)
    for command in (Status(store=store), Verify(store=store), Scores(store=store, out=tmp_path / name / "scores.csv")):
        assert command.run() == 0
        json.loads(capsys.readouterr().out)
    Export(store=store, to="npy", out=tmp_path / name / "e.npy").run()
    assert np.load(tmp_path / name / "e.npy").shape == (4, DIM)


@pytest.fixture
def read_only(store: Path) -> Iterator[Path]:
    """The store on a file system that takes no write, not even of root."""
    for options in (("--bind", str(store), str(store)), ("-o", "remount,ro,bind", str(store))):
        mounted = subprocess.run(["mount", *options], check=False, capture_output=True)
        if mounted.returncode:
            subprocess.run(["umount", "-l", str(store)], check=False, capture_output=True)
            pytest.skip("nothing can be mounted here")
    yield store
    subprocess.run(["umount", "-l", str(store)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("kind", ["file", "link to nothing", "link in a circle"])
def test_a_store_that_is_no_folder_is_refused_in_a_sentence(tmp_path: Path, kind: str):
    place = tmp_path / "store"
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(place if kind == "link in a circle" else tmp_path / "nothing")
    with pytest.raises(StoreError, match="is no folder: give a new or an empty one") as caught:
        again(place)
    assert caught.value.code == "not_a_store"
    assert kind != "file" or place.read_text() == "mine"


def test_a_store_that_cannot_be_written_is_read(read_only: Path, tmp_path: Path):
    commands = Status(store=read_only), Verify(store=read_only), Export(store=read_only, out=tmp_path / "e.csv")
    for command in (*commands, Scores(store=read_only, out=tmp_path / "scores.csv")):
        assert command.run() == 0
    with pytest.raises(OSError, match="Read-only file system"):
        again(read_only)


def test_a_store_of_a_newer_format_is_left_alone(store: Path):
    write_json(store / "run.json", json.loads((store / "run.json").read_text()) | {"format": 2, "new": 1})
    before = {path: path.read_bytes() for path in store.iterdir()}
    with pytest.raises(StoreError, match="use the glam-mammo that wrote it") as caught:
        again(store)
    assert caught.value.code == "store_format"
    assert {path: path.read_bytes() for path in store.iterdir()} == before


@pytest.mark.parametrize("to", ["csv", "npy"])
def test_a_permission_that_was_written_into_a_store_by_hand_opens_no_export(tmp_path: Path, to):
    store = tmp_path / "s"
    record = RunRecord(config=RECORD.config, facts=replace(RECORD.facts, may_share=False))
    embed_rows(EXAMS, store, record=record)
    write_json(store / "run.json", json.loads((store / "run.json").read_text()) | {"may_share": True})
    assert read_run(store).facts.may_share
    with pytest.raises(StoreError) as caught:
        Export(store=store, to=to, out=tmp_path / f"e.{to}").run()
    assert caught.value.code == "embedding_withheld"
    assert "its footer says may_share False" in verify_store(store).problems[0]


def test_a_permission_that_was_written_into_a_store_that_goes_on_opens_no_export_of_the_rest(tmp_path: Path):
    store = tmp_path / "s"
    record = RunRecord(config=RECORD.config, facts=replace(RECORD.facts, may_share=False))
    with pytest.raises(InterruptedRun):
        embed_rows(EXAMS, store, record=record, interrupted_after=0)
    write_json(store / "run.json", json.loads((store / "run.json").read_text()) | {"may_share": True})
    embed_rows(EXAMS, store, record=record)
    with pytest.raises(StoreError) as caught:
        Export(store=store, out=tmp_path / "e.csv").run()
    assert caught.value.code == "embedding_withheld"
