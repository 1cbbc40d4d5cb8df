import json
from pathlib import Path

from glam_ui.examples import examples_in


def test_folders_are_exams_with_the_truth_beside_them(tmp_path: Path):
    exam = tmp_path / "b"
    exam.mkdir()
    for name in ("R_CC.dcm", "L_CC.dcm", "rows.json"):
        (exam / name).write_bytes(name.encode())
    (tmp_path / "note.txt").touch()
    found = examples_in(tmp_path)
    assert list(found) == ["b"]
    assert [upload.content for upload in found["b"].uploads()] == [b"L_CC.dcm", b"R_CC.dcm"]
    assert found["b"].true_places() is None
    assert examples_in(None) == {}


def test_the_truth_names_the_same_points_in_both_views(tmp_path: Path):
    lesion = {"views": {"CC": {"centre": [10.0, 20.0]}, "MLO": {"centre": [30.0, 40.0]}}}
    views = {
        name: {"lesions": [{"box": [0, 0, 1, 1]}, None], "tissue": [[place, place + 0.123]]}
        for place, name in enumerate(("CC", "MLO"))
    }
    folder = tmp_path / "exam"
    folder.mkdir()
    (folder / "truth.json").write_text(json.dumps({"L": {"views": views, "lesions": [lesion]}}))
    places = examples_in(tmp_path)["exam"].true_places()
    assert places == {
        "L": {
            "boxes": {"cc": [[0, 0, 1, 1]], "mlo": [[0, 0, 1, 1]]},
            "points": {"cc": [[10.0, 20.0], [0, 0.1]], "mlo": [[30.0, 40.0], [1, 1.1]]},
        }
    }
