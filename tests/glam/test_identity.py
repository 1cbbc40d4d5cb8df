"""View and side by a header and a file name: which source is followed, which contradiction is refused or told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.answers import error_of, finding_codes, read_codes
from tests.samples.mammograms import SECRET, code_item, item
from tests.samples.mammograms import file_of as mammogram_file

FileOf = Callable[..., bytes]


def urn(value: str) -> Dataset:
    return item(URNCodeValue=value, CodeMeaning=SECRET)


def meaning(words: str) -> Dataset:
    return item(CodeMeaning=words)


def in_frame(**attributes: Any) -> list[Dataset]:
    return [item(FrameAnatomySequence=[item(**attributes)])]


NO_VIEW: dict[str, Any] = {"ViewPosition": None}
NO_SIDE: dict[str, Any] = {"ImageLaterality": None}
CC, MLO, ML = "399162004", "399368009", "399260004"


@pytest.mark.parametrize(
    ("changes", "view", "source"),
    [
        ({"ViewCodeSequence": [code_item(MLO)], "ViewPosition": "MLO"}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("R-10226", "SRT")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("R-10242", "SNM3")]}, "CC", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("R-10226", "99SDM")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [meaning("medio-lateral oblique")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("17", "99VENDOR", "Cranio-Caudal")]}, "CC", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code_item("17", "99VENDOR")]}, "CC", "ViewPosition"),
        (NO_VIEW | {"PatientOrientation": "MLO"}, "MLO", "PatientOrientation"),
        (
            NO_VIEW | {"SharedFunctionalGroupsSequence": in_frame(ViewCodeSequence=[code_item(CC)])},
            "CC",
            "functional groups",
        ),
        (
            NO_VIEW | {"ViewCodeSequence": [item(LongCodeValue=MLO, CodingSchemeDesignator="SCT")]},
            "MLO",
            "ViewCodeSequence",
        ),
        (NO_VIEW | {"ViewCodeSequence": [urn(f"http://snomed.info/id/{MLO}")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [urn(f"urn:oid:2.16.840.1.113883.6.96.{CC}")]}, "CC", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code_item(MLO, "sct ")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [item(CodeValue=CC)]}, "CC", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [meaning("oblique medial-lateral (MLO) view")]}, "MLO", "ViewCodeSequence"),
        ({"ViewPosition": "LMLO"}, "MLO", "ViewPosition"),
        ({"ViewPosition": "L CC"}, "CC", "ViewPosition"),
        ({"ViewPosition": ["MLO", ""]}, "MLO", "ViewPosition"),
        ({"ViewPosition": "CRANIOCAUDAL"}, "CC", "ViewPosition"),
        (NO_VIEW | {"AcquisitionDeviceProcessingDescription": "CC"}, "CC", "AcquisitionDeviceProcessingDescription"),
        (
            NO_VIEW | {"AcquisitionDeviceProcessingDescription": "L MLO"},
            "MLO",
            "AcquisitionDeviceProcessingDescription",
        ),
        (NO_VIEW | {"SeriesDescription": "L MLO"}, "MLO", "SeriesDescription"),
        (NO_VIEW | {"SeriesDescription": "Screening", "ProtocolName": "RCC"}, "CC", "ProtocolName"),
    ],
)
def test_the_view_comes_from_the_first_source_that_names_it(
    file_of: FileOf, changes: dict[str, Any], view: str, source: str
) -> None:
    found = read_view(file_of(**changes), FrameConfig())
    assert (found.view, found.provenance["view"]) == (view, source)


@pytest.mark.parametrize(
    ("changes", "side", "source"),
    [
        ({"ImageLaterality": "R", "Laterality": "R"}, "R", "ImageLaterality"),
        (NO_SIDE | {"SharedFunctionalGroupsSequence": in_frame(FrameLaterality="R")}, "R", "FrameLaterality"),
        (NO_SIDE | {"FrameAnatomySequence": [item(FrameLaterality="R")], "Laterality": "L"}, "R", "FrameLaterality"),
        (NO_SIDE | {"Laterality": "R"}, "R", "Laterality"),
        (
            NO_SIDE | {"AnatomicRegionSequence": [item(AnatomicRegionModifierSequence=[code_item("24028007")])]},
            "R",
            "AnatomicRegionModifierSequence",
        ),
        (NO_SIDE | {"SeriesDescription": "RIGHT CC"}, "R", "SeriesDescription"),
        ({"ImageLaterality": "RIGHT"}, "R", "ImageLaterality"),
        ({"ImageLaterality": "U", "Laterality": "R"}, "R", "Laterality"),
        (NO_SIDE | {"Laterality": "B", "SeriesDescription": "R CC"}, "R", "SeriesDescription"),
        ({"ImageLaterality": "U", "SeriesDescription": "R CC"}, "R", "SeriesDescription"),
        (NO_SIDE | {"ViewPosition": "RCC"}, "R", "ViewPosition"),
        (
            NO_SIDE | {"AnatomicRegionSequence": [item(AnatomicRegionModifierSequence=[meaning("Right breast")])]},
            "R",
            "AnatomicRegionModifierSequence",
        ),
    ],
)
def test_the_side_comes_from_the_image_before_its_series(
    file_of: FileOf, changes: dict[str, Any], side: str, source: str
) -> None:
    found = read_view(file_of(**changes), FrameConfig())
    assert (found.laterality, found.provenance["laterality"]) == (side, source)


@pytest.mark.parametrize(
    ("name", "view", "side"),
    [("case7_L_CC", "CC", "L"), ("Smith-R-MLO", "MLO", "R"), ("left-mlo2", "MLO", "L"), ("12_rt_cc_36ccb1", "CC", "R")],
)
def test_a_file_name_says_what_nothing_else_does(
    file_of: FileOf, tmp_path: Path, name: str, view: str, side: str
) -> None:
    path = tmp_path / f"{name}.dcm"
    path.write_bytes(file_of(**NO_VIEW, **NO_SIDE))
    found = read_view(path, FrameConfig())
    assert (found.view, found.laterality) == (view, side)
    assert (found.provenance["view"], found.provenance["laterality"]) == ("file name", "file name")


@pytest.mark.parametrize("name", ["L_CC_and_MLO", "cc36af_bilateral", "scan"])
def test_a_name_that_says_several_things_or_none_says_nothing(file_of: FileOf, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.dcm"
    path.write_bytes(file_of(**NO_VIEW))
    assert error_of(path).code == "unknown_view"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (NO_VIEW | {"ViewCodeSequence": [code_item(ML)]}, "ViewCodeSequence says ML:"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("R-10224", "SRT")]}, "ViewCodeSequence says ML:"),
        ({"ViewPosition": "ML"}, "ViewPosition says ML:"),
        ({"ViewPosition": "XCCL"}, "ViewPosition says XCCL:"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("399352003")]}, "ViewCodeSequence says LM:"),
        (NO_VIEW | {"SeriesDescription": "L ML"}, "SeriesDescription says ML:"),
        ({"ViewPosition": SECRET}, "a view that is not known here:"),
        (NO_VIEW | {"ViewCodeSequence": [code_item("12345")]}, "a view that is not known here:"),
        (NO_VIEW, "the file does not say which"),
    ],
)
def test_another_view_is_refused_by_its_name(file_of: FileOf, changes: dict[str, Any], says: str) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_view"
    assert says in error.message


def test_words_against_a_tag_are_told(file_of: FileOf) -> None:
    view = read_view(file_of(SeriesDescription="R MLO"), FrameConfig())
    assert (view.view, view.laterality) == ("CC", "L")
    assert finding_codes(view) == ["view_words_differ", "side_words_differ"]


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        ("view_mismatch", {"ViewCodeSequence": [code_item(MLO)]}),
        ("view_mismatch", {"PatientOrientation": "MLO"}),
        ("side_mismatch", {"FrameAnatomySequence": [item(FrameLaterality="R")]}),
    ],
)
def test_two_tags_of_the_image_that_differ_are_refused(file_of: FileOf, refusal: str, changes: dict[str, Any]) -> None:
    assert error_of(file_of(**changes)).code == refusal


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ImageLaterality": "B"}, "ImageLaterality names both breasts:"),
        (NO_SIDE | {"FrameAnatomySequence": [item(FrameLaterality="B")]}, "FrameLaterality names both breasts:"),
        ({"ImageLaterality": SECRET}, "ImageLaterality names neither L nor R:"),
        (NO_SIDE, "the file does not say which"),
    ],
)
def test_an_image_of_no_single_breast_is_refused(file_of: FileOf, changes: dict[str, Any], says: str) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_laterality"
    assert says in error.message


def test_an_image_of_both_breasts_is_not_told_to_name_a_side(file_of: FileOf) -> None:
    error = error_of(file_of(ImageLaterality="B"))
    assert error.message == "ImageLaterality names both breasts: send an image of one breast"
    assert read_view(file_of(ImageLaterality="L"), FrameConfig()).laterality == "L"


def test_a_tag_that_is_passed_over_is_told(file_of: FileOf) -> None:
    view = read_view(file_of(ImageLaterality="U", Laterality="L", ViewCodeSequence=[code_item("12345")]), FrameConfig())
    assert [found.message for found in view.findings] == [
        "ViewCodeSequence does not name one known view: ViewPosition was followed",
        "ImageLaterality names neither L nor R: Laterality was followed",
    ]


def test_a_placeholder_says_nothing(file_of: FileOf) -> None:
    view = read_view(file_of(ViewPosition="NONE", ImageLaterality="UNKNOWN", SeriesDescription="R MLO"), FrameConfig())
    assert (view.view, view.laterality, view.findings) == ("MLO", "R", ())


def test_a_processing_that_mentions_a_view_is_a_description(file_of: FileOf) -> None:
    said = {"AcquisitionDeviceProcessingDescription": "MLO algorithm"}
    assert finding_codes(read_view(file_of(**said), FrameConfig())) == ["view_words_differ"]
    assert read_view(file_of(**NO_VIEW, **said), FrameConfig()).view == "MLO"


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("unknown_view", {"ViewPosition": "ML"}),
        ("unknown_laterality", {"ImageLaterality": "B"}),
        ("view_mismatch", {"ViewCodeSequence": [code_item(MLO)]}),
        ("side_mismatch", {"FrameAnatomySequence": [item(FrameLaterality="R")]}),
        ("view_words_differ", {"SeriesDescription": "MLO"}),
        ("side_words_differ", {"ProtocolName": "RCC"}),
        ("side_tags_differ", {"Laterality": "R"}),
        ("side_tags_differ", {"ViewPosition": "RCC"}),
        ("side_tag_unclear", {"ImageLaterality": "U", "Laterality": "L"}),
        ("view_tag_unclear", {"ViewCodeSequence": [code_item("12345")]}),
    ],
)
def test_a_header_trips_its_code_and_no_other(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]


WORDS_THAT_DIFFER = (
    ("unknown_laterality", NO_SIDE | {"SeriesDescription": "R CC", "ProtocolName": "L CC"}, {"laterality": "L"}),
    ("unknown_view", NO_VIEW | {"SeriesDescription": "L CC", "ProtocolName": "L MLO"}, {"view": "MLO"}),
)


@pytest.mark.parametrize(("refusal", "changes", "asked"), WORDS_THAT_DIFFER)
def test_words_that_contradict_each_other_are_not_chosen_from_and_the_request_decides(
    file_of: FileOf, refusal: str, changes: dict[str, Any], asked: dict[str, str]
) -> None:
    error = error_of(file_of(**changes))
    assert (error.code, "SeriesDescription says" in error.message) == (refusal, True)
    assert " but ProtocolName says " in error.message
    view = read_view(file_of(**changes), FrameConfig(), **asked)
    assert asked.items() <= {"view": view.view, "laterality": view.laterality}.items()
    assert len(view.findings) == 1  # the word that says otherwise


def test_a_file_name_against_a_description_is_not_chosen_from(file_of: FileOf, tmp_path: Path) -> None:
    path = tmp_path / "R_CC.dcm"
    path.write_bytes(file_of(**NO_SIDE, SeriesDescription="L CC"))
    assert "SeriesDescription says L but the file name says R: name the side" in error_of(path).message
    assert read_view(path, FrameConfig(), laterality="L").laterality == "L"


def test_sources_that_agree_trip_none(file_of: FileOf) -> None:
    agreeing = {"ViewPosition": "LCC", "AcquisitionDeviceProcessingDescription": "CC", "Laterality": "B"}
    assert read_codes(file_of(**agreeing)) == []


PRIVATE_CODE: dict[str, Any] = {"value": "17", "scheme": "99VENDOR"}


@pytest.mark.parametrize(
    ("words", "view"),
    [
        ("medio-lateral 45 degree oblique", "MLO"),
        ("mediolateral 60\u00b0 oblique", "MLO"),
        ("Oblique medio-laterale (MLO)", "MLO"),
        ("cranio-caudal (CC)", "CC"),
        ("cranio-caudal, not medio-lateral oblique", "CC"),
        ("CC view", "CC"),
    ],
)
def test_a_meaning_names_its_view(file_of: FileOf, words: str, view: str) -> None:
    coded = {"ViewCodeSequence": [code_item(**PRIVATE_CODE, meaning=words)]}
    found = read_view(file_of(**NO_VIEW, SpecificCharacterSet="ISO_IR 192", **coded), FrameConfig())
    assert (found.view, found.provenance["view"], found.findings) == (view, "ViewCodeSequence", ())


@pytest.mark.parametrize(
    "words",
    [
        "cranio-caudal or medio-lateral oblique",
        "CC / MLO",
        "cranio-caudal and MLO",
        "not medio-lateral oblique",
        "no CC",
        "other than cranio-caudal",
        "mediolateral view, oblique",
        "left",
    ],
)
def test_a_meaning_of_two_views_or_of_none_is_passed_over(file_of: FileOf, words: str) -> None:
    coded = {"ViewCodeSequence": [code_item(**PRIVATE_CODE, meaning=words)]}
    assert "a view that is not known here" in error_of(file_of(**NO_VIEW, **coded)).message
    assert read_codes(file_of(ViewPosition="MLO", **coded)) == ["view_tag_unclear"]


def test_a_meaning_carries_the_modifiers_of_its_view(file_of: FileOf) -> None:
    coded = {"ViewCodeSequence": [code_item(**PRIVATE_CODE, meaning="cranio-caudal rolled lateral")]}
    found = read_view(file_of(**NO_VIEW, **coded), FrameConfig())
    assert (found.view, found.modifiers, finding_codes(found)) == ("CC", ("rolled lateral",), ["special_view"])


@pytest.mark.parametrize(
    "words",
    ["right and left", "left or right", "Links und rechts", "left/right", "gauche et droite", "both left and right"],
)
def test_a_meaning_of_two_sides_is_passed_over_and_told(file_of: FileOf, words: str) -> None:
    coded = {"AnatomicRegionModifierSequence": [code_item(**PRIVATE_CODE, meaning=words)]}
    assert error_of(file_of(**NO_SIDE, **coded)).code == "unknown_laterality"
    found = read_view(file_of(**NO_SIDE, **coded), FrameConfig(), laterality="R")
    assert (found.laterality, finding_codes(found)) == ("R", ["side_tag_unclear"])


@pytest.mark.parametrize("words", ["not left", "left arm", "R/O", "upper outer", "left unavailable"])
def test_a_meaning_of_no_side_says_nothing(file_of: FileOf, words: str) -> None:
    coded = {"AnatomicRegionModifierSequence": [code_item(**PRIVATE_CODE, meaning=words)]}
    assert error_of(file_of(**NO_SIDE, **coded)).message.startswith("the file does not say which breast")


SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


@pytest.mark.parametrize(
    "changes",
    [
        {SHARED: in_frame(FrameLaterality="B")},
        {PER_FRAME: in_frame(FrameLaterality="B")},
        {"FrameAnatomySequence": [item(FrameLaterality="B")]},
        {PER_FRAME: in_frame(FrameLaterality="L") + in_frame(FrameLaterality="R")},
        {SHARED: in_frame(FrameLaterality="L"), PER_FRAME: in_frame(FrameLaterality="R")},
        {PER_FRAME: [item(FrameAnatomySequence=[item(FrameLaterality="L"), item(FrameLaterality="R")])]},
    ],
)
@pytest.mark.parametrize("image", ["L", "R", None])
def test_frames_of_both_breasts_are_refused(file_of: FileOf, changes: dict[str, Any], image: str | None) -> None:
    error = error_of(file_of(ImageLaterality=image, **changes), laterality="L")
    assert error.code == "unknown_laterality"
    assert error.message == "FrameLaterality names both breasts: send an image of one breast"


def test_frames_of_one_breast_are_read_and_checked_against_the_image(file_of: FileOf) -> None:
    frames = {SHARED: in_frame(FrameLaterality="R"), PER_FRAME: [*in_frame(FrameLaterality="R"), *in_frame()]}
    assert read_view(file_of(**NO_SIDE, **frames), FrameConfig()).laterality == "R"
    assert error_of(file_of(**frames)).code == "side_mismatch"
    later = {PER_FRAME: [*in_frame(), *in_frame(FrameLaterality="R")]}
    assert error_of(file_of(**later)).code == "side_mismatch"


def test_frames_of_two_views_name_none(file_of: FileOf) -> None:
    frames = in_frame(ViewCodeSequence=[code_item(CC)]) + in_frame(ViewCodeSequence=[code_item(MLO)])
    assert error_of(file_of(**NO_VIEW, **{PER_FRAME: frames})).code == "unknown_view"


CONTRADICTIONS = (
    ("view_mismatch", {"ViewCodeSequence": [code_item(MLO)]}, {"ViewPosition": "MLO"}),
    ("view_mismatch", {"PatientOrientation": "MLO"}, {"PatientOrientation": None}),
    ("side_mismatch", {SHARED: in_frame(FrameLaterality="R")}, {"ImageLaterality": "R"}),
    ("side_mismatch", NO_SIDE | {"Laterality": "L", "ViewPosition": "RCC"}, {"Laterality": None}),
    (
        "side_mismatch",
        NO_SIDE | {"Laterality": "R", "AnatomicRegionModifierSequence": [code_item("7771000")]},
        {"Laterality": "B"},
    ),
)


@pytest.mark.parametrize(("refusal", "changes", "correction"), CONTRADICTIONS)
def test_a_header_that_contradicts_itself_is_to_be_corrected_and_can_be(
    file_of: FileOf, refusal: str, changes: dict[str, Any], correction: dict[str, Any]
) -> None:
    for asked in ({}, {"view": "CC"}, {"laterality": "L"}, {"view": "CC", "laterality": "R"}):
        error = error_of(file_of(**changes), **asked)
        assert (error.code, error.message.endswith(": correct the header, which contradicts itself")) == (refusal, True)
    assert read_codes(file_of(**changes | correction)) == []


def test_a_header_that_contradicts_the_request_is_another_file() -> None:
    data = mammogram_file()
    for asked in ({"view": "MLO"}, {"laterality": "R"}):
        assert error_of(data, **asked).message.endswith(": check which file went where")
    assert read_view(data, FrameConfig(), view="CC", laterality="L").findings == ()
