from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.findings import InputError
from glam.pair import choose_views
from glam.reading.identity import decide_side, decide_view
from glam.reading.read import read_view
from glam.view import View

SECRET = "SECRET"
FileOf = Callable[..., bytes]


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def code(value: str, scheme: str = "SCT", meaning: str = SECRET) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def urn(value: str) -> Dataset:
    return item(URNCodeValue=value, CodeMeaning=SECRET)


def meaning(words: str) -> Dataset:
    return item(CodeMeaning=words)


def in_frame(**attributes: Any) -> list[Dataset]:
    return [item(FrameAnatomySequence=[item(**attributes)])]


def codes_of(view: View) -> list[str]:
    return [found.code for found in view.findings]


def error_of(data: Any, **given: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_view(data, FrameConfig(), **given)
    assert SECRET not in str(caught.value)
    return caught.value


NO_VIEW: dict[str, Any] = {"ViewPosition": None}
NO_SIDE: dict[str, Any] = {"ImageLaterality": None}
CC, MLO, ML = "399162004", "399368009", "399260004"


@pytest.mark.parametrize(
    ("changes", "view", "source"),
    [
        ({"ViewCodeSequence": [code(MLO)], "ViewPosition": "MLO"}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code("R-10226", "SRT")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code("R-10242", "SNM3")]}, "CC", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code("R-10226", "99SDM")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [meaning("medio-lateral oblique")]}, "MLO", "ViewCodeSequence"),
        (NO_VIEW | {"ViewCodeSequence": [code("17", "99VENDOR", "Cranio-Caudal")]}, "CC", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code("17", "99VENDOR")]}, "CC", "ViewPosition"),
        (NO_VIEW | {"PatientOrientation": "MLO"}, "MLO", "PatientOrientation"),
        (
            NO_VIEW | {"SharedFunctionalGroupsSequence": in_frame(ViewCodeSequence=[code(CC)])},
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
        (NO_VIEW | {"ViewCodeSequence": [code(MLO, "sct ")]}, "MLO", "ViewCodeSequence"),
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
            NO_SIDE | {"AnatomicRegionSequence": [item(AnatomicRegionModifierSequence=[code("24028007")])]},
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
    [("case7_L_CC", "CC", "L"), ("RMLO", "MLO", "R"), ("left-mlo2", "MLO", "L"), ("12_rt_cc_36ccb1", "CC", "R")],
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
        (NO_VIEW | {"ViewCodeSequence": [code(ML)]}, "ViewCodeSequence says ML:"),
        (NO_VIEW | {"ViewCodeSequence": [code("R-10224", "SRT")]}, "ViewCodeSequence says ML:"),
        ({"ViewPosition": "ML"}, "ViewPosition says ML:"),
        ({"ViewPosition": "XCCL"}, "ViewPosition says XCCL:"),
        (NO_VIEW | {"ViewCodeSequence": [code("399352003")]}, "ViewCodeSequence says LM:"),
        (NO_VIEW | {"SeriesDescription": "L ML"}, "SeriesDescription says ML:"),
        ({"ViewPosition": SECRET}, "a view that is not known here:"),
        (NO_VIEW | {"ViewCodeSequence": [code("12345")]}, "a view that is not known here:"),
        (NO_VIEW, "neither header nor file name"),
    ],
)
def test_another_view_is_refused_by_its_name(file_of: FileOf, changes: dict[str, Any], says: str) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_view"
    assert says in error.message


def test_ml_in_a_file_name_is_refused_but_the_caller_may_say_what_it_means(file_of: FileOf, tmp_path: Path) -> None:
    path = tmp_path / "20588680_036aff49b8ac84f0_MG_L_ML_ANON.dcm"  # INbreast writes MLO so
    path.write_bytes(file_of(**NO_VIEW))
    error = error_of(path)
    assert (error.code, "the file name says ML:" in error.message) == ("unknown_view", True)
    view = read_view(path, FrameConfig(), view="MLO")
    assert (view.view, view.provenance["view"], codes_of(view)) == ("MLO", "request", ["view_words_differ"])


def test_the_request_goes_before_words_and_after_tags(file_of: FileOf) -> None:
    words = {"SeriesDescription": "R MLO"}
    view = read_view(file_of(**NO_VIEW, **NO_SIDE, **words), FrameConfig(), view="cc", laterality="l")
    assert (view.view, view.laterality) == ("CC", "L")
    assert (view.provenance["view"], view.provenance["laterality"]) == ("request", "request")
    assert [found.message for found in view.findings] == [
        "SeriesDescription says MLO, against the request, which was followed",
        "SeriesDescription says R, against the request, which was followed",
    ]
    assert error_of(file_of(), view="MLO").message.startswith("ViewPosition says CC but the request says MLO:")
    assert error_of(file_of(), laterality="R").code == "side_mismatch"
    assert error_of(file_of(**NO_SIDE, Laterality="L"), laterality="R").code == "side_mismatch"


def test_words_against_a_tag_are_told(file_of: FileOf) -> None:
    view = read_view(file_of(SeriesDescription="R MLO"), FrameConfig())
    assert (view.view, view.laterality) == ("CC", "L")
    assert codes_of(view) == ["view_words_differ", "side_words_differ"]


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        ("view_mismatch", {"ViewCodeSequence": [code(MLO)]}),
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
        (NO_SIDE, "neither header nor file name"),
    ],
)
def test_an_image_of_no_single_breast_is_refused(file_of: FileOf, changes: dict[str, Any], says: str) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_laterality"
    assert says in error.message


@pytest.mark.parametrize(
    "changes",
    [
        {"ViewPosition": SECRET},
        {"ViewPosition": ["CC", "MLO"]},
        {"ViewPosition": "CCTV"},
        NO_VIEW | {"ViewCodeSequence": [code("12345")]},
        NO_VIEW | {"ViewCodeSequence": [code(CC), code(MLO)]},
        NO_VIEW | {"ViewCodeSequence": [code("12345")], "SeriesDescription": "L CC"},
    ],
)
def test_the_request_decides_where_the_header_cannot_say_which_view(file_of: FileOf, changes: dict[str, Any]) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_view"
    assert error.message.endswith("name the view in the request")
    for asked in ("CC", "MLO"):
        view = read_view(file_of(**changes), FrameConfig(), view=asked)
        assert (view.view, view.provenance["view"]) == (asked, "request")
        assert "view_tag_unclear" in codes_of(view)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ImageLaterality": "U"}, "ImageLaterality names neither L nor R"),
        ({"ImageLaterality": ["L", "R"]}, "ImageLaterality names neither L nor R"),
        (NO_SIDE | {"Laterality": "B"}, "Laterality names both breasts"),
        (NO_SIDE | {"SeriesDescription": "bilateral"}, "neither header nor file name says which breast this is"),
        (NO_SIDE, "neither header nor file name says which breast this is"),
    ],
)
def test_the_request_decides_where_the_header_names_no_single_side(
    file_of: FileOf, changes: dict[str, Any], says: str
) -> None:
    error = error_of(file_of(**changes))
    assert (error.code, error.message) == ("unknown_laterality", f"{says}: name the side, L or R, in the request")
    for asked, side in (("L", "L"), ("right", "R")):
        view = read_view(file_of(**changes), FrameConfig(), laterality=asked)
        assert (view.laterality, view.provenance["laterality"]) == (side, "request")


@pytest.mark.parametrize(
    ("changes", "given", "refusal"),
    [
        ({"ViewPosition": "LMLO"}, {"view": "CC"}, "view_mismatch"),
        ({"ViewPosition": "ML"}, {"view": "MLO"}, "view_mismatch"),
        (NO_VIEW | {"AcquisitionDeviceProcessingDescription": "MLO"}, {"view": "CC"}, "view_mismatch"),
        ({"ViewPosition": "CC", "ViewCodeSequence": [code("12345")]}, {"view": "MLO"}, "view_mismatch"),
        ({"ImageLaterality": "LEFT"}, {"laterality": "R"}, "side_mismatch"),
        ({"ImageLaterality": "U", "Laterality": "L"}, {"laterality": "R"}, "side_mismatch"),
        ({"ImageLaterality": "B"}, {"laterality": "R"}, "unknown_laterality"),
    ],
)
def test_the_request_never_overrides_a_header_that_says_otherwise(
    file_of: FileOf, changes: dict[str, Any], given: dict[str, str], refusal: str
) -> None:
    assert error_of(file_of(**changes), **given).code == refusal


def test_an_image_of_both_breasts_is_not_told_to_name_a_side(file_of: FileOf) -> None:
    error = error_of(file_of(ImageLaterality="B"))
    assert error.message == "ImageLaterality names both breasts: send an image of one breast"
    assert read_view(file_of(ImageLaterality="L"), FrameConfig()).laterality == "L"


def test_a_view_that_only_words_name_is_answered_as_what_the_request_says(file_of: FileOf) -> None:
    data = file_of(**NO_VIEW, SeriesDescription="LXCCL")
    error = error_of(data)
    assert error.message.endswith("GLAM takes CC and MLO; name the view in the request if it is one of them")
    view = read_view(data, FrameConfig(), view="CC")
    assert (view.view, view.modifiers) == ("CC", ("exaggerated",))
    assert codes_of(view) == ["special_view", "view_words_differ"]
    assert error_of(file_of(ViewPosition="ML")).message.endswith("GLAM takes CC and MLO; send one of them")


def test_a_tag_that_is_passed_over_is_told(file_of: FileOf) -> None:
    view = read_view(file_of(ImageLaterality="U", Laterality="L", ViewCodeSequence=[code("12345")]), FrameConfig())
    assert [found.message for found in view.findings] == [
        "ViewCodeSequence does not name one known view: ViewPosition was followed",
        "ImageLaterality names neither L nor R: Laterality was followed",
    ]


def test_a_placeholder_says_nothing(file_of: FileOf) -> None:
    view = read_view(file_of(ViewPosition="NONE", ImageLaterality="UNKNOWN", SeriesDescription="R MLO"), FrameConfig())
    assert (view.view, view.laterality, view.findings) == ("MLO", "R", ())


def test_a_processing_that_mentions_a_view_is_a_description(file_of: FileOf) -> None:
    said = {"AcquisitionDeviceProcessingDescription": "MLO algorithm"}
    assert codes_of(read_view(file_of(**said), FrameConfig())) == ["view_words_differ"]
    assert read_view(file_of(**NO_VIEW, **said), FrameConfig()).view == "MLO"


@pytest.mark.parametrize("view", ["XYZ", SECRET, "ML"])
def test_a_request_that_names_no_view_of_ours_is_refused(file_of: FileOf, view: str) -> None:
    assert error_of(file_of(**NO_VIEW), view=view).code == "unknown_view"
    assert error_of(file_of(**NO_SIDE), laterality=view).code == "unknown_laterality"


@pytest.mark.parametrize(
    ("view", "laterality", "side"),
    [("LMLO", None, "L"), ("RMLO", "", "R"), ("MLO right", None, "R"), ("R MLO", "R", "R"), ("MLO", "L", "L")],
)
def test_the_side_in_the_view_of_a_request_counts(
    file_of: FileOf, view: str, laterality: str | None, side: str
) -> None:
    asked = read_view(file_of(**NO_SIDE, **NO_VIEW), FrameConfig(), view=view, laterality=laterality)
    assert (asked.view, asked.laterality, asked.provenance["laterality"]) == ("MLO", side, "request")


def test_the_side_in_the_view_of_a_request_is_checked(file_of: FileOf) -> None:
    assert error_of(file_of(ViewPosition="MLO"), view="RMLO").code == "side_mismatch"
    assert read_view(file_of(ViewPosition="MLO"), FrameConfig(), view="LMLO").laterality == "L"
    for view, laterality in (("LMLO", "R"), ("RMLO", "left"), ("LMLO RMLO", None), ("LMLO RMLO", "L")):
        error = error_of(file_of(**NO_SIDE, ViewPosition="MLO"), view=view, laterality=laterality)
        assert (error.code, error.where) == ("bad_field", "view")
    assert error_of(file_of(**NO_SIDE, ViewPosition="MLO"), view="LMLO", laterality="x").code == "unknown_laterality"


def test_a_picture_without_a_header_is_decided_by_request_and_name() -> None:
    assert decide_view(Dataset(), None, file_name="P1_L_DM_MLO").value == "MLO"
    assert decide_side(Dataset(), "R", file_name="scan").source == "request"


@pytest.mark.parametrize(
    ("changes", "spacing_mm", "source"),
    [
        ({}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"PixelSpacing": ["0.3", "0.3"]}, (0.1, 0.2), "ImagerPixelSpacing"),
        (
            {"EstimatedRadiographicMagnificationFactor": "1.25"},
            (0.08, 0.16),
            "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor",
        ),
        (
            {"DistanceSourceToDetector": "650", "DistanceSourceToPatient": "325"},
            (0.05, 0.1),
            "ImagerPixelSpacing / (DistanceSourceToDetector / DistanceSourceToPatient)",
        ),
        ({"EstimatedRadiographicMagnificationFactor": "1"}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"EstimatedRadiographicMagnificationFactor": "0.5"}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"ImagerPixelSpacing": None, "PixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4), "PixelSpacing"),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.04, 0.05]},
            (0.04, 0.05),
            "NominalScannedPixelSpacing",
        ),
        ({"ImagerPixelSpacing": ["0", "0"]}, None, "none"),
        (
            {
                "ImagerPixelSpacing": None,
                "SharedFunctionalGroupsSequence": [item(PixelMeasuresSequence=[item(PixelSpacing=["0.1", "0.1"])])],
            },
            (0.1, 0.1),
            "PixelSpacing",
        ),
    ],
)
def test_the_spacing_is_that_within_the_breast(
    file_of: FileOf, changes: dict[str, Any], spacing_mm: tuple[float, float] | None, source: str
) -> None:
    view = read_view(file_of(**changes), FrameConfig())
    assert view.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm))
    assert view.provenance["spacing_mm"] == source


def test_what_orders_images_is_kept_and_never_shown(file_of: FileOf) -> None:
    when = {"AcquisitionDate": "20200131", "AcquisitionTime": "101500", "ContentTime": "235959", "InstanceNumber": "7"}
    view = read_view(file_of(**when, ContentDate="20200201"), FrameConfig())
    assert view.acquired == ("20200131101500", 7)
    assert "20200131" not in repr(view)


def test_modifiers_are_kept_by_name_each_once(file_of: FileOf) -> None:
    nested = code(CC)
    nested.ViewModifierCodeSequence = [code("399055006"), code("R-102D6", "SRT")]
    data = file_of(ViewCodeSequence=[nested], ViewModifierCodeSequence=[code("399055006")])
    assert read_view(data, FrameConfig()).modifiers == ("spot compression", "magnification")


@pytest.mark.parametrize(
    "changes",
    [
        {"SeriesDescription": "L CC spot"},
        {"ProtocolName": "SPOT"},
        {"ViewPosition": "LSCC"},
        {"ViewCodeSequence": [code(CC)], "SeriesDescription": "L CC SPOT"},
    ],
)
def test_a_modifier_in_words_is_told_as_a_coded_one_and_the_plain_view_is_preferred(
    file_of: FileOf, changes: dict[str, Any]
) -> None:
    spot, plain = read_view(file_of(**changes), FrameConfig()), read_view(file_of(), FrameConfig())
    assert (spot.modifiers, codes_of(spot)) == (("spot compression",), ["spot_view"])
    assert choose_views([spot, plain]).cc is plain
