"""Each code that is said of an image: a file that trips it, and the plain file, which trips none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.findings import CODES, InputError
from glam.pair import ChosenViews, choose_views
from glam.prepare import prepare
from glam.reading.read import read_view
from glam.view import View

FileOf = Callable[..., bytes]
STORAGE = "1.2.840.10008.5.1.4.1.1."
SECRET = "SECRET"


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def code(value: str, scheme: str = "SCT") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="")


def view_of(modifier: str, scheme: str = "SCT") -> dict[str, Any]:
    """A CC view with a modifier, nested as the standard has it."""
    view = code("399162004")
    view.ViewModifierCodeSequence = [code(modifier, scheme)]
    return {"ViewCodeSequence": [view]}


VOLUME_CLASS = {"SOPClassUID": f"{STORAGE}13.1.3"}
VOLUME = VOLUME_CLASS | {"NumberOfFrames": "1"}
DISTANCES_EQUAL = {"DistanceSourceToDetector": "650", "DistanceSourceToPatient": "650"}
DISTANCES_120 = {"DistanceSourceToDetector": "660", "DistanceSourceToPatient": "550"}
SPOT, MAGNIFICATION, TANGENTIAL, DISPLACED = "399055006", "399163009", "399110001", "399209000"
PLANTED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("encapsulated_document", {"SOPClassUID": f"{STORAGE}104.1"}),
    ("encapsulated_document", {"EncapsulatedDocument": b"%PDF"}),
    ("truncated", {"PixelData": None}),
    ("no_pixel_data", {"SOPClassUID": f"{STORAGE}88.50"}),
    ("no_pixel_data", {"SOPClassUID": f"{STORAGE}11.1"}),
    ("tomosynthesis", {"SOPClassUID": f"{STORAGE}13.1.3"}),
    ("tomosynthesis", {"SOPClassUID": f"{STORAGE}13.1.4"}),
    ("tomosynthesis", {"SOPClassUID": f"{STORAGE}2"}),
    ("tomosynthesis", {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO"], "NumberOfFrames": "40"}),
    ("tomosynthesis", {"ImageType": ["DERIVED", "PRIMARY", "TOMO_PROJ", "LEFT"]}),
    ("tomosynthesis", {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"]}),
    ("tomosynthesis", {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS"], **VOLUME}),
    (
        "tomosynthesis",
        {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"], "NumberOfFrames": "2", **VOLUME_CLASS},
    ),
    ("tomosynthesis", {"ImageType": ["DERIVED", "PRIMARY", "", "GENERATED_2D"], "SOPClassUID": f"{STORAGE}13.1.4"}),
    ("multi_frame", {"NumberOfFrames": "4"}),
    ("for_processing", {"SOPClassUID": f"{STORAGE}1.2.1", "PresentationIntentType": "FOR PROCESSING"}),
    ("for_processing", {"PresentationIntentType": "FOR PROCESSING"}),
    ("not_a_mammogram", {"SOPClassUID": f"{STORAGE}2", "Modality": "CT"}),
    ("not_a_mammogram", {"SOPClassUID": f"{STORAGE}1", "Modality": "CR", "BodyPartExamined": "CHEST"}),
    ("not_monochrome", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
    ("not_monochrome", {"PhotometricInterpretation": "PALETTE COLOR"}),
    ("bad_value", {"Rows": 0}),
    ("too_large", {"Rows": 9000, "Columns": 9000}),
    ("truncated", {"PixelData": b"\0\0"}),
    ("unknown_view", {"ViewPosition": "ML"}),
    ("unknown_laterality", {"ImageLaterality": "B"}),
    ("view_mismatch", {"ViewCodeSequence": [code("399368009")]}),
    ("side_mismatch", {"FrameAnatomySequence": [item(FrameLaterality="R")]}),
    ("no_breast", {"PixelData": bytes(2 * 64 * 48), "WindowCenter": None}),
    ("film", {"SOPClassUID": f"{STORAGE}7"}),
    ("film", {"ConversionType": "DF"}),
    ("synthetic_2d", {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]}),
    ("synthetic_2d", {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS"]}),
    ("synthetic_2d", {"ImageType": ["DERIVED", "PRIMARY", "TOMO_2D", "LEFT", "", "", "", "", "150000"]}),
    ("synthetic_2d", {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"], **VOLUME}),
    ("synthetic_2d", {"ProcessingFunction": "S-View"}),
    ("synthetic_2d", {"SeriesDescription": "L CC Insight 2D"}),
    ("synthetic_2d", {"SeriesDescription": "L CC C-View"}),
    ("synthetic_2d", {"ManufacturerModelName": "Intelligent 2D"}),
    ("synthetic_2d", {"SourceImageSequence": [item(ReferencedSOPClassUID=f"{STORAGE}13.1.3")]}),
    ("quality_control", {"QualityControlImage": "YES"}),
    ("specimen", {"ViewCodeSequence": [code("127457009")]}),
    ("specimen", {"SeriesDescription": "L specimen"}),
    ("other_organ", {"OrganExposed": "CHEST"}),
    ("biopsy", {"ImageType": ["ORIGINAL", "PRIMARY", "POSTMARKER"]}),
    ("biopsy", {"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_PLUS"]}),
    ("subtraction", {"ImageType": ["DERIVED", "PRIMARY", "RECOMBINED"]}),
    ("contrast", {"ContrastBolusAgent": "IODINE"}),
    ("contrast", {"SeriesDescription": "CEM L CC"}),
    ("partial_view", {"PartialView": "YES"}),
    ("spot_view", view_of(SPOT)),
    ("spot_view", view_of("R-102D7", "SRT")),
    ("spot_view", {"ViewModifierCodeSequence": [code(SPOT)]}),
    ("magnified", view_of(MAGNIFICATION)),
    ("magnified", {"EstimatedRadiographicMagnificationFactor": "1.5"}),
    ("magnified", {"DistanceSourceToDetector": "651", "DistanceSourceToPatient": "370"}),
    ("magnified", {"EstimatedRadiographicMagnificationFactor": "1.8", **DISTANCES_EQUAL}),
    ("magnified", {"SeriesDescription": "L CC MAG"}),
    ("magnification_differs", {"EstimatedRadiographicMagnificationFactor": "1", **DISTANCES_120}),
    ("spot_view", {"SeriesDescription": "L CC SPOT"}),
    ("special_view", {"SeriesDescription": "L CC ROLLED MED"}),
    ("special_view", {"SeriesDescription": "L CC TANGENTIAL"}),
    ("implant_displaced", {"SeriesDescription": "L CC ID", "BreastImplantPresent": "YES"}),
    ("implant", {"SeriesDescription": "LCC (IMPLANT)"}),
    ("special_view", view_of(TANGENTIAL)),
    ("special_view", view_of("399197002")),
    ("special_view", view_of("399161006")),
    ("special_view", view_of("399011000")),
    ("special_view", view_of("441752004")),
    ("tissue_included", view_of("442593008")),
    ("tissue_included", view_of("442580003")),
    ("unknown_modifier", view_of("12345")),
    ("implant", {"BreastImplantPresent": "YES"}),
    ("implant_displaced", {"BreastImplantPresent": "YES"} | view_of(DISPLACED)),
    ("male_breast", {"PatientSex": "M"}),
    ("burned_in", {"BurnedInAnnotation": "YES"}),
    ("lossy", {"LossyImageCompression": "01"}),
    ("orientation_unclear", {"PatientOrientation": ["F", "A"]}),
    ("no_spacing", {"ImagerPixelSpacing": None}),
    ("odd_spacing", {"ImagerPixelSpacing": ["0.001", "50"]}),
    ("no_window", {"WindowCenter": None, "WindowWidth": None}),
    ("view_words_differ", {"SeriesDescription": "MLO"}),
    ("side_words_differ", {"ProtocolName": "RCC"}),
    ("side_tags_differ", {"Laterality": "R"}),
    ("side_tags_differ", {"ViewPosition": "RCC"}),
    ("side_tag_unclear", {"ImageLaterality": "U", "Laterality": "L"}),
    ("view_tag_unclear", {"ViewCodeSequence": [code("12345")]}),
)
"""What of the header trips a code; every code of a header alone."""


def shot(view: str = "CC", **changes: Any) -> View:
    facts = {"laterality": "L", "patient_id": SECRET, "study_uid": "1.2"} | changes
    return View(pixels=np.zeros((2, 2), np.uint16), view=view, **facts)  # type: ignore[arg-type]


FILM = {"is_mg": False}
OF_PAIRS: dict[str, tuple[View, ...]] = {
    "missing_view": (),
    "side_mismatch": (shot(), shot("MLO", laterality="R")),
    "patient_mismatch": (shot(), shot("MLO", patient_id="other")),
    "study_mismatch": (shot(), shot("MLO", study_uid="1.3")),
    "patient_differs": (shot(**FILM), shot("MLO", **FILM, patient_id="other")),
    "study_differs": (shot(**FILM), shot("MLO", **FILM, study_uid="1.3")),
    "mixed_pair": (shot(), shot("MLO", synthetic=True)),
    "same_view_twice": (shot(), shot(), shot("MLO")),
    "lone_view": (shot(),),
}
"""The images of a breast that trip a code of several."""


def outcome(read: Callable[[], View | ChosenViews]) -> list[str]:
    """The code of the error, or those of the findings; a message with a patient's value counts as a code."""
    try:
        said = read().findings
    except InputError as error:
        said = (error,)
    return [found.message if SECRET in found.message else found.code for found in said]


@pytest.mark.parametrize(("expected", "changes"), PLANTED)
def test_a_header_trips_its_code_and_no_other(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert outcome(lambda: read_view(file_of(**changes), FrameConfig())) == [expected]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ImageType": ["ORIGINAL", "PRIMARY"]},
        {"NumberOfFrames": "1", "QualityControlImage": "NO", "PartialView": "NO", "BreastImplantPresent": "NO"},
        {"BurnedInAnnotation": "NO", "LossyImageCompression": "00", "PatientOrientation": ["A", "R"]},
        {"SeriesDescription": "L CC", "ProtocolName": "Mammographic view", "ManufacturerModelName": "Senographe"},
        {"SourceImageSequence": [item(ReferencedSOPClassUID=f"{STORAGE}1.2.1")], "ContrastBolusAgent": ""},
        {"EstimatedRadiographicMagnificationFactor": "1.06", "Laterality": "L", "PatientSex": "O"},
        {"EstimatedRadiographicMagnificationFactor": "1.0", **DISTANCES_EQUAL, "OrganExposed": "BREAST"},
        {"DistanceSourceToDetector": "660", "DistanceSourceToPatient": "635", "BreastImplantPresent": "NO"},
        {"SeriesDescription": "LCC no implant, Patient ID 17", "ProtocolName": "MLO/CC IMAGE, ACCESSION 5 ml"},
        {"ViewPosition": "LCC", "AcquisitionDeviceProcessingDescription": "CC", "Laterality": "B"},
        view_of("442581004"),
    ],
)
def test_a_plain_mammogram_trips_none(file_of: FileOf, changes: dict[str, Any]) -> None:
    assert outcome(lambda: read_view(file_of(**changes), FrameConfig())) == []


@pytest.mark.parametrize("expected", OF_PAIRS)
def test_the_files_of_a_breast_trip_their_code_and_no_other(expected: str) -> None:
    assert outcome(lambda: choose_views(OF_PAIRS[expected])) == [expected]


def test_a_plain_pair_trips_none() -> None:
    assert outcome(lambda: choose_views([shot(), shot("MLO")])) == []


def test_a_breast_that_touches_no_edge_leaves_its_side_unclear() -> None:
    y, x = np.mgrid[:400, :300]
    for centre, unclear in ((150, True), (0, False)):
        distance = np.hypot(y - 200, x - centre)
        disc = np.where(distance < 100, 50_000 - 100 * distance, 0).astype(np.uint16)
        made = prepare(View(pixels=disc, view="CC", laterality="L"), FrameConfig(size=126))
        assert ("side_unclear" in [found.code for found in made.findings]) == unclear


def test_a_code_that_is_not_planted_here_is_planted_by_the_tests_of_bytes_pixels_or_requests() -> None:
    here = {code for code, _ in PLANTED} | set(OF_PAIRS)
    tests = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert [code for code in CODES if code not in here and not any(f'"{code}"' in text for text in tests)] == []
    assert here <= set(CODES)
