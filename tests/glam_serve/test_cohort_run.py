"""`glam-embed run`: every item once, whatever the files are; and what is refused."""

import csv
import fcntl
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from glam.store.read import read_errors, read_rows, read_success, vectors
from glam.store.run_key import read_run
from glam.store.schema import StoreError
from glam.store.summary import summarise
from glam.store.verify import verify_store
from tests.samples.cohorts import EXAMS, rows_of, write_manifest
from tests.samples.stores import contents


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test in which a model would be opened."""
    monkeypatch.setattr("glam.loading.open_runtime", lambda *_, **__: pytest.fail("there was nothing to do"))


def test_every_breast_has_the_row_that_a_predictor_would_give(whole: Path, phantoms: Path, predictor: Predictor):
    rows = read_rows(whole)
    files = {row["image_id"]: row["path"] for row in rows_of(phantoms)}
    assert rows.num_rows == 2 * EXAMS
    for row, vector in zip(rows.to_pylist(), vectors(rows), strict=True):
        expected = predictor.predict(*(files[image] for image in row["images"]))
        np.testing.assert_allclose(vector, expected.embedding, atol=1e-5)
        assert row["birads_0"] == pytest.approx(expected.birads["0"], abs=1e-5)
        assert row["density_d"] == pytest.approx(expected.density["d"], abs=1e-5)
        assert row["calibrated"] == expected.calibrated
        frames = json.loads(row["frames"])
        assert frames == {
            image: expected.views[key].frame.as_json() for image, key in zip(row["images"], ("cc", "mlo"), strict=True)
        }
        codes = {finding.code for part in (expected, *expected.views.values()) for finding in part.findings}
        assert row["codes"] == sorted(codes)
        assert row["missing"] == []


def test_the_store_tells_of_the_model_and_accounts_for_every_image(whole: Path, random_bundle: Bundle):
    run = read_run(whole)
    assert run.config.bundle == random_bundle.sha256
    assert (run.facts.bundle_name, run.facts.licence, run.facts.may_share) == ("random", "CC0 1.0", True)
    summary = summarise(whole)
    assert (summary.images, summary.embedded, summary.not_done, summary.complete) == (4 * EXAMS, 4 * EXAMS, 0, True)
    assert json.loads((whole / "summary.json").read_text()) == summary.as_json()
    assert verify_store(whole) == ((), EXAMS, EXAMS, 2 * EXAMS)


def test_an_exam_is_what_a_predictor_says_of_it(
    phantoms: Path, predictor: Predictor, embed: Callable[..., int], tmp_path: Path
):
    embed(phantoms / "manifest.csv", tmp_path / "s", level="exam", dtype="float16")
    rows = read_rows(tmp_path / "s")
    files = {row["image_id"]: row["path"] for row in rows_of(phantoms)}
    assert rows.num_rows == EXAMS
    for row, vector in zip(rows.to_pylist(), vectors(rows), strict=True):
        expected = predictor.predict_exam([files[image] for image in row["images"]])
        np.testing.assert_allclose(vector.astype(float), expected.embedding, atol=1e-3)
        assert row["density_a"] == pytest.approx(expected.density["a"], abs=1e-5)
        assert len(row["images"]) == 4
    assert verify_store(tmp_path / "s").problems == ()


def test_an_image_has_its_own_row_and_does_not_miss_the_other_view(
    phantoms: Path, predictor: Predictor, embed: Callable[..., int], tmp_path: Path
):
    embed(phantoms / "manifest.csv", tmp_path / "s", level="image", workers=2, shard_size=5)
    rows = read_rows(tmp_path / "s")
    files = {row["image_id"]: row for row in rows_of(phantoms)}
    assert rows.num_rows == 4 * EXAMS
    for row, vector in zip(rows.to_pylist()[:4], vectors(rows), strict=False):
        expected = predictor.predict(**{files[row["image_id"]]["view"].lower(): files[row["image_id"]]["path"]})
        np.testing.assert_allclose(vector, expected.embedding, atol=1e-5)
        assert row["images"] == [row["image_id"]]
        assert (row["missing"], "lone_view" in row["codes"]) == ([], False)


@pytest.fixture
def damaged(phantoms: Path, tmp_path: Path) -> Path:
    """A manifest with every kind of file that cannot be used, and one image too many."""
    rows = rows_of(phantoms)
    cut, text, pipe = tmp_path / "cut.dcm", tmp_path / "text.dcm", tmp_path / "pipe.dcm"
    cut.write_bytes(Path(rows[0]["path"]).read_bytes()[:-5000])
    text.write_text("no mammogram")
    os.mkfifo(pipe)  # whoever opens it waits for ever
    rows[0]["path"], rows[1]["path"] = str(cut), str(tmp_path / "nowhere.dcm")
    rows[2]["path"] = str(text)
    rows[4]["path"] = str(tmp_path)
    rows[6]["path"], rows[8]["path"] = rows[7]["path"], str(pipe)
    rows.append(rows[3] | {"image_id": "another"})
    return write_manifest(tmp_path / "manifest.csv", rows)


def test_bad_files_cost_their_rows_and_nothing_else(
    damaged: Path, embed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = tmp_path / "s"
    assert embed(damaged, store, timeout_s=10) == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["rejected"] == {"timed_out": 2, "truncated": 1, "not_dicom": 1, "unreadable": 1, "view_mismatch": 1}
    assert summary["missing"] == 1
    assert summary["left_out"] == {"same_view_twice": 1}
    assert summary["embedded"] == 4 * EXAMS + 1 - 8
    assert summary["not_done"] == 0
    errors = read_errors(store)
    assert errors is not None
    assert set(errors.column("stage").to_pylist()) == {"read", "timeout"}
    assert "PHANTOM" not in " ".join(errors.column("message").to_pylist())
    assert read_rows(store).num_rows == 4
    assert verify_store(store).problems == ()


def test_bad_files_do_not_recur(
    damaged: Path, embed: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with damaged.open() as file:
        rows = [row for row in csv.DictReader(file) if not row["path"].endswith("pipe.dcm")]
    manifest = write_manifest(tmp_path / "again.csv", rows)
    assert embed(manifest, tmp_path / "s", max_errors=0.1) == 4
    monkeypatch.setattr("glam.loading.open_runtime", lambda *_, **__: pytest.fail("there was nothing to do"))
    assert embed(manifest, tmp_path / "s") == 3


@pytest.mark.usefixtures("no_work")
def test_a_store_that_is_whole_is_left_as_it_is(whole: Path, phantoms: Path, embed: Callable[..., int]):
    before = {path.name: path.stat().st_mtime_ns for path in whole.glob("*.parquet")}
    assert embed(phantoms / "manifest.csv", whole) == 0
    assert {path.name: path.stat().st_mtime_ns for path in whole.glob("*.parquet")} == before


def test_new_exams_are_appended_and_only_they_are_done(
    whole: Path, phantoms: Path, embed: Callable[..., int], tmp_path: Path
):
    rows = rows_of(phantoms)
    exams = sorted({row["exam_id"] for row in rows})
    some = write_manifest(tmp_path / "some.csv", [row for row in rows if row["exam_id"] != exams[0]])
    store = tmp_path / "s"
    assert embed(some, store) == 0
    first = {path.name: path.stat().st_mtime_ns for path in store.glob("part-*.parquet")}
    shutil.copy(store / "_SUCCESS", tmp_path / "before")
    random.Random(3).shuffle(rows)
    assert embed(write_manifest(tmp_path / "all.csv", rows), store) == 0
    after = {path.name: path.stat().st_mtime_ns for path in store.glob("part-*.parquet")}
    assert first.items() < after.items()
    success, expected = read_success(store), read_success(whole)
    assert success is not None
    assert expected is not None
    assert success["content_sha256"] == expected["content_sha256"]
    assert contents(store) == contents(whole)
    assert embed(some, store) == 0  # what is gone from the manifest is kept
    assert summarise(store).rows == 2 * EXAMS


def test_another_configuration_is_refused(whole: Path, phantoms: Path, embed: Callable[..., int], kept_bundle: Bundle):
    for options, said in (
        ({"dtype": "float16"}, "dtype is float32 there and float16 here"),
        ({"level": "exam"}, "level is breast there and exam here"),
        ({"bundle": kept_bundle.folder}, "bundle is"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            embed(phantoms / "manifest.csv", whole, **options)
        assert caught.value.code == "other_run"


def test_an_item_that_changed_is_refused_and_the_store_left_as_it_was(
    whole: Path, phantoms: Path, embed: Callable[..., int]
):
    rows = rows_of(phantoms)
    with pytest.raises(StoreError, match="1 items of the store") as caught:
        embed(write_manifest(phantoms / "less.csv", rows[1:]), whole)
    assert caught.value.code == "item_changed"
    assert verify_store(whole).problems == ()


def test_a_second_run_on_a_store_is_refused(whole: Path, phantoms: Path, embed: Callable[..., int]):
    with (whole / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as caught:
            embed(phantoms / "manifest.csv", whole)
    assert caught.value.code == "store_in_use"


def test_what_the_model_refuses_is_refused_before_a_store_begins(
    phantoms: Path, embed: Callable[..., int], tmp_path: Path
):
    with pytest.raises(ValueError, match="is not in this onnxruntime"):
        embed(phantoms / "manifest.csv", tmp_path / "s", provider="NoSuchProvider")
    assert not (tmp_path / "s" / "run.json").exists()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    phantoms: Path, embed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = rows_of(phantoms)
    rows[0]["path"] = "nowhere.dcm"
    manifest = write_manifest(tmp_path / "m.csv", rows)
    assert embed(manifest, tmp_path / "s", dry_run=True) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["images"], estimate["items"], estimate["shards_to_do"]) == (4 * EXAMS, 2 * EXAMS, EXAMS)
    assert estimate["images_missing"] == 1
    assert estimate["seconds_an_item"]["read"] > 0
    assert not (tmp_path / "s").exists()


def test_embeddings_that_may_not_be_shared_are_told_and_kept(
    phantoms: Path, embed: Callable[..., int], kept_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    manifest = write_manifest(tmp_path / "m.csv", rows_of(phantoms)[:2])
    assert embed(manifest, tmp_path / "s", bundle=kept_bundle.folder) == 0
    assert "must not leave this machine" in capsys.readouterr().err
    assert read_run(tmp_path / "s").facts.may_share is False
