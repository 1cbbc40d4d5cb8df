"""What a header makes of an image as a whole: each refusal and each finding, alone, and plain headers without any."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread

from glam.config import FrameConfig
from glam.pair import choose_views
from glam.reading.read import read_view
from tests.samples.answers import finding_codes, read_codes
from tests.samples.mammograms import code_item, item

FileOf = Callable[..., bytes]
STORAGE = "1.2.840.10008.5.1.4.1.1."
VOLUME_CLASS = {"SOPClassUID": f"{STORAGE}13.1.3"}
VOLUME = VOLUME_CLASS | {"NumberOfFrames": "1"}
DISTANCES_EQUAL = {"DistanceSourceToDetector": "650", "DistanceSourceToPatient": "650"}
DISTANCES_120 = {"DistanceSourceToDetector": "660", "DistanceSourceToPatient": "550"}


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("encapsulated_document", {"SOPClassUID": f"{STORAGE}104.1"}),
        ("encapsulated_document", {"EncapsulatedDocument": b"%PDF"}),
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
        *(
            ("synthetic_2d", {"SeriesDescription": f"L CC {words}"})
            for words in ("Generated2D", "Synthetic Mammogram", "synthesized_2D", "S-Views")
        ),
        ("synthetic_2d", {"SourceImageSequence": [item(ReferencedSOPClassUID=f"{STORAGE}13.1.3")]}),
        ("quality_control", {"QualityControlImage": "YES"}),
        ("specimen", {"ViewCodeSequence": [code_item("127457009")]}),
        ("specimen", {"SeriesDescription": "L specimen"}),
        ("other_organ", {"OrganExposed": "CHEST"}),
        ("modality_differs", {"Modality": "CT"}),
        ("biopsy", {"ImageType": ["ORIGINAL", "PRIMARY", "POSTMARKER"]}),
        ("biopsy", {"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_PLUS"]}),
        ("subtraction", {"ImageType": ["DERIVED", "PRIMARY", "RECOMBINED"]}),
        ("contrast", {"ContrastBolusAgent": "IODINE"}),
        ("contrast", {"SeriesDescription": "CEM L CC"}),
        ("partial_view", {"PartialView": "YES"}),
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
        ("implant", {"BreastImplantPresent": "YES"}),
        ("male_breast", {"PatientSex": "M"}),
        ("burned_in", {"BurnedInAnnotation": "YES"}),
        ("lossy", {"LossyImageCompression": "01"}),
        ("orientation_unclear", {"PatientOrientation": ["F", "A"]}),
    ],
)
def test_a_header_trips_its_code_and_no_other(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]


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
        {"Modality": ""},
        {"SeriesDescription": "LCC no implant, Patient ID 17", "ProtocolName": "MLO/CC IMAGE, ACCESSION 5 ml"},
    ],
)
def test_a_plain_mammogram_trips_none(file_of: FileOf, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"SeriesDescription": "L CC spot"},
        {"ProtocolName": "SPOT"},
        {"ViewPosition": "LSCC"},
        {"ViewCodeSequence": [code_item("399162004")], "SeriesDescription": "L CC SPOT"},
    ],
)
def test_a_modifier_in_words_is_told_as_a_coded_one_and_the_plain_view_is_preferred(
    file_of: FileOf, changes: dict[str, Any]
) -> None:
    spot, plain = read_view(file_of(**changes), FrameConfig()), read_view(file_of(), FrameConfig())
    assert (spot.modifiers, finding_codes(spot)) == (("spot compression",), ["spot_view"])
    assert choose_views([spot, plain]).cc is plain


def test_a_tomosynthesis_volume_hidden_in_a_private_group_is_refused(file_of: FileOf) -> None:
    dataset = dcmread(BytesIO(file_of(SOPClassUID=f"{STORAGE}7")))
    dataset.private_block(0x7E01, "HOLOGIC, Inc.", create=True).add_new(0x10, "OB", b"\0\0")
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    assert read_codes(stream.getvalue()) == ["tomosynthesis"]


DERIVED = ["DERIVED", "PRIMARY"]


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        *(
            ("tomosynthesis", {"SeriesDescription": words})
            for words in (
                "L CC Breast Tomosynthesis Image slice 12",
                "TOMO RECON",
                "L CC DBT slices",
                "L CC slab",
                "L CC slice 12",
                "L CC Tomosynthese Schicht 3",
                "L CC reconstructed tomo",
                "TOMO PROJECTIONS",
                "tomo_slices",
                "L CC SmartSlice",
            )
        ),
        ("tomosynthesis", {"ImageType": [*DERIVED, "SLAB"]}),
        *(
            ("not_a_mammogram", {"SOPClassUID": f"{STORAGE}{kind}"})
            for kind in ("6.1", "3.1", "4", "4.1", "20", "128", "12.1")
        ),
        *(("film", {"SOPClassUID": f"{STORAGE}{kind}"}) for kind in ("7", "7.2", "1", "1.1")),
        ("film", {"SOPClassUID": "1.2.276.0.1"}),
        *(
            ("contrast", {"SeriesDescription": words})
            for words in (
                "L CC contrast-enhanced",
                "L CC with contrast",
                "L galactogram",
                "L CC ductogram",
                "L CC Kontrastmittel",
            )
        ),
        *(
            ("biopsy", {"SeriesDescription": words})
            for words in (
                "L CC wire localization",
                "L CC needle loc",
                "L CC post clip",
                "L CC clip placement",
                "L CC Drahtmarkierung",
            )
        ),
        *(("special_view", {"SeriesDescription": words}) for words in ("TAN CC", "RL CC", "RM L CC")),
        *(
            ("magnified", {"SeriesDescription": words})
            for words in ("L CC 1.8X", "CC x1,5", "L CC 1.5 x", "L CC vergroting", "L CC Lupenaufnahme")
        ),
    ],
)
def test_words_trip_the_code_of_their_kind(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]


@pytest.mark.parametrize(
    "words",
    [
        *(
            "L CC Combo TomoHD",
            "L CC tomo",
            "TOMO 2D",
            "L CC no contrast",
            "L CC without contrast",
            "L CC high contrast",
        ),
        *(
            "L CC no biopsy",
            "L CC no C-View",
            "L CC contrast enhancement",
            "L CC 1.0X",
            "L CC 2x",
            "L CC 11.8X",
            "L CC underwire",
            "L CC drahtloser Detektor",
            "CC L",
        ),
    ],
)
def test_words_of_plain_images_trip_none(file_of: FileOf, words: str) -> None:
    assert read_codes(file_of(SeriesDescription=words)) == []


def test_a_synthetic_image_made_of_slices_is_no_slice(file_of: FileOf) -> None:
    assert read_codes(file_of(SeriesDescription="L CC C-View of tomo slices")) == ["synthetic_2d"]
    assert read_codes(file_of(SeriesDescription="L specimen slice 3")) == ["specimen"]
