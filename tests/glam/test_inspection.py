import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glam.bundle import Bundle
from glam.cli import Inspect
from glam.config import FrameConfig
from glam.drawing.inspection import MINT, NOTES, PINK
from glam.drawing.paint import AMBER, QUERY
from glam.inspection import Inspected, Refusal, inspect_file
from glam.predict_command import UsageError
from glam.prepare import prepare_sha
from glam.reading.read import CallerFacts

FileOf = Callable[..., bytes]
GIVEN = CallerFacts()


@pytest.fixture
def inspect(random_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """A function: files and options -> what `glam inspect` prints, and the error it ends with."""

    def run(*files: Path, **options: Any) -> tuple[dict[str, Any], str]:
        error = ""
        try:
            Inspect(files=files, bundle=random_bundle.folder, **options).run()
        except ValueError as failed:
            error = str(failed)
        return json.loads(capsys.readouterr().out), error

    return run


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many pixels of the images, not of the legend, have a colour."""
    pixels = np.asarray(picture).astype(int)[:, : -(NOTES + 30)]
    return int((np.abs(pixels - colour).max(-1) < 12).sum())


def test_a_broken_file_does_not_stop_the_others(
    inspect: Callable[..., Any], mammograms: dict[str, Path], tmp_path: Path
) -> None:
    stray = tmp_path / "stray.dcm"
    stray.write_text("hello")
    answer, error = inspect(stray, mammograms["L_CC"], tmp_path / "nowhere.dcm", mammograms["L_MLO"])
    first, cc, absent, mlo = answer["files"]
    assert (first["code"], absent["code"]) == ("not_dicom", "unreadable")
    assert (cc["view"], mlo["view"], mlo["laterality"]) == ("CC", "MLO", "L")
    assert error.splitlines()[0] == "2 of 4 files cannot be used"
    assert f"{stray}: not_dicom: this is not a DICOM file" in error
    assert answer["breasts"] == {"L": {"cc": str(mammograms["L_CC"]), "mlo": str(mammograms["L_MLO"]), "findings": []}}


def test_another_grey_policy_is_looked_at_by_an_option(
    inspect: Callable[..., Any], mammograms: dict[str, Path], random_bundle: Bundle
) -> None:
    plain, _ = inspect(mammograms["L_CC"])
    answer, error = inspect(mammograms["L_CC"], voi="minmax")
    assert (error, answer["files"][0]["provenance"]["voi"]) == ("", "image range")
    assert plain["files"][0]["provenance"]["voi"] == "window LINEAR"
    assert plain["prepare_sha"] == answer["bundle"]["prepare_sha"] == random_bundle.prepare_sha
    assert answer["prepare_sha"] == prepare_sha(replace(random_bundle.model.frame, voi="minmax"))


def test_each_breast_has_its_pair(inspect: Callable[..., Any], mammograms: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again.dcm"
    again.write_bytes(mammograms["L_CC"].read_bytes())
    answer, error = inspect(mammograms["L_CC"], again, mammograms["L_MLO"], mammograms["R_CC"])
    assert error == ""
    codes = {side: [found["code"] for found in breast["findings"]] for side, breast in answer["breasts"].items()}
    assert codes == {"L": ["same_view_twice"], "R": ["lone_view"]}
    assert answer["breasts"]["L"]["cc"] == str(mammograms["L_CC"])


def test_files_of_two_patients_are_no_pair(inspect: Callable[..., Any], file_of: FileOf, tmp_path: Path) -> None:
    cc, mlo = tmp_path / "cc.dcm", tmp_path / "mlo.dcm"
    cc.write_bytes(file_of())
    mlo.write_bytes(file_of(ViewPosition="MLO", PatientID="someone else"))
    answer, error = inspect(cc, mlo)
    assert error == ""
    assert answer["breasts"]["L"]["code"] == "patient_mismatch"
    assert "SECRET" not in json.dumps(answer)


def test_the_bundle_decides_how_the_square_is_laid(
    inspect: Callable[..., Any], random_bundle: Bundle, mammograms: dict[str, Path]
) -> None:
    answer, _ = inspect(mammograms["L_MLO"])
    (entry,) = answer["files"]
    assert entry["frame"]["size"] == random_bundle.model.frame.size
    assert answer["prepare_sha"] == answer["bundle"]["prepare_sha"] == random_bundle.prepare_sha
    assert entry["landmarks"]["axis_from"] in ("muscle", "nipple", "usual")
    assert 0 < entry["preparation"]["muscle_share"] < 0.5
    assert entry["preparation"]["muscle_mm2"] > 100


def test_what_was_given_fills_every_header(inspect: Callable[..., Any], file_of: FileOf, tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(file_of(ViewPosition=None, ImageLaterality=None))
    assert inspect(path)[0]["files"][0]["code"] == "unknown_view"
    entry = inspect(path, view="CC", laterality="L")[0]["files"][0]
    assert (entry["provenance"]["view"], entry["provenance"]["laterality"]) == ("request", "request")


def test_the_picture_has_a_row_a_file_that_can_be_used(
    inspect: Callable[..., Any], mammograms: dict[str, Path], tmp_path: Path
) -> None:
    png, stray = tmp_path / "seen.png", tmp_path / "stray.dcm"
    stray.write_text("hello")
    sizes = []
    for files in ((mammograms["L_CC"],), (mammograms["L_CC"], stray, mammograms["R_CC"])):
        inspect(*files, png=png)
        with Image.open(png) as picture:
            sizes.append(picture.size)
    one, two = sizes
    assert two == (one[0], 2 * one[1])


def test_the_landmarks_and_the_square_are_drawn_where_they_were_seen(mammograms: dict[str, Path]) -> None:
    drawn = {}
    for name in ("L_CC", "L_MLO"):
        outcome = inspect_file(mammograms[name], FrameConfig(size=126), GIVEN, drawn=True)
        assert isinstance(outcome, Inspected)
        assert outcome.picture is not None
        drawn[name] = outcome.picture
    assert count(drawn["L_CC"], AMBER) == 0  # a CC view has no pectoral line
    assert count(drawn["L_MLO"], AMBER) > 300
    for picture in drawn.values():
        assert count(picture, MINT) > 300
        assert count(picture, QUERY) > 300
        assert count(picture, PINK) > 10


def test_a_file_that_was_inspected_keeps_no_pixels(mammograms: dict[str, Path]) -> None:
    outcome = inspect_file(mammograms["L_CC"], FrameConfig(size=126), GIVEN, drawn=False)
    assert isinstance(outcome, Inspected)
    assert (outcome.view.pixels.size, outcome.picture) == (0, None)


def test_an_empty_image_is_refused_as_in_a_request(file_of: FileOf, tmp_path: Path) -> None:
    path = tmp_path / "empty.dcm"
    path.write_bytes(file_of(PixelData=bytes(2 * 64 * 48)))
    outcome = inspect_file(path, FrameConfig(size=126), GIVEN, drawn=True)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "no_breast"


def test_too_many_pictures_are_a_wrong_command_line(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"{number}.dcm" for number in range(9))
    with pytest.raises(UsageError, match="up to 8 files"):
        Inspect(files=files, png=tmp_path / "seen.png").run()
    with pytest.raises(UsageError, match="one DICOM file or more"):
        Inspect(files=()).run()


def test_a_file_named_twice_is_reported_twice(mammograms: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    Inspect(files=(mammograms["L_CC"], mammograms["L_CC"])).run()
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["files"]) == 2
    assert answer["notice"] == "research use only, not for diagnosis"
    assert [found["code"] for found in answer["breasts"]["L"]["findings"]] == ["same_view_twice", "lone_view"]


@pytest.mark.parametrize("png", ["missing/seen.png", "seen.xyz", "seen"])
def test_a_picture_that_cannot_be_written_is_refused_before_any_file_is_read(png: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in a folder that exists"):
        Inspect(files=(tmp_path / "absent.dcm",), png=tmp_path / png).run()
