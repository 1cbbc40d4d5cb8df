import pytest

from glam.words.prompts import class_ensembles
from glam.words.report import class_prompts


@pytest.mark.parametrize("task", ["birads", "density"])
def test_the_papers_tasks_are_asked_by_the_papers_prompts(task):
    assert class_ensembles(task) == tuple((prompt,) for prompt in class_prompts(task))


@pytest.mark.parametrize("style", ["papers", "glam"])
def test_a_mass_is_asked_for_by_whole_reports_of_every_density(style):
    without, with_mass = class_ensembles("mass", style=style)
    assert (len(without), len(with_mass)) == (20, 48)
    assert all("Procedure reported" in text and "Breast composition" in text for text in (*without, *with_mass))
    assert not any("The mass is" in text for text in without)
    assert all("The mass is" in text for text in with_mass)


def test_a_callback_without_a_mass_is_among_the_reports_without_one():
    without, _ = class_ensembles("mass")
    called_back = [text for text in without if "BI-RADS Category 0" in text]
    assert len(called_back) == 16
    assert all("No mass is present" in text for text in called_back)


def test_a_mass_is_asked_for_in_the_words_of_the_plain_styles():
    without, with_mass = class_ensembles("mass", style="natural")
    assert (len(without), len(with_mass)) == (20, 48)
    assert all("No mass is present" in text for text in without)
    assert all("A mass is present" in text and "No mass" not in text for text in with_mass)
    assert class_ensembles("mass", style="clip") == (("A mammogram without a mass",), ("A mammogram with a mass",))
