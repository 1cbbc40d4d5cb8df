"""Coded modifiers of a view: each trips its finding, whatever system its code is of and wherever it stands."""

from collections.abc import Callable
from typing import Any

import pytest

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.answers import read_codes
from tests.samples.mammograms import code_item

FileOf = Callable[..., bytes]
SPOT, MAGNIFICATION, TANGENTIAL, DISPLACED = "399055006", "399163009", "399110001", "399209000"


def view_of(modifier: str, scheme: str = "SCT") -> dict[str, Any]:
    """A CC view with a modifier, nested as the standard has it."""
    view = code_item("399162004")
    view.ViewModifierCodeSequence = [code_item(modifier, scheme)]
    return {"ViewCodeSequence": [view]}


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("spot_view", view_of(SPOT)),
        ("spot_view", view_of("R-102D7", "SRT")),
        ("spot_view", {"ViewModifierCodeSequence": [code_item(SPOT)]}),
        ("magnified", view_of(MAGNIFICATION)),
        ("special_view", view_of(TANGENTIAL)),
        ("special_view", view_of("399197002")),
        ("special_view", view_of("399161006")),
        ("special_view", view_of("399011000")),
        ("special_view", view_of("441752004")),
        ("tissue_included", view_of("442593008")),
        ("tissue_included", view_of("442580003")),
        ("unknown_modifier", view_of("12345")),
        ("implant_displaced", {"BreastImplantPresent": "YES"} | view_of(DISPLACED)),
    ],
)
def test_a_coded_modifier_trips_its_code_and_no_other(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]


def test_a_nipple_in_profile_trips_none(file_of: FileOf) -> None:
    assert read_codes(file_of(**view_of("442581004"))) == []


def test_modifiers_are_kept_by_name_each_once(file_of: FileOf) -> None:
    nested = code_item("399162004")
    nested.ViewModifierCodeSequence = [code_item(SPOT), code_item("R-102D6", "SRT")]
    data = file_of(ViewCodeSequence=[nested], ViewModifierCodeSequence=[code_item(SPOT)])
    assert read_view(data, FrameConfig()).modifiers == ("spot compression", "magnification")
