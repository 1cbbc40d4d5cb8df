"""What leaves a store: embeddings where the licence permits, probabilities always; and the commands that say so."""

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glam.store.read import footer, read_rows, read_table, vectors
from glam.store.run_key import RunRecord
from glam.store.schema import StoreError
from glam.store.write import write_table
from glam_serve.cohort.cli import Export, Scores, Status, Verify
from glam_serve.cohort.export import export_csv, export_npy, export_scores
from tests.samples.stores import RECORD, write_store

EXAMS = ["e1", "e2", "e3", "e4", "e5"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", EXAMS, bad=["e2"])
    return tmp_path / "store"


@pytest.fixture
def kept_store(tmp_path: Path) -> Path:
    """A store whose embeddings stay on this machine."""
    record = RunRecord(config=RECORD.config, facts=replace(RECORD.facts, may_share=False))
    write_store(tmp_path / "kept", EXAMS, record=record)
    return tmp_path / "kept"


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_csv_holds_keys_and_every_number_as_it_is(store: Path, tmp_path: Path):
    assert Export(store=store, to="csv", out=tmp_path / "e.csv").run() == 0
    header, *rows = cells(tmp_path / "e.csv")
    assert header == ["exam_id", "laterality", "patient_id", *(f"embedding_{number}" for number in range(4))]
    numbers = np.array([row[3:] for row in rows], np.float32)
    np.testing.assert_array_equal(numbers, vectors(read_rows(store)))
    assert [row[0] for row in rows] == ["e1", "e3", "e4", "e5"]


def test_npy_holds_the_array_and_a_csv_the_keys_of_its_rows(store: Path, tmp_path: Path):
    assert Export(store=store, to="npy", out=tmp_path / "e.npy").run() == 0
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), vectors(read_rows(store)))
    assert cells(tmp_path / "e_keys.csv")[1] == ["e1", "L", "p-e1"]


def copy_of_another(store: Path, part: Path) -> None:
    part.write_bytes((store / "part-000001.parquet").read_bytes())


def with_wrong_rows(store: Path, part: Path) -> None:
    write_table(part, read_table(part), footer(part) | {"rows": 10**15})


@pytest.mark.parametrize("damage", [copy_of_another, with_wrong_rows])
@pytest.mark.parametrize("to", ["csv", "npy", "lance", "scores"])
def test_a_part_that_its_run_did_not_write_there_leaves_the_store_in_no_table(
    store: Path, tmp_path: Path, to: Any, damage: Callable[[Path, Path], None]
):
    """Else its rows would be there twice."""
    if to == "lance":
        pytest.importorskip("lance")
    damage(store, store / "part-000000.parquet")
    out = tmp_path / "out"
    command = Scores(store=store, out=out) if to == "scores" else Export(store=store, to=to, out=out)
    with pytest.raises(StoreError, match="delete it and run the same command again"):
        command.run()
    assert not out.exists()


Table = Callable[[Path, Path], object]
TABLES: dict[str, Table] = {"csv": export_csv, "npy": export_npy, "scores": export_scores}


def files_of(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


@pytest.mark.parametrize("write", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["part-000000.parquet", "run.json", "new.csv", "../link/run.json", "../run"])
def test_a_table_takes_the_place_of_no_file_of_its_store(store: Path, write: Table, name: str):
    (store.parent / "link").symlink_to(store)
    (store.parent / "run").symlink_to(store / "run.json")
    before = files_of(store)
    with pytest.raises(ValueError, match="is in the store, whose files a table must not replace"):
        write(store, store / name)
    assert files_of(store) == before


def test_the_keys_of_an_array_take_the_place_of_no_file_of_its_store(store: Path, tmp_path: Path):
    (tmp_path / "e_keys.csv").symlink_to(store / "run.json")
    before = files_of(store)
    with pytest.raises(ValueError, match="is in the store"):
        export_npy(store, tmp_path / "e.npy")
    assert (files_of(store), (tmp_path / "e.npy").exists()) == (before, False)


@pytest.mark.parametrize("write", TABLES.values(), ids=TABLES)
def test_a_table_replaces_no_pipe_and_no_folder(store: Path, tmp_path: Path, write: Table):
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to(pipe)  # as /dev/stdout is
    for out in (pipe, link, tmp_path):
        with pytest.raises(ValueError, match="is a folder, a pipe or a device: give the name of a file"):
            write(store, out)
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)
    with pytest.raises(ValueError, match=r"is in no folder that there is: make .*nowhere first"):
        write(store, tmp_path / "nowhere" / "e.csv")


def test_a_table_is_written_where_a_link_points(store: Path, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "e.csv").symlink_to(tmp_path / "disk" / "e.csv")
    export_csv(store, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").is_symlink()
    assert len(cells(tmp_path / "disk" / "e.csv")) == 5


def test_one_export_does_not_overwrite_the_other(store: Path, tmp_path: Path):
    Export(store=store, to="csv", out=tmp_path / "e.csv").run()
    before = (tmp_path / "e.csv").read_bytes()
    Export(store=store, to="npy", out=tmp_path / "e.npy").run()
    assert (tmp_path / "e.csv").read_bytes() == before


@pytest.mark.parametrize("to", ["csv", "npy"])
def test_embeddings_that_may_not_be_shared_are_not_exported(kept_store: Path, tmp_path: Path, to):
    out = tmp_path / f"e.{to}"
    with pytest.raises(StoreError, match="--keep-local") as caught:
        Export(store=kept_store, to=to, out=out).run()
    assert caught.value.code == "embedding_withheld"
    assert not out.exists()
    assert Export(store=kept_store, to=to, out=out, keep_local=True).run() == 0
    assert out.exists()


def test_scores_hold_probabilities_and_codes_and_no_embedding(kept_store: Path, tmp_path: Path):
    assert Scores(store=kept_store, out=tmp_path / "scores.csv").run() == 0
    header, first, *_ = cells(tmp_path / "scores.csv")
    row = dict(zip(header, first, strict=True))
    assert row == {
        "exam_id": "e1",
        "laterality": "L",
        "patient_id": "p-e1",
        "birads_0": "0.250000",
        "birads_1": "0.750000",
        "density_a": "0.500000",
        "density_b": "0.500000",
        "calibrated": "false",
        "missing": "",
        "codes": "no_spacing",
        "notice": "research use only, not for diagnosis",
    }


def test_a_store_without_rows_says_what_to_do(tmp_path: Path):
    write_store(tmp_path / "s", ["e1"])
    (tmp_path / "s" / "part-000000.parquet").unlink()
    for command in (
        Export(store=tmp_path / "s", out=tmp_path / "e.csv"),
        Scores(store=tmp_path / "s", out=tmp_path / "c"),
    ):
        with pytest.raises(StoreError, match="glam-embed run"):
            command.run()


def test_status_counts_what_became_of_every_image(store: Path, capsys: pytest.CaptureFixture[str]):
    (store / "part-000002.parquet").unlink()
    assert Status(store=store).run() == 0
    status = json.loads(capsys.readouterr().out)
    assert status["images"] == 10
    assert (status["embedded"], status["rejected"], status["not_done"]) == (6, {"truncated": 2}, 2)
    assert (status["shards"], status["shards_done"], status["complete"]) == (3, 2, False)


def test_verify_ends_with_1_where_a_store_has_problems(store: Path, capsys: pytest.CaptureFixture[str]):
    assert Verify(store=store).run() == 0
    (store / "part-000001.parquet").write_bytes((store / "part-000000.parquet").read_bytes())
    assert Verify(store=store).run() == 1
    assert "its footer says shard 0" in json.loads(capsys.readouterr().out.partition("\n}\n")[2])["problems"][0]


def test_lance_holds_every_column_and_a_second_export_replaces_the_first(store: Path, tmp_path: Path):
    lance = pytest.importorskip("lance")
    out = tmp_path / "e.lance"
    for _ in range(2):
        assert Export(store=store, to="lance", out=out).run() == 0
    there = lance.dataset(out)
    assert there.to_table().to_pylist() == read_rows(store).to_pylist()
    assert len(there.versions()) == 1
    assert b"not for diagnosis" in there.schema.metadata[b"glam"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lance_puts_a_dataset_back_that_an_export_was_killed_over(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lance = pytest.importorskip("lance")
    out = tmp_path / "e.lance"
    Export(store=store, to="lance", out=out).run()
    out.rename(tmp_path / ".e.lance.old")  # as it is for a moment

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(lance, "write_dataset", full)
        with pytest.raises(OSError, match="No space"):
            Export(store=store, to="lance", out=out).run()
    assert lance.dataset(out).count_rows() == 4


def test_a_second_export_to_lance_beside_one_that_writes_there_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two upserts at once double rows in Lance; here the second one took the first one's files away."""
    lance = pytest.importorskip("lance")
    export, write_dataset = Export(store=store, to="lance", out=tmp_path / "e.lance"), lance.write_dataset

    def write_beside(*arguments: Any, **options: Any) -> None:
        with pytest.raises(StoreError, match="another export writes to") as refused:
            export.run()
        assert refused.value.code == "export_in_use"
        write_dataset(*arguments, **options)

    monkeypatch.setattr(lance, "write_dataset", write_beside)
    for _ in range(2):
        assert export.run() == 0
    assert lance.dataset(tmp_path / "e.lance").to_table().to_pylist() == read_rows(store).to_pylist()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lance_replaces_what_a_link_points_at(store: Path, tmp_path: Path):
    lance = pytest.importorskip("lance")
    (tmp_path / "disk").mkdir()
    (tmp_path / "e.lance").symlink_to(tmp_path / "disk" / "e.lance")
    for _ in range(3):
        assert Export(store=store, to="lance", out=tmp_path / "e.lance").run() == 0
    assert (tmp_path / "e.lance").is_symlink()
    assert lance.dataset(tmp_path / "e.lance").count_rows() == 4
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["e.lance"]


def test_lance_replaces_nothing_that_is_no_dataset(store: Path, tmp_path: Path):
    (tmp_path / "_versions").mkdir()
    with pytest.raises(StoreError, match="no Lance dataset"):
        Export(store=store, to="lance", out=tmp_path).run()
    assert store.exists()


def test_lance_is_refused_as_other_exports_are(kept_store: Path, tmp_path: Path):
    with pytest.raises(StoreError, match="--keep-local") as error:
        Export(store=kept_store, to="lance", out=tmp_path / "e.lance").run()
    assert error.value.code == "embedding_withheld"
    assert Export(store=kept_store, to="lance", out=tmp_path / "e.lance", keep_local=True).run() == 0
