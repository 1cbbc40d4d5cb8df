"""Where the model contradicts itself between the views of a breast, or between the breasts of an exam."""

from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.engine import BreastVectors
from glam.exam import exam_prediction, prepare_exam
from glam.predict import Interpreter
from glam.prediction import Prediction, far_apart

DENSITIES = "abcd"


def shares(likeliest: str) -> dict[str, float]:
    return {name: 0.7 if name == likeliest else 0.1 for name in DENSITIES}


@pytest.mark.parametrize(("first", "second", "apart"), [("a", "a", False), ("a", "b", False), ("b", "d", True)])
def test_densities_are_far_apart_from_two_classes_on(first: str, second: str, apart: bool):
    assert far_apart(shares(first), shares(second)) is apart
    assert far_apart(shares(second), shares(first)) is apart
    assert not far_apart({}, shares(second))


@pytest.fixture(scope="module")
def answer(random_bundle: Bundle, mammograms: dict[str, Path]):
    """What an exam's answer is, where the model sees in each view the density that is named."""
    exam = prepare_exam(random_bundle.model.frame, [mammograms[name] for name in ("L_CC", "L_MLO", "R_CC", "R_MLO")])
    interpreter, classes = Interpreter(random_bundle), random_bundle.class_vectors("density")

    def breast(side: str, cc: str, mlo: str) -> Prediction:
        seen = {"cc": classes[DENSITIES.index(cc)], "mlo": classes[DENSITIES.index(mlo)]}
        return interpreter.prediction(exam.breasts[side], BreastVectors(embeddings=seen, attention=None))

    return lambda left, right: exam_prediction(exam, {"L": breast("L", *left), "R": breast("R", *right)})


def codes(findings) -> list[str]:
    return [finding.code for finding in findings if finding.code.endswith("_disagree")]


def test_views_that_disagree_are_told_with_both_classes(answer):
    exam = answer("ad", "aa")
    assert codes(exam.breasts["L"].findings) == ["views_disagree"]
    (told,) = [finding for finding in exam.breasts["L"].findings if finding.code == "views_disagree"]
    assert (told.severity, "density a in the CC view and d in the MLO view" in told.message) == ("warning", True)
    assert codes(exam.breasts["R"].findings) == []


def test_breasts_that_disagree_are_told_with_both_classes(answer):
    exam = answer("aa", "dd")
    assert codes(exam.findings) == ["sides_disagree"]
    assert "density a in the left breast and d in the right one" in exam.findings[-1].message
    assert codes(answer("aa", "bb").findings) == []
    assert codes(answer("dd", "dd").findings) == []
