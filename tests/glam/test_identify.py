"""What a header says of an image is what reading it says, without its pixels."""

from pathlib import Path

import pytest

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.identify import identify
from glam.reading.read import read_view
from tests.samples.mammograms import SECRET, file_of


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"ImageLaterality": "R", "ViewPosition": "MLO"},
        {"ViewPosition": "", "SeriesDescription": "L CC"},
        {"SeriesDescription": "C-View"},
    ],
)
def test_view_side_and_kind_are_those_of_reading(tmp_path: Path, header: dict[str, str]):
    path = written(tmp_path / "a.dcm", file_of(**header))
    view, identity = read_view(path, FrameConfig()), identify(path)
    assert identity[:3] == (view.view, view.laterality, view.synthetic)
    assert identity[3:] == (SECRET, "1.2.4", "1.2.3")


def test_a_picture_is_named_by_its_file(tmp_path: Path):
    from PIL import Image

    Image.new("L", (64, 64)).save(tmp_path / "R_MLO.png")
    assert identify(tmp_path / "R_MLO.png") == ("MLO", "R", False, "", "", "")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "not_a_mammogram"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"ViewPosition": "ML"}, "unknown_view"),
        ({"ImageLaterality": ""}, "unknown_laterality"),
        ({"NumberOfFrames": "3"}, "multi_frame"),
    ],
)
def test_what_reading_refuses_by_the_header_is_refused_alike(tmp_path: Path, header: dict[str, str], code: str):
    path = written(tmp_path / "a.dcm", file_of(**header))
    for read in (identify, lambda path: read_view(path, FrameConfig())):
        with pytest.raises(InputError) as caught:
            read(path)
        assert caught.value.code == code
        assert SECRET not in caught.value.message


@pytest.mark.parametrize(("content", "code"), [(b"no mammogram", "not_dicom"), (file_of()[:300], "truncated")])
def test_what_is_no_file_of_an_image_is_refused(tmp_path: Path, content: bytes, code: str):
    with pytest.raises(InputError) as caught:
        identify(written(tmp_path / "a.dcm", content))
    assert caught.value.code == code


def test_a_path_that_cannot_be_opened_is_an_os_error(tmp_path: Path):
    with pytest.raises(OSError, match="No such file"):
        identify(tmp_path / "nowhere.dcm")
