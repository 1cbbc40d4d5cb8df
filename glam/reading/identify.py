"""What a file shows and whose it is, by its header alone: no pixel is decoded."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from glam.findings import input_error
from glam.reading import header
from glam.reading.header import quiet_pydicom
from glam.reading.identity import decide_side, decide_view
from glam.reading.image_file import picture_format
from glam.reading.kind import kind_of
from glam.reading.parse import parse
from glam.reading.pixels import check_pixels_follow
from glam.reading.source import content
from glam.view import Side, ViewName

if TYPE_CHECKING:
    from pydicom import Dataset


class ImageIdentity(NamedTuple):
    """An image and where it belongs; the identifiers are values of the patient, "" where the file has none."""

    view: ViewName
    laterality: Side
    is_synthetic: bool
    patient_id: str
    study_uid: str
    instance_uid: str


def identify(path: Path) -> ImageIdentity:
    """Return what `read_view` would find out about a file without looking at its pixels.

    InputError for what it would refuse by the header; a path that cannot be opened is an OSError.
    """
    from pydicom import Dataset

    with quiet_pydicom():
        data = content(path)
        if picture_format(data):
            return _identity(Dataset(), is_synthetic=False, file_name=path.stem)
        dataset = parse(data)
        check_pixels_follow(dataset)
        is_synthetic = kind_of(dataset).synthetic
        if "PixelData" not in dataset:
            raise input_error("no_pixel_data")
        return _identity(dataset, is_synthetic=is_synthetic, file_name=path.stem)


def identify_header(dataset: "Dataset") -> ImageIdentity:
    """Return what `identify` would find out about the file of a header, which has no pixels with it."""
    with quiet_pydicom():
        return _identity(dataset, is_synthetic=kind_of(dataset).synthetic)


def _identity(dataset: "Dataset", *, is_synthetic: bool, file_name: str = "") -> ImageIdentity:
    return ImageIdentity(
        view=cast(ViewName, decide_view(dataset, None, file_name=file_name).value),
        laterality=cast(Side, decide_side(dataset, None, file_name=file_name).value),
        is_synthetic=is_synthetic,
        patient_id=header.text(dataset, "PatientID").strip(),
        study_uid=header.text(dataset, "StudyInstanceUID").strip(),
        instance_uid=header.text(dataset, "SOPInstanceUID").strip(),
    )
