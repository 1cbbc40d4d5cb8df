from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.mapping import Mapper
from glam.pair import PreparedBreast, check_pair, choose_views, length_mm, prepare_breast, read_breast
from glam.view import View, ViewName
from glam.words.sentences import check_prompts
from tests.samples.answers import answered_codes, finding_codes, refusal
from tests.samples.mammograms import SECRET, file_of


def shot(view: ViewName = "CC", **changes: Any) -> View:
    facts = {"laterality": "L", "patient_id": SECRET, "study_uid": "1.2"} | changes
    return View(pixels=np.zeros((2, 2), np.uint16), view=view, **facts)


SPOT = {"modifiers": ("spot compression",)}
DISPLACED = {"modifiers": ("implant displaced",)}
EARLY, LATE = {"acquired": ("20200101080000", 9)}, {"acquired": ("20200101080500", 2)}


def test_a_file_that_cannot_be_read_is_named_by_its_key() -> None:
    error = refusal(lambda: read_breast({"cc": shot(), "mlo": b""}, FrameConfig()))
    assert (error.code, error.where) == ("not_dicom", "mlo")
    assert str(error).startswith("mlo: this is not a DICOM file")


def test_views_in_memory_stay_as_they_are_and_an_absent_one_is_left_out() -> None:
    view = shot("MLO")
    views = read_breast({"cc": None, "mlo": view}, FrameConfig())
    assert list(views) == ["mlo"]
    assert views["mlo"] is view


def test_views_that_are_taken_at_the_same_time_are_those_taken_one_after_the_other() -> None:
    config, files = FrameConfig(size=28), {"cc": file_of(ViewPosition="CC"), "mlo": file_of(ViewPosition="MLO")}

    def prepared(mapper: Mapper) -> PreparedBreast:
        views = read_breast(files, config, mapper=mapper)
        return prepare_breast(config, views["cc"], views["mlo"], mapper=mapper)

    with ThreadPoolExecutor(2) as pool:
        breast, expected = prepared(pool.map), prepared(map)
    assert list(breast.views) == ["cc", "mlo"]
    assert breast.findings == expected.findings
    for key, view in breast.views.items():
        assert (view.findings, view.provenance) == (expected.views[key].findings, expected.views[key].provenance)
        assert np.array_equal(view.input.pixels, expected.views[key].input.pixels)


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
        assert chosen.findings[0].message == f"2 of the files show the CC view: number {number} of them was taken"


def test_of_equal_images_the_first_is_taken() -> None:
    first, second = shot(), shot()
    assert choose_views([first, second]).cc is first


def test_a_pair_is_not_mixed_where_it_need_not_be() -> None:
    plain, synthetic = shot("MLO"), shot("MLO", synthetic=True)
    only = shot(synthetic=True)
    assert choose_views([only, plain, synthetic]).mlo is synthetic
    assert choose_views([only, synthetic, shot(), plain]).mlo is plain
    assert finding_codes(choose_views([only, plain])) == ["mixed_pair"]


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
    views = [shot(), shot("MLO"), shot("MLO", **SPOT, **changes)]
    assert refusal(lambda: choose_views(views)).code == code


def test_a_lone_view_is_chosen_alone() -> None:
    chosen = choose_views([shot("MLO")])
    assert (chosen.cc, finding_codes(chosen)) == (None, ["lone_view"])


FILM = {"is_mg": False}
PLANTED: dict[str, tuple[View, ...]] = {
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
"""Code -> the images of a breast that trip it."""


@pytest.mark.parametrize("code", PLANTED)
def test_the_files_of_a_breast_trip_their_code_and_no_other(code: str) -> None:
    assert answered_codes(lambda: choose_views(PLANTED[code])) == [code]


def test_a_plain_pair_trips_none() -> None:
    assert answered_codes(lambda: choose_views([shot(), shot("MLO")])) == []


def test_two_views_of_one_breast_are_a_pair() -> None:
    assert check_pair(shot("CC"), shot("MLO")) == ()


@pytest.mark.parametrize(
    ("code", "cc", "mlo"),
    [
        ("view_mismatch", shot("MLO"), shot("CC")),
        ("view_mismatch", shot("CC"), shot("CC")),
        ("side_mismatch", shot("CC"), shot("MLO", laterality="R")),
        ("patient_mismatch", shot("CC"), shot("MLO", patient_id="SECRET-2")),
        ("study_mismatch", shot("CC"), shot("MLO", study_uid="1.3")),
    ],
)
def test_what_is_no_pair_is_refused_without_naming_anyone(code: str, cc: View, mlo: View) -> None:
    error = refusal(lambda: check_pair(cc, mlo))
    assert (error.code, error.status) == (code, 422)
    assert "1.3" not in str(error)


def test_films_of_two_patients_are_a_pair_with_warnings() -> None:
    cc = shot("CC", is_mg=False)
    mlo = shot("MLO", is_mg=False, patient_id="SECRET-2", study_uid="1.3")
    findings = check_pair(cc, mlo)
    assert [(finding.code, finding.severity) for finding in findings] == [
        ("patient_differs", "warning"),
        ("study_differs", "warning"),
    ]


def test_an_unknown_patient_contradicts_nobody() -> None:
    assert check_pair(shot("CC"), shot("MLO", patient_id="", study_uid="")) == ()


def test_no_view_is_no_pair() -> None:
    assert refusal(lambda: check_pair(None, None)).code == "missing_view"


def breast_image(view: ViewName, *, depth_px: int, spacing_mm: float | None = 0.5) -> View:
    """A half disc against the left border with a nipple, its tip `depth_px` from it; in the MLO over a muscle."""
    y, x = np.mgrid[:600, :400]
    reach = np.hypot(x / (depth_px - 12), (y - 300) / 220)
    pixels = np.where(reach < 1, 20_000 + 8_000 * (1 - reach), 0)
    pixels[(np.abs(y - 300) < 12) & (x < depth_px)] = 24_000
    if view == "MLO":
        muscle = x + 0.4 * y < 130
        pixels[muscle] = 40_000
    spacing = None if spacing_mm is None else (spacing_mm, spacing_mm)
    return View(pixels=pixels.astype(np.uint16), view=view, laterality="L", spacing_mm=spacing)


@pytest.mark.parametrize(("depth_px", "told"), [(150, False), (250, True)])
def test_views_of_different_length_are_told_in_millimetres(depth_px: int, told: bool) -> None:
    cc, mlo = breast_image("CC", depth_px=depth_px), breast_image("MLO", depth_px=160)
    breast = prepare_breast(FrameConfig(size=126), cc, mlo)
    lengths = [length_mm(view, breast.views[key].input) for key, view in (("cc", cc), ("mlo", mlo))]
    assert lengths[0] == pytest.approx(depth_px / 2, abs=1.5)
    findings = [finding for finding in breast.findings if finding.code == "views_differ"]
    assert bool(findings) == told
    if told:
        assert findings[0].severity == "info"
        assert f"{lengths[0]:.0f} mm" in findings[0].message
        assert f"{lengths[1]:.0f} mm" in findings[0].message


def test_lengths_are_not_compared_without_millimetres_or_without_a_muscle() -> None:
    cc, mlo = breast_image("CC", depth_px=250, spacing_mm=None), breast_image("MLO", depth_px=160)
    assert "views_differ" not in finding_codes(prepare_breast(FrameConfig(size=126), cc, mlo))
    plain = replace(breast_image("CC", depth_px=160), view="MLO")  # no muscle
    prepared = prepare_breast(FrameConfig(size=126), breast_image("CC", depth_px=250), plain)
    assert length_mm(plain, prepared.views["mlo"].input) is None
    assert "views_differ" not in finding_codes(prepared)


@pytest.mark.parametrize("facts", [{"laterality": "R"}, {"spacing_mm": 0.1}])
def test_what_is_said_of_a_file_is_not_dropped_beside_a_view(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a View has its own"):
        read_breast({"cc": shot()}, FrameConfig(), **facts)


def test_a_text_in_place_of_prompts_is_refused() -> None:
    with pytest.raises(TypeError, match="a list of sentences"):
        check_prompts("A mass is present")
