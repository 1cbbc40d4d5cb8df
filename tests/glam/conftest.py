"""A small valid mammogram as DICOM bytes, with what a test changes about its header."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SECRET = "SECRET"
PLAIN: dict[str, Any] = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2",
    "SOPInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2.4",
    "PatientID": SECRET,
    "PatientName": SECRET,
    "PatientSex": "F",
    "Modality": "MG",
    "PresentationIntentType": "FOR PRESENTATION",
    "ImageType": ["DERIVED", "PRIMARY"],
    "ImageLaterality": "L",
    "ViewPosition": "CC",
    "ImagerPixelSpacing": ["0.1", "0.2"],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "WindowCenter": "2048",
    "WindowWidth": "4096",
}


def half_ellipse(rows: int = 64, cols: int = 48) -> np.ndarray:
    """A breast of 12-bit values against the left edge, brighter toward its middle, on 0."""
    y, x = np.mgrid[:rows, :cols]
    inside = 1 - (x / (0.7 * cols)) ** 2 - ((y + 0.5 - rows / 2) / (0.4 * rows)) ** 2
    return np.where(inside > 0, np.rint(4000 * (0.3 + 0.7 * np.clip(inside, 0, 1))), 0).astype(np.uint16)


@pytest.fixture
def file_of() -> Callable[..., bytes]:
    """A function: attributes to set, None for those to leave out -> the bytes of the file."""

    def encoded(pixels: np.ndarray | None = None, **changes: Any) -> bytes:
        values = half_ellipse() if pixels is None else pixels
        size = {"Rows": values.shape[-2], "Columns": values.shape[-1], "PixelData": values.tobytes()}
        dataset = Dataset()
        for keyword, value in (PLAIN | size | changes).items():
            if value is not None:
                setattr(dataset, keyword, value)
        if "PixelData" in dataset:
            dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return encoded
