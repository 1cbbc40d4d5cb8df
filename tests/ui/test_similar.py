"""Tables of similar cases, without a browser."""

import re
from dataclasses import replace

from glam.client_vectors import SimilarAnswer, SimilarCase, SimilarCases
from glam_ui.similar import similar_tables


def case(exam: str, *, likeness: float = 0.5, image_id: str | None = None, view: str | None = None) -> SimilarCase:
    return SimilarCase(
        exam_id=exam,
        laterality="L",
        image_id=image_id,
        view=view,
        patient_id="p",
        likeness=likeness,
        birads={"0": 0.25, "1": 0.75},
        density={"a": 0.5, "b": 0.5},
        codes=("no_spacing", "upside_down"),
    )


def answer(*entries: SimilarCases, patient_known: bool = True) -> SimilarAnswer:
    return SimilarAnswer(answers=entries, patient_known=patient_known, level="breast", rows=1234)


def test_a_case_is_told_by_its_key_likeness_classes_and_codes_in_the_order_of_the_answer():
    cases = (case("e <1>", likeness=0.98765), case("e2", likeness=0.5))
    table = similar_tables([answer(SimilarCases(laterality="L", cases=cases))])
    assert "The most alike of 1,234 breasts in the server&#x27;s store." in table
    assert "e &lt;1&gt; L" in table
    assert "<td>0.988</td><td>1 <small>75 %</small></td><td>a <small>50 %</small></td>" in table
    assert "no spacing, upside down" in table
    assert table.index("e &lt;1&gt;") < table.index("e2")
    assert "not that they show the same finding" in table
    assert "may show their own cases" not in table


def test_the_right_breast_comes_first_and_an_unknown_patient_is_told():
    entries = (SimilarCases(laterality="L", cases=()), SimilarCases(laterality="R", cases=(case("e"),)))
    table = similar_tables([answer(*entries, patient_known=False)])
    assert table.index("Right breast") < table.index("Left breast")
    assert "no other case" in table
    assert "asked an index" not in table
    assert "asked an index" in similar_tables([replace(answer(*entries), exact=False)])
    assert "may show their own cases" in table


def test_an_images_id_is_not_shown_for_it_may_be_a_path():
    table = similar_tables([answer(SimilarCases(laterality="R", cases=(case("e", image_id="DOE/1.dcm"),)))])
    assert "DOE" not in table


def test_a_case_that_is_an_image_says_its_view():
    cases = (case("e", image_id="e-1", view="MLO"), case("e", image_id="e-2", view="CC"))
    table = similar_tables([answer(SimilarCases(laterality="L", view="MLO", cases=cases))])
    assert re.findall("<bdi>(.*?)</bdi>", table) == ["e L MLO", "e L CC"]


def test_tables_of_the_images_of_a_breast_say_which_view_each_is_of():
    images = [SimilarCases(laterality=side, view=view, cases=()) for side in "LR" for view in ("CC", "MLO")]
    table = similar_tables([answer(*images)])
    assert re.findall("<caption>(.*?) <small>", table) == [
        "Right breast, CC",
        "Right breast, MLO",
        "Left breast, CC",
        "Left breast, MLO",
    ]
