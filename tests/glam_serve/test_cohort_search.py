"""`glam-embed search`: what is asked for, whose rows are left out, and what it is refused for."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from glam.store.opening import open_vectors
from glam.store.planned import PLAN_SCHEMA, write_plan
from glam.store.read import read_rows, vectors
from glam.store.schema import INDEX_FILE
from glam_serve.cohort.cli import main
from glam_serve.cohort.index_command import Index
from glam_serve.cohort.questions import ROW_NAMES, _planned_patients, like_row
from glam_serve.cohort.run_command import Run
from tests.samples.cohorts import rows_of
from tests.samples.stores import clustered, write_store, write_vectors

Search = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Search:
    """Run the command; return its exit code, its JSON and what it said on stderr."""

    def run(store: Path, *words: str | Path) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setattr(sys, "argv", ["glam-embed", "search", str(store), *map(str, words)])
        capsys.readouterr()  # what was said before
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(out or "{}"), err

    return run


def by_likeness(store: Path, vector: np.ndarray) -> list[tuple[str, str, str]]:
    """Exam, side and patient of every row, from the most like a vector to the least."""
    rows = read_rows(store, ["exam_id", "laterality", "patient_id", "embedding"])
    names = zip(*(rows.column(name).to_pylist() for name in rows.column_names[:3]), strict=True)
    scored = sorted(zip(-(vectors(rows) @ vector), names, strict=True))
    return [name for _, name in scored]


def named(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(hit["exam_id"], hit["laterality"], hit["patient_id"]) for hit in found["hits"]]


def files_of(phantoms: Path, exam: str, side: str) -> list[Path]:
    return [Path(row["path"]) for row in rows_of(phantoms) if (row["exam_id"], row["laterality"]) == (exam, side)]


def test_rows_like_another_row_are_of_other_patients_unless_all_are_wanted(whole: Path, search: Search):
    rows = read_rows(whole, ["exam_id", "laterality", "patient_id", "embedding"])
    exam, side, patient = (rows.column(name)[1].as_py() for name in ("exam_id", "laterality", "patient_id"))
    everybody = by_likeness(whole, vectors(rows)[1])
    code, found, _ = search(whole, "--row", f"{exam}/{side}", "-k", "3")
    assert code == 0
    assert named(found) == [name for name in everybody if name[2] != patient][:3]
    assert (found["rows"], found["rows_of_the_same_patient"], found["exact"]) == (rows.num_rows, 2, True)
    _, found, _ = search(whole, "--row", f"{exam}/{side}", "-k", "3", "--same-patient")
    assert named(found) == everybody[:3]
    assert named(found)[0] == (exam, side, patient)
    assert found["hits"][0]["likeness"] == pytest.approx(1, abs=1e-5)
    assert "not for diagnosis" in found["notice"]


def test_rows_like_files_are_those_like_their_row(whole: Path, phantoms: Path, random_bundle: Bundle, search: Search):
    first = rows_of(phantoms)[0]
    key, files = (first["exam_id"], first["laterality"]), files_of(phantoms, first["exam_id"], first["laterality"])
    bundle = ("--bundle", random_bundle.folder)
    _, by_files, err = search(whole, "--like", *files, *bundle, "--same-patient")
    _, by_row, _ = search(whole, "--row", "/".join(key), "--same-patient")
    assert named(by_files) == named(by_row)
    assert by_files["rows_of_the_same_patient"] == 2
    assert err == ""


def test_files_of_a_patient_who_is_not_in_the_store_are_told(
    whole: Path, mammograms: dict[str, Path], random_bundle: Bundle, search: Search
):
    pair = (mammograms["L_CC"], mammograms["L_MLO"])
    _, found, err = search(whole, "--like", *pair, "--bundle", random_bundle.folder)
    assert "no row of these files' patient" in err
    assert found["rows_of_the_same_patient"] == 0
    assert len(found["hits"]) == found["rows"]


def test_ids_of_exams_and_images_may_have_strokes_in_them(tmp_path: Path):
    write_store(tmp_path / "store", ["2019/e0", "2019/e1"])
    store = open_vectors(tmp_path / "store")
    assert like_row(store, "2019/e1/L").patients == {"p-2019/e1"}
    for level, text, key in (
        ("image", "2019/e1/L/films/R/a.dcm", ("2019/e1", "L", "films/R/a.dcm")),
        ("exam", "2019/e1/L", ("2019/e1/L",)),
    ):
        found = re.fullmatch(ROW_NAMES[level], text)
        assert found is not None
        assert found.groups() == key


@pytest.mark.parametrize("where", ["below the root", "elsewhere", "behind a link"])
def test_the_patient_of_a_file_of_the_manifest_is_known_wherever_it_lies(tmp_path: Path, where: str):
    """A manifest may name patients otherwise than headers do, so that its place alone says whose a file is."""
    (tmp_path / "films").mkdir()
    file = tmp_path / "films" / "a.dcm"
    file.touch()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    root = tmp_path / "manifests" if where == "elsewhere" else tmp_path / "films"
    plan = write_store(tmp_path / "store", ["e0"]).to_pylist()
    plan[0] |= {"path": "a.dcm" if root == file.parent else str(file)}
    write_plan(tmp_path / "store", pa.Table.from_pylist(plan, schema=PLAN_SCHEMA), root=root, run_key="k")
    asked = tmp_path / "link" / "a.dcm" if where == "behind a link" else file
    assert _planned_patients(tmp_path / "store", [asked]) == {"p-e0"}
    assert _planned_patients(tmp_path / "store", [tmp_path / "b.dcm"]) == set()


def test_the_patient_of_a_file_is_known_in_a_store_of_a_folder(
    phantoms: Path, random_bundle: Bundle, search: Search, tmp_path: Path
):
    store = tmp_path / "of a folder"
    assert Run(folder=phantoms / "exams", out=store, bundle=random_bundle.folder).run() == 0
    first = rows_of(phantoms)[0]
    copied = []
    for path in files_of(phantoms, first["exam_id"], first["laterality"]):
        copied.append(tmp_path / path.name)
        copied[-1].write_bytes(path.read_bytes())
    _, found, err = search(store, "--like", *copied, "--bundle", random_bundle.folder)
    assert found["rows_of_the_same_patient"] == 2
    assert len(found["hits"]) == found["rows"] - 2
    assert err == ""


def test_rows_are_found_by_a_sentence(whole: Path, predictor: Predictor, random_bundle: Bundle, search: Search):
    sentence = "spiculated mass in a dense breast"
    tokens = predictor.interpreter.tokens([sentence])
    expected = by_likeness(whole, predictor.runtime.text(tokens.ids, tokens.mask)[0])
    _, found, _ = search(whole, "--text", sentence, "--bundle", random_bundle.folder, "-k", "4")
    assert named(found) == expected[:4]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "give one of --like FILE ..., --row KEY and --text SENTENCE"),
        (("--row", "a/L", "--text", "b"), 2, "give one of"),
        (("--row", "a/L", "-k", "0"), 2, "-k 0 is not above 0"),
        (("--row", "a/L"), 1, "has no row a/L: a row is exam_id/laterality"),
        (("--row", "a"), 1, "a names no row: write exam_id/laterality"),
        (("--text", "b"), 1, "give that one as --bundle"),
    ],
)
def test_what_cannot_be_asked_is_refused(whole: Path, search: Search, words: tuple[str, ...], code: int, said: str):
    ended, found, err = search(whole, *words)
    assert (ended, found) == (code, {})
    assert said in err


def test_files_of_two_breasts_are_no_row_of_a_store_of_breasts(
    whole: Path, phantoms: Path, random_bundle: Bundle, search: Search
):
    exam = rows_of(phantoms)[0]["exam_id"]
    both = [*files_of(phantoms, exam, "L"), *files_of(phantoms, exam, "R")]
    code, _, err = search(whole, "--like", *both, "--bundle", random_bundle.folder)
    assert code == 1
    assert "a row of this store is one breast, and the files are 4 images of 2 breasts" in err


def test_a_large_store_is_asked_by_its_index_and_a_stale_one_is_told(
    search: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    pytest.importorskip("faiss")
    store = tmp_path / "store"
    write_vectors(store, clustered(400, 8))
    assert Index(store=store).run() == 0
    monkeypatch.setattr("glam.store.index.INDEX_FROM", 400)
    words = ("--row", "p00000003/L/i00000006", "-k", "5")
    _, by_index, err = search(store, *words)
    _, by_all, _ = search(store, *words, "--exact")
    assert (by_index["exact"], by_all["exact"], err) == (False, True, "")
    assert by_index["hits"] == by_all["hits"]
    (store / INDEX_FILE).write_bytes(b"{}")
    _, found, err = search(store, *words)
    assert found == by_all
    assert "make it again with glam-embed index" in err
