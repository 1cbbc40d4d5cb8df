"""A cohort from a real PACS: Orthanc with its DICOMweb plugin, asked with a user and a password."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from glam.bundle import Bundle
from glam.phantom.exam import write_exams
from glam.store.planned import plan_root, read_plan
from glam.store.read import read_rows, vectors
from glam.store.verify import verify_store
from glam_serve.cohort.run_command import SOURCE_GONE, Run
from glam_serve.pacs import connection
from tests.samples.orthanc import ABSENT, PASSWORD, USER, Orthanc, is_there, orthanc


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exams")
    write_exams(folder, num_exams=2, seed=5)
    return folder


@pytest.fixture(scope="module")
def pacs(exams: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if not is_there():
        pytest.skip(ABSENT)
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        running.fill(sorted(exams.rglob("*.dcm")))
        yield running


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"user": USER, "password": PASSWORD}))
    path.chmod(0o600)
    return path


def run(bundle: Bundle, url: str, out: Path, auth: Path | None, **options) -> int:
    options = {"threads": 1, "pacs_timeout_s": 20.0} | options
    return Run(dicomweb=url, out=out, bundle=bundle.folder, auth_file=auth, **options).run()


def test_a_store_from_a_pacs_holds_what_that_of_the_files_does(
    pacs: Orthanc, exams: Path, auth: Path, random_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store, of_files = tmp_path / "store", tmp_path / "of_files"
    assert run(random_bundle, pacs.url, store, auth, dry_run=True) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["items_to_do"], counts["images"], counts["estimated"]) == (4, 8, None)
    assert not store.exists()
    assert run(random_bundle, pacs.url, store, auth, shard_size=3) == 0
    assert json.loads(capsys.readouterr().out)["embedded"] == 8
    assert Run(folder=exams, out=of_files, bundle=random_bundle.folder, threads=1).run() == 0
    got, expected = vectors(read_rows(store)), vectors(read_rows(of_files))
    likeness = got @ expected.T
    assert np.allclose(likeness.max(axis=1), 1, atol=1e-5)
    assert sorted(likeness.argmax(axis=1)) == [0, 1, 2, 3]
    assert verify_store(store).problems == ()
    _holds_no_identifier(store, exams)
    before = {path.name: path.read_bytes() for path in store.glob("part-*")}
    assert run(random_bundle, pacs.url, store, auth) == 0
    assert {path.name: path.read_bytes() for path in store.glob("part-*")} == before


def _holds_no_identifier(store: Path, exams: Path) -> None:
    headers = [dcmread(path, stop_before_pixels=True) for path in exams.rglob("*.dcm")]
    names = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate")
    values = {str(header.get(name)).encode() for header in headers for name in names}
    values |= {b"Phantom^Synthetic", PASSWORD.encode(), USER.encode()}
    for path in store.iterdir():
        content = path.read_bytes()
        if path.name in (".pacs", ".salt"):
            assert path.stat().st_mode & 0o777 == 0o600
            assert not [value for value in values if value in content and b"2.25" not in value]
        else:
            assert not [value for value in values if value in content]
    assert str(plan_root(store)).startswith("dicomweb:127.0.0.1:")


def test_wrong_credentials_end_the_run_and_are_not_repeated(
    pacs: Orthanc, random_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    auth = tmp_path / "wrong.json"
    auth.write_text(json.dumps({"user": "mallory", "password": "guess-4711"}))
    auth.chmod(0o600)
    assert run(random_bundle, pacs.url, tmp_path / "store", auth) == SOURCE_GONE
    told = capsys.readouterr()
    assert "refuses the credentials" in told.err
    assert "guess-4711" not in told.err + told.out


def test_a_filter_that_nothing_matches_says_so(pacs: Orthanc, auth: Path, random_bundle: Bundle, tmp_path: Path):
    with pytest.raises(ValueError, match="no mammogram in 0 studies"):
        run(random_bundle, pacs.url, tmp_path / "store", auth, query=("StudyDate=19000101",), dry_run=True)


def test_a_run_whose_pacs_is_gone_goes_on_when_it_is_back_and_tells_what_came_late(
    exams: Path, auth: Path, random_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    if not is_there():
        pytest.skip(ABSENT)
    files = sorted(exams.rglob("*.dcm"))
    late = next(path for path in files if path.stem == "R_MLO")
    store, place = tmp_path / "store", tmp_path / "orthanc"
    with orthanc(place) as first:
        first.fill([path for path in files if path != late])
        url, ports = first.url, {"port": first.port, "dicom_port": first.dicom_port}
        _stops_after_planning(monkeypatch, first)
        assert run(random_bundle, url, store, auth, shard_size=1, pacs_timeout_s=2.0) == SOURCE_GONE
    monkeypatch.undo()
    assert "goes on" in capsys.readouterr().err
    assert not list(store.glob("part-*"))
    planned = read_plan(store)
    assert planned is not None
    with orthanc(place, **ports) as again:
        again.fill([late])
        assert run(random_bundle, url, store, auth, shard_size=1) == 3
        summary = json.loads(capsys.readouterr().out)
        assert (summary["embedded"], summary["files_rejected"]) == (7, {"late_image": 1})
    assert read_plan(store) == planned
    assert verify_store(store).problems == ()


def _stops_after_planning(monkeypatch: pytest.MonkeyPatch, pacs: Orthanc) -> None:
    from glam_serve.cohort import embed

    begin = embed._begin

    def begin_and_stop(*args) -> None:
        begin(*args)
        pacs.process.terminate()
        pacs.process.wait(10)

    monkeypatch.setattr(embed, "_begin", begin_and_stop)


def test_what_is_no_mammogram_is_told_and_a_study_without_one_too(
    auth: Path, random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if not is_there():
        pytest.skip(ABSENT)
    volume = dcmread(mammograms["R_CC"])
    volume.SOPInstanceUID = volume.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    volume.SOPClassUID = volume.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.13.1.3")
    volume.save_as(tmp_path / "volume.dcm")
    with orthanc(tmp_path / "orthanc") as running:
        running.fill([mammograms["L_CC"], tmp_path / "volume.dcm"])
        assert run(random_bundle, running.url, tmp_path / "store", auth) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["embedded"], summary["files_rejected"]) == (1, {"tomosynthesis": 1})
    assert {401, 407} == connection.REFUSES_US
    shutil.rmtree(tmp_path / "orthanc")
