import pickle

import numpy as np
import pytest

from glam.dicom import View
from glam.intake import CODES, InputError, check_pair, finding, input_error


def pair_view(view: str, **changes: object) -> View:
    facts = {"laterality": "L", "patient_id": "SECRET-1", "study_uid": "1.2"} | changes
    return View(pixels=np.zeros((2, 2), np.uint16), view=view, **facts)  # type: ignore[arg-type]


def test_every_code_has_a_sentence_and_a_status_of_the_callers() -> None:
    for code, meaning in CODES.items():
        assert meaning.sentence, code
        assert 400 <= meaning.status < 500 if meaning.severity == "error" else meaning.status == 200, code


def test_two_views_of_one_breast_are_a_pair() -> None:
    assert check_pair(pair_view("CC"), pair_view("MLO")) == ()


@pytest.mark.parametrize(
    ("code", "cc", "mlo"),
    [
        ("view_mismatch", pair_view("MLO"), pair_view("CC")),
        ("view_mismatch", pair_view("CC"), pair_view("CC")),
        ("side_mismatch", pair_view("CC"), pair_view("MLO", laterality="R")),
        ("patient_mismatch", pair_view("CC"), pair_view("MLO", patient_id="SECRET-2")),
        ("study_mismatch", pair_view("CC"), pair_view("MLO", study_uid="1.3")),
    ],
)
def test_what_is_no_pair_is_refused_without_naming_anyone(code: str, cc: View, mlo: View) -> None:
    with pytest.raises(InputError) as caught:
        check_pair(cc, mlo)
    assert caught.value.code == code
    assert caught.value.status == 422
    assert "SECRET" not in str(caught.value)
    assert "1.3" not in str(caught.value)


def test_films_of_two_patients_are_a_pair_with_warnings() -> None:
    cc = pair_view("CC", is_mg=False, patient_id="SECRET-1", study_uid="1.2")
    mlo = pair_view("MLO", is_mg=False, patient_id="SECRET-2", study_uid="1.3")
    odd = check_pair(cc, mlo)
    assert [(item.code, item.severity) for item in odd] == [
        ("patient_differs", "warning"),
        ("study_differs", "warning"),
    ]


def test_an_unknown_patient_contradicts_nobody() -> None:
    assert check_pair(pair_view("CC"), pair_view("MLO", patient_id="", study_uid="")) == ()


def test_an_error_survives_the_way_between_processes() -> None:
    error = input_error("too_large", "cc", size="81 Mpx", limit="64 Mpx")
    back = pickle.loads(pickle.dumps(error))
    assert (back.code, back.message, back.where, back.status) == ("too_large", error.message, "cc", 413)
    assert str(back) == "cc: the image has 81 Mpx and the limit is 64 Mpx"


def test_a_finding_carries_its_severity_from_the_table() -> None:
    assert finding("burned_in").severity == "warning"
    assert finding("no_spacing").severity == "info"
