"""A folder in place of a manifest: what is a mammogram is embedded under other names, and every file is told of."""

import io
import json
import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from glam.bundle import Bundle
from glam.store.planned import read_plan
from glam.store.read import read_rows
from glam.store.schema import SALT_FILE, StoreError
from glam.store.summary import summarise
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.folder import folder_cohort, store_salt
from glam_serve.cohort.progress import FILES_TOLD_S, Headers
from glam_serve.cohort.run_command import Run
from tests.samples.cohorts import embed_rows
from tests.samples.mammograms import SECRET, file_of
from tests.samples.stores import write_store

SALT = b"s" * 32


def put(path: Path, number: int = 1, study: int = 1, **header: str) -> Path:
    """Write a small mammogram of an instance of a study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    uids = {"SOPInstanceUID": f"1.2.3.{number}", "StudyInstanceUID": f"1.2.4.{study}"}
    path.write_bytes(file_of(**{**uids, **header}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two studies of one patient, in folders that say nothing, and files that are no mammograms."""
    root = tmp_path / "files"
    put(root / "b/1.dcm", 1, 1)
    put(root / "b/2.dcm", 2, 1, ViewPosition="MLO")
    put(root / "a/1.dcm", 3, 2, ImageLaterality="R")
    put(root / "a/copy of 1.dcm", 3, 2, ImageLaterality="R")
    put(root / "a/lateral.dcm", 4, 2, ViewPosition="ML")
    (root / "DICOMDIR").write_text("an index")
    return root


def found(folder: Path, salt: bytes = SALT) -> dict[str, tuple]:
    images = folder_cohort(folder, folder / "store", salt).images
    cells = images.drop(columns="spacing_mm").to_dict("records")
    return {row["image_id"]: tuple(row.values())[1:] for row in cells}


def test_images_are_those_that_the_headers_name(folder: Path):
    images = found(folder)
    assert list(images) == ["a/1.dcm", "b/1.dcm", "b/2.dcm"]
    assert [values[2:5] for values in images.values()] == [
        ("R", "CC", "a/1.dcm"),
        ("L", "CC", "b/1.dcm"),
        ("L", "MLO", "b/2.dcm"),
    ]


def test_every_other_file_is_told_with_its_code(folder: Path):
    (folder / "b" / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(folder / "b" / "pipe")
    (folder / "b" / "gone.dcm").symlink_to(folder / "nowhere")
    with open(os.path.join(os.fsencode(folder), b"\xff.dcm"), "wb"):  # noqa: PTH118, PTH123
        pass
    rejected = folder_cohort(folder, folder / "store", SALT).rejected
    assert {problem.image_id: problem.code for problem in rejected} == {
        "DICOMDIR": "not_dicom",
        "\ufffd.dcm": "unreadable",
        "a/copy of 1.dcm": "duplicate",
        "a/lateral.dcm": "unknown_view",
        "b/gone.dcm": "unreadable",
        "b/pipe": "unreadable",
    }
    assert "a/1.dcm" in next(problem.message for problem in rejected if problem.code == "duplicate")


def test_patients_and_exams_have_salted_names(folder: Path):
    images = found(folder)
    patients, exams = ([values[place] for values in images.values()] for place in (0, 1))
    assert len(set(patients)) == 1
    assert exams[1] == exams[2] != exams[0]
    assert found(folder) == images
    other = found(folder, b"t" * 32)
    assert {values[0] for values in other.values()}.isdisjoint(patients)
    assert SECRET not in str(images)
    assert "1.2.4" not in str(images)


def test_files_without_a_study_are_of_the_exam_of_their_folder(folder: Path):
    unnamed = {"StudyInstanceUID": "", "PatientID": ""}
    for number, name in enumerate(("c/L_CC.dcm", "c/L_MLO.dcm", "d/L_CC.dcm"), start=10):
        put(folder / name, number, **unnamed, ViewPosition=name.partition("L_")[2].removesuffix(".dcm"))
    images = found(folder)
    assert images["c/L_CC.dcm"][:2] == images["c/L_MLO.dcm"][:2]
    assert images["c/L_CC.dcm"][0] != images["d/L_CC.dcm"][0]


def test_files_without_a_study_that_show_the_same_view_are_not_taken_for_one_exam(folder: Path):
    unnamed = {"StudyInstanceUID": "", "PatientID": ""}
    for number, name in enumerate(("flat/L_CC_1.dcm", "flat/L_CC_2.dcm", "flat/L_MLO_1.dcm"), start=10):
        put(folder / name, number, **unnamed, ViewPosition="MLO" if "MLO" in name else "CC")
    exams = [values[1] for name, values in found(folder).items() if name.startswith("flat")]
    assert len(set(exams)) == 3


def test_the_store_is_no_part_of_its_own_folder(folder: Path):
    put(folder / "store" / "x.dcm", 77)
    assert "store/x.dcm" not in found(folder)


def test_a_folder_without_a_mammogram_says_what_is_in_it(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match="most are not_dicom"):
        folder_cohort(tmp_path, tmp_path / "s", SALT)
    with pytest.raises(ValueError, match="no folder at"):
        folder_cohort(tmp_path / "notes.txt", tmp_path / "s", SALT)


def test_the_salt_of_a_store_is_kept_and_its_owners_alone(tmp_path: Path):
    salt = store_salt(tmp_path)
    assert len(salt) == 32
    assert store_salt(tmp_path) == salt
    assert stat.S_IMODE((tmp_path / SALT_FILE).stat().st_mode) == 0o600
    (tmp_path / SALT_FILE).write_bytes(b"cut")
    assert len(store_salt(tmp_path)) == 32


def test_a_store_whose_salt_is_gone_is_refused(tmp_path: Path):
    write_store(tmp_path / "s", ["e1"])
    with pytest.raises(StoreError, match="is gone") as caught:
        store_salt(tmp_path / "s")
    assert caught.value.code == "store_damaged"


def test_a_folder_is_embedded_once_and_its_new_exams_later(
    mammograms: dict[str, Path], random_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, store = tmp_path / "files", tmp_path / "store"
    folder.mkdir()
    for name in ("L_CC", "L_MLO"):
        shutil.copy(mammograms[name], folder / f"{name}.dcm")
    shutil.copy(mammograms["L_CC"], folder / "again.dcm")
    command = Run(folder=folder, out=store, bundle=random_bundle.folder, level="image")
    assert command.run() == 0
    assert json.loads(capsys.readouterr().out)["files_rejected"] == {"duplicate": 1}
    assert sorted(read_rows(store).column("image_id").to_pylist()) == ["L_CC.dcm", "L_MLO.dcm"]
    shutil.copy(mammograms["L_CC"], folder / "0.dcm")  # before the file that was taken, in the order of names
    shutil.copy(mammograms["R_CC"], folder / "z.dcm")
    assert command.run() == 0
    assert sorted(read_rows(store).column("image_id").to_pylist()) == ["L_CC.dcm", "L_MLO.dcm", "z.dcm"]
    assert summarise(store).files_rejected == {"duplicate": 2}
    plan = read_plan(store)
    assert plan is not None
    assert len(set(plan.column("patient_id").to_pylist())) == 1
    assert "PHANTOM" not in str(plan.to_pylist())
    (folder / "cut.dcm").write_bytes(mammograms["R_MLO"].read_bytes()[:-999])
    assert command.run() == 3


def test_links_in_a_circle_end_and_folders_that_are_not_entered_are_told(folder: Path, tmp_path: Path):
    (folder / "a/back").symlink_to(folder)
    (folder / "b/self.dcm").symlink_to("self.dcm")
    (folder / "study").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    cohort = folder_cohort(folder, tmp_path / "store", SALT)
    told = {problem.image_id: problem.code for problem in cohort.rejected}
    assert told.items() >= {"a/back": "linked_folder", "study": "linked_folder", "b/self.dcm": "unreadable"}.items()
    assert sorted(cohort.images["image_id"]) == ["a/1.dcm", "b/1.dcm", "b/2.dcm"]


def test_a_folder_that_cannot_be_listed_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed = os.scandir

    def scandir(place: str) -> Any:
        if str(place).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", scandir)
    cohort = folder_cohort(folder, tmp_path / "store", SALT)
    assert ("b", "unreadable") in {(problem.image_id, problem.code) for problem in cohort.rejected}
    assert cohort.images["image_id"].tolist() == ["a/1.dcm"]


def test_the_files_of_a_store_below_the_folder_are_not_told_whatever_its_path(folder: Path):
    embed_rows(["e1"], folder / "store")
    around = folder / ".." / folder.name / "store"
    rejected = folder_cohort(folder, around, SALT).rejected
    assert not [problem for problem in rejected if problem.image_id.startswith("store")]


def test_names_with_line_ends_and_without_a_character_set_are_embedded_or_told(folder: Path, tmp_path: Path):
    put(folder / "two\nlines, 100 %.dcm", 9, 9)
    put(folder / os.fsdecode(b"latin-\xe9.dcm"), 10, 10)
    cohort = folder_cohort(folder, tmp_path / "store", SALT)
    assert "two\nlines, 100 %.dcm" in cohort.images["image_id"].tolist()
    assert ("latin-\ufffd.dcm", "unreadable") in {(problem.image_id, problem.code) for problem in cohort.rejected}


def test_a_file_that_is_there_fifty_times_is_embedded_once(tmp_path: Path):
    for number in range(50):
        put(tmp_path / f"files/{number:02d}.dcm", 1, 1)
    cohort = folder_cohort(tmp_path / "files", tmp_path / "store", SALT)
    assert cohort.images["image_id"].tolist() == ["00.dcm"]
    assert [problem.code for problem in cohort.rejected] == ["duplicate"] * 49


def test_files_are_counted_while_their_headers_are_read(folder: Path):
    told: list[tuple[int, int]] = []
    folder_cohort(folder, folder / "store", SALT, lambda done, files: told.append((done, files)))
    assert told == [(done, 6) for done in range(6)]


def test_a_run_that_is_told_to_stop_reads_no_further_header(monkeypatch: pytest.MonkeyPatch):
    stop, stream = threading.Event(), io.StringIO()
    monkeypatch.setitem(FILES_TOLD_S, False, 0.0)
    headers = Headers(stream, stop)
    headers.tell(3, 7)
    stop.set()
    with pytest.raises(InterruptedRun):
        headers.tell(4, 7)
    headers.end()
    assert stream.getvalue() == "headers of 3 of 7 files are read\n"
