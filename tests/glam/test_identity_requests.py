"""View and side by the caller's word: after the tags of a header, before its descriptions and the file name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.reading.identity import decide_side, decide_view
from glam.reading.read import read_view
from tests.samples.answers import error_of, finding_codes
from tests.samples.mammograms import SECRET, code_item

FileOf = Callable[..., bytes]
NO_VIEW: dict[str, Any] = {"ViewPosition": None}
NO_SIDE: dict[str, Any] = {"ImageLaterality": None}
CC, MLO = "399162004", "399368009"


def test_ml_in_a_file_name_is_refused_but_the_caller_may_say_what_it_means(file_of: FileOf, tmp_path: Path) -> None:
    path = tmp_path / "20588680_036aff49b8ac84f0_MG_L_ML_ANON.dcm"  # INbreast writes MLO so
    path.write_bytes(file_of(**NO_VIEW))
    error = error_of(path)
    assert (error.code, "the file name says ML:" in error.message) == ("unknown_view", True)
    view = read_view(path, FrameConfig(), view="MLO")
    assert (view.view, view.provenance["view"], finding_codes(view)) == ("MLO", "request", ["view_words_differ"])


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


@pytest.mark.parametrize(
    "changes",
    [
        {"ViewPosition": SECRET},
        {"ViewPosition": ["CC", "MLO"]},
        {"ViewPosition": "CCTV"},
        NO_VIEW | {"ViewCodeSequence": [code_item("12345")]},
        NO_VIEW | {"ViewCodeSequence": [code_item(CC), code_item(MLO)]},
        NO_VIEW | {"ViewCodeSequence": [code_item("12345")], "SeriesDescription": "L CC"},
    ],
)
def test_the_request_decides_where_the_header_cannot_say_which_view(file_of: FileOf, changes: dict[str, Any]) -> None:
    error = error_of(file_of(**changes))
    assert error.code == "unknown_view"
    assert error.message.endswith("send it as cc or as mlo")
    for asked in ("CC", "MLO"):
        view = read_view(file_of(**changes), FrameConfig(), view=asked)
        assert (view.view, view.provenance["view"]) == (asked, "request")
        assert "view_tag_unclear" in finding_codes(view)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ImageLaterality": "U"}, "ImageLaterality names neither L nor R"),
        ({"ImageLaterality": ["L", "R"]}, "ImageLaterality names neither L nor R"),
        (NO_SIDE | {"Laterality": "B"}, "Laterality names both breasts"),
        (NO_SIDE | {"SeriesDescription": "bilateral"}, "the file does not say which breast this is"),
        (NO_SIDE, "the file does not say which breast this is"),
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
        ({"ViewPosition": "CC", "ViewCodeSequence": [code_item("12345")]}, {"view": "MLO"}, "view_mismatch"),
        ({"ImageLaterality": "LEFT"}, {"laterality": "R"}, "side_mismatch"),
        ({"ImageLaterality": "U", "Laterality": "L"}, {"laterality": "R"}, "side_mismatch"),
        ({"ImageLaterality": "B"}, {"laterality": "R"}, "unknown_laterality"),
    ],
)
def test_the_request_never_overrides_a_header_that_says_otherwise(
    file_of: FileOf, changes: dict[str, Any], given: dict[str, str], refusal: str
) -> None:
    assert error_of(file_of(**changes), **given).code == refusal


def test_a_view_that_only_words_name_is_answered_as_what_the_request_says(file_of: FileOf) -> None:
    data = file_of(**NO_VIEW, SeriesDescription="LXCCL")
    error = error_of(data)
    assert error.message.endswith("GLAM takes CC and MLO; send it as cc or as mlo if it is one of them")
    view = read_view(data, FrameConfig(), view="CC")
    assert (view.view, view.modifiers) == ("CC", ("exaggerated",))
    assert finding_codes(view) == ["special_view", "view_words_differ"]
    assert error_of(file_of(ViewPosition="ML")).message.endswith("GLAM takes CC and MLO; send one of them")


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
