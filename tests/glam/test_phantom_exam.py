import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from glam.config import FrameConfig, VoiPolicy
from glam.phantom import PhantomOptions, draw_exam, draw_pair, view_of, write_dicom, write_exams
from glam.phantom import exam as exam_module
from glam.phantom.dicom_file import study_of, uid_of
from glam.phantom.exam import lesion_sides
from glam.phantom.options import density_class
from glam.prepare import prepare
from glam.reading.read import read_view
from glam.words.facts import lesions_from_text

SMALL = PhantomOptions(px_mm=1.0, num_tissue_points=20, lesion_weights=(0, 1, 1, 0, 0, 0, 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exams")
    write_exams(out, num_exams=2, seed=5, options=SMALL)
    return out


def manifest_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("transfer", ["explicit", "rle"])
def test_the_view_in_memory_is_the_view_of_the_file(tmp_path, laterality, transfer):
    for projection in draw_pair(3, SMALL, laterality=laterality)[:2]:
        write_dicom(tmp_path / "view.dcm", projection, transfer=transfer)
        read, made = read_view(tmp_path / "view.dcm", FrameConfig()), view_of(projection, FrameConfig())
        np.testing.assert_array_equal(read.pixels, made.pixels)
        assert read.pixels.dtype == made.pixels.dtype
        nothing = {"pixels": np.zeros(0), "provenance": {}}
        assert str(replace(read, **nothing)) == str(replace(made, **nothing))
        assert (read.patient_id, read.study_uid) == (made.patient_id, made.study_uid)
        for name in ("view", "laterality", "spacing_mm", "voi"):
            assert read.provenance[name] == made.provenance[name]


@pytest.mark.parametrize("voi", get_args(VoiPolicy))
def test_the_view_in_memory_is_the_view_of_the_file_under_every_policy(tmp_path, voi):
    for projection in draw_pair(3, SMALL)[:2]:
        before = projection.pixels.copy()
        write_dicom(tmp_path / "view.dcm", projection)
        read, made = read_view(tmp_path / "view.dcm", FrameConfig(voi=voi)), view_of(projection, FrameConfig(voi=voi))
        np.testing.assert_array_equal(read.pixels, made.pixels)
        assert (read.voi, read.provenance["voi"], read.findings) == (voi, made.provenance["voi"], made.findings)
        prepare(made, FrameConfig(size=56, voi=voi))
        np.testing.assert_array_equal(projection.pixels, before)


def test_a_file_says_it_is_a_digital_mammogram_for_presentation(tmp_path):
    from pydicom import dcmread

    _, projection, truth = draw_pair(4, SMALL, laterality="R")
    write_dicom(tmp_path / "mlo.dcm", projection)
    file = dcmread(tmp_path / "mlo.dcm")
    assert file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.2"
    assert file.PresentationIntentType == "FOR PRESENTATION"
    assert (file.ViewPosition, file.ImageLaterality, file.Modality) == ("MLO", "R", "MG")
    assert (file.ViewCodeSequence[0].CodeValue, file.ViewCodeSequence[0].CodingSchemeDesignator) == ("399368009", "SCT")
    assert list(file.PatientOrientation) == ["P", "FL"]
    assert list(file.ImagerPixelSpacing) == [1.0, 1.0]
    assert (file.BitsStored, file.PhotometricInterpretation) == (12, "MONOCHROME2")
    assert file.PositionerPrimaryAngle == pytest.approx(-truth.views["MLO"].theta_deg, abs=0.1)
    np.testing.assert_array_equal(file.pixel_array, projection.pixels)


def test_the_same_projection_gives_the_same_bytes(tmp_path):
    projection = draw_pair(4, SMALL).cc
    for name in ("first.dcm", "second.dcm"):
        write_dicom(tmp_path / name, projection)
    assert (tmp_path / "first.dcm").read_bytes() == (tmp_path / "second.dcm").read_bytes()


def test_identifiers_follow_from_the_seed():
    assert study_of("7/1") == study_of("7/1")
    assert study_of("7/1").patient_id != study_of("7/2").patient_id
    uids = {uid_of("instance", str(number)) for number in range(50)}
    assert len(uids) == 50
    assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in uids)


def test_the_manifest_has_a_row_an_image(folder):
    rows = manifest_rows(folder)
    assert tuple(rows[0]) == exam_module.MANIFEST_COLUMNS
    assert len(rows) == len({row["image_id"] for row in rows}) == 8
    assert len({row["patient_id"] for row in rows}) == 2
    for row in rows:
        assert int(row["birads"]) in (0, 1, 2)
        assert row["split"] in ("train", "val", "test")
        lesions, boxes = lesions_from_text(row["findings"]), json.loads(row["boxes"])
        assert len(lesions) == len(boxes) == len(json.loads(row["finding_ids"]))
        assert (row["birads"] == "1") == (not lesions)
        view = read_view(folder / row["path"], FrameConfig())
        assert (view.view, view.laterality, view.patient_id) == (row["view"], row["laterality"], row["patient_id"])
        assert view.spacing_mm == (float(row["spacing_mm"]),) * 2


def test_a_finding_has_one_id_in_both_views_of_its_breast_and_in_no_other(folder):
    ids = {
        (row["exam_id"], row["laterality"], row["view"]): json.loads(row["finding_ids"])
        for row in manifest_rows(folder)
    }
    breasts = {key[:2] for key in ids}
    assert all(ids[*breast, "CC"] == ids[*breast, "MLO"] for breast in breasts)
    every = [name for breast in breasts for name in ids[*breast, "CC"]]
    assert len(every) == len(set(every)) > 0


def test_an_exam_has_one_study_and_one_density_class(folder):
    rows = manifest_rows(folder)
    by_exam = {
        row["exam_id"]: {(r["density"], r["age"]) for r in rows if r["exam_id"] == row["exam_id"]} for row in rows
    }
    assert all(len(values) == 1 for values in by_exam.values())


def test_every_image_has_a_report(folder):
    reports = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    rows = manifest_rows(folder)
    assert [report["image_id"] for report in reports] == [row["image_id"] for row in rows]
    assert all(f"BI-RADS Category {row['birads']}" in report["text"] for report, row in zip(reports, rows, strict=True))


def test_the_truth_of_an_exam_lies_beside_it(folder):
    truth = json.loads((folder / "exams" / "000001" / "truth.json").read_text())
    assert set(truth) == {"L", "R"}
    assert truth["L"]["views"]["CC"]["laterality"] == "L"
    assert density_class(truth["R"]["gland_fraction"]) == truth["R"]["density"]


def test_an_exam_does_not_depend_on_how_many_there_are(folder):
    exam = draw_exam(5, 1, SMALL)
    for side, pair in exam.breasts.items():
        path = folder / "exams" / "000001" / f"{side}_CC.dcm"
        np.testing.assert_array_equal(
            read_view(path, FrameConfig()).pixels, view_of(pair.cc, FrameConfig(), exam.study).pixels
        )


def test_lesions_lie_mostly_in_one_breast():
    rng = np.random.default_rng(0)
    drawn = Counter(lesion_sides(rng) for _ in range(1000))
    assert 20 < drawn["L", "R"] < 90
    assert min(drawn["L",], drawn["R",]) > 420


def test_a_run_that_was_stopped_leaves_no_half_exam_and_goes_on(tmp_path, folder, monkeypatch):
    written = []

    def stops_at_the_sixth_file(path, *args, **kwargs):
        if len(written) == 5:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        write_dicom(path, *args, **kwargs)

    monkeypatch.setattr(exam_module, "write_dicom", stops_at_the_sixth_file)
    with pytest.raises(KeyboardInterrupt):
        write_exams(tmp_path, num_exams=2, seed=5, options=SMALL)
    assert [path.name for path in (tmp_path / "exams").glob("[0-9]*")] == ["000000"]
    assert not (tmp_path / "manifest.csv").exists()
    monkeypatch.undo()
    write_exams(tmp_path, num_exams=2, seed=5, options=SMALL)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_folder_of_another_seed_is_refused(folder):
    with pytest.raises(ValueError, match="another seed"):
        write_exams(folder, num_exams=2, seed=6, options=SMALL)


def test_asking_for_fewer_exams_drops_none_from_the_manifest(tmp_path):
    write_exams(tmp_path, num_exams=2, seed=5, options=SMALL)
    files = [tmp_path / name for name in ("manifest.csv", "reports.jsonl")]
    before = [file.read_bytes() for file in files]
    (tmp_path / "exams" / ".000002.part").mkdir()
    write_exams(tmp_path, num_exams=1, seed=5, options=SMALL)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("num_exams", [0, -1])
def test_no_exams_at_all_are_refused_before_anything_is_written(tmp_path, num_exams):
    with pytest.raises(ValueError, match="ask for 1 or more"):
        write_exams(tmp_path / "out", num_exams=num_exams, seed=5, options=SMALL)
    assert not (tmp_path / "out").exists()
