from typing import Any

import numpy as np
import pytest

from glam.dicom import View
from glam.intake import InputError
from glam.pairing import Chosen, choose_views


def shot(view: str = "CC", **changes: Any) -> View:
    facts = {"laterality": "L", "patient_id": "A", "study_uid": "1.2"} | changes
    return View(pixels=np.zeros((2, 2), np.uint16), view=view, **facts)  # type: ignore[arg-type]


def messages(chosen: Chosen) -> list[str]:
    return [found.message for found in chosen.findings]


SPOT = {"modifiers": ("spot compression",)}
DISPLACED = {"modifiers": ("implant displaced",)}
EARLY, LATE = {"acquired": ("20200101080000", 9)}, {"acquired": ("20200101080500", 2)}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, SPOT | LATE),
        ({"modifiers": ("nipple in profile",)} | LATE, {}),
        ({}, {"partial": True} | LATE),
        ({}, {"synthetic": True} | LATE),
        ({"partial": True}, SPOT),
        ({"synthetic": True}, {"partial": True}),
        (LATE, EARLY),
        ({"acquired": ("20200101", 3)}, {"acquired": ("20200101", 2)}),
        (DISPLACED, LATE),
    ],
)
def test_of_two_images_of_a_view_the_better_one_is_taken(better: dict[str, Any], worse: dict[str, Any]) -> None:
    good, bad = shot(**better), shot(**worse)
    for number, views in enumerate(([good, bad], [bad, good]), start=1):
        chosen = choose_views(views)
        assert chosen.cc is good
        assert messages(chosen)[0] == f"2 of the files show the CC view: number {number} of them was taken"


def test_of_equal_images_the_first_is_taken() -> None:
    first, second = shot(), shot()
    assert choose_views([first, second]).cc is first


def test_a_pair_is_not_mixed_where_it_need_not_be() -> None:
    plain, made = shot("MLO"), shot("MLO", synthetic=True)
    only = shot(synthetic=True)
    assert choose_views([only, plain, made]).mlo is made
    assert choose_views([only, made, shot(), plain]).mlo is plain
    assert [found.code for found in choose_views([only, plain]).findings] == ["mixed_pair"]


def test_with_an_implant_both_views_have_it_displaced_or_neither() -> None:
    plain, displaced = shot("MLO"), shot("MLO", **DISPLACED)
    assert choose_views([shot(), plain, displaced]).mlo is plain
    assert choose_views([shot(), shot(**DISPLACED), plain, displaced]).mlo is displaced


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("side_mismatch", {"laterality": "R"}),
        ("patient_mismatch", {"patient_id": "B"}),
        ("study_mismatch", {"study_uid": "9"}),
    ],
)
def test_an_image_of_another_breast_or_exam_is_never_passed_over(code: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        choose_views([shot(), shot("MLO"), shot("MLO", **SPOT, **changes)])
    assert caught.value.code == code


def test_a_lone_view_is_chosen_alone() -> None:
    chosen = choose_views([shot("MLO")])
    assert (chosen.cc, [found.code for found in chosen.findings]) == (None, ["lone_view"])
