"""A projection as a digital mammogram: a DICOM file.

Stored values are 12 bit, MONOCHROME2, windowed LINEAR with centre 2048 and width 4096: PS3.3 C.11.2.1.2.1 then shows
(x - 2047.5) / 4095 + 0.5 = x / 4095 of the full range.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glam.phantom.render import Projection

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "GLAM phantom"
STORED_BITS = 12
Transfer = Literal["explicit", "rle"]
_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.1.2"  # Digital Mammography X-Ray Image Storage - For Presentation
_VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}  # PS3.16 CID 4014
_DOWN = {"CC": "", "MLO": "F"}  # columns run toward the feet in MLO, and medially in both


@dataclass(frozen=True, kw_only=True)
class Study:
    """The invented patient and study that a file belongs to."""

    patient_id: str
    study_uid: str
    age: int = 55
    date: str = "20200101"


def study_of(seed: str, *, age: int = 55, date: str = "20200101") -> Study:
    """Return the patient and study that follow from the text of a seed."""
    digits = hashlib.sha256(f"patient {seed}".encode()).hexdigest()
    return Study(patient_id=f"PHANTOM-{digits[:10]}", study_uid=uid_of("study", seed), age=age, date=date)


def uid_of(*names: str) -> str:
    """Return a UID that follows from names (PS3.5 B.2: 2.25 and the integer of a UUID)."""
    return f"2.25.{int.from_bytes(hashlib.sha256('/'.join(names).encode()).digest()[:16], 'big')}"


def orientation_of(projection: Projection) -> tuple[str, str]:
    """Return where rows and columns point in the patient (PS3.3 C.7.6.1.1.1)."""
    forward, medial = ("A", "R") if projection.laterality == "L" else ("P", "L")
    return forward, _DOWN[projection.view] + medial


def write_dicom(
    path: Path | str, projection: Projection, study: Study | None = None, *, transfer: Transfer = "explicit"
) -> None:
    """Write a projection as a FOR PRESENTATION mammogram; the same one gives the same bytes."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

    study = study or study_of(projection.seed)
    dataset = Dataset()
    for table in (_patient(study), _series(projection, study), _acquisition(projection), pixel_format(projection)):
        for keyword, value in table.items():
            setattr(dataset, keyword, value)
    _add_sequences(dataset, projection)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(_SOP_CLASS)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if transfer == "rle":
        dataset.compress(RLELossless, projection.pixels, generate_instance_uid=False)
    else:
        dataset.PixelData = projection.pixels.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)


def _patient(study: Study) -> dict[str, Any]:
    return {
        "PatientName": "Phantom^Synthetic",
        "PatientID": study.patient_id,
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientAge": f"{study.age:03d}Y",
        "StudyInstanceUID": study.study_uid,
        "StudyID": "1",
        "StudyDate": study.date,
        "StudyTime": "120000",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDescription": "Synthetic mammogram",
    }


def _series(projection: Projection, study: Study) -> dict[str, Any]:
    name = f"{projection.laterality} {projection.view}"
    number = 1 + ["L CC", "R CC", "L MLO", "R MLO"].index(name)
    return {
        "SOPClassUID": _SOP_CLASS,
        "SOPInstanceUID": uid_of("instance", study.study_uid, projection.seed, name, str(projection.px_mm)),
        "SeriesInstanceUID": uid_of("series", study.study_uid),
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageType": ["DERIVED", "PRIMARY"],
        "ContentDate": study.date,
        "ContentTime": "120000",
        "AcquisitionDate": study.date,
        "AcquisitionTime": "120000",
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": "parallel beam",
        "BodyPartExamined": "BREAST",
        "ImageLaterality": projection.laterality,
        "ViewPosition": projection.view,
        "PatientOrientation": list(orientation_of(projection)),
        "OrganExposed": "BREAST",
        "BreastImplantPresent": "NO",
        "PartialView": "NO",
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "ImageComments": "Synthetic phantom: no patient.",
    }


def _acquisition(projection: Projection) -> dict[str, Any]:
    truth, pitch = projection.truth, f"{projection.px_mm:.10g}"
    return {
        "ImagerPixelSpacing": [pitch, pitch],
        "EstimatedRadiographicMagnificationFactor": "1",
        "DistanceSourceToDetector": "650",
        "DistanceSourceToPatient": "650",
        "PositionerType": "MAMMOGRAPHIC",
        "PositionerPrimaryAngle": f"{truth.theta_deg * (1 if projection.laterality == 'L' else -1):.1f}",
        "BodyPartThickness": f"{truth.thickness_mm:.1f}",
        "CompressionForce": "100",
        "KVP": "28",
        "ExposureInuAs": 100000,
        "AnodeTargetMaterial": "TUNGSTEN",
        "FilterMaterial": "RHODIUM",
        "DetectorType": "DIRECT",
        "DetectorID": "PHANTOM",
        "FieldOfViewShape": "RECTANGLE",
        "FieldOfViewDimensions": [round(truth.rows * truth.px_mm), round(truth.cols * truth.px_mm)],
        "FieldOfViewOrigin": ["0", "0"],
        "FieldOfViewRotation": "0",
        "FieldOfViewHorizontalFlip": "NO",
    }


def pixel_format(projection: Projection) -> dict[str, Any]:
    """Return the attributes that say what the stored values are and how they are shown."""
    rows, cols = projection.pixels.shape
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": cols,
        "BitsAllocated": 16,
        "BitsStored": STORED_BITS,
        "HighBit": STORED_BITS - 1,
        "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "WindowCenter": "2048",
        "WindowWidth": "4096",
        "VOILUTFunction": "LINEAR",
    }


def _add_sequences(dataset: "Dataset", projection: Projection) -> None:
    dataset.ViewCodeSequence = [_code(*_VIEW_CODES[projection.view])]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.AnatomicRegionSequence = [_code("76752008", "Breast")]
    dataset.AcquisitionContextSequence = []


def _code(value: str, meaning: str) -> "Dataset":
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code
