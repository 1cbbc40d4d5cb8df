"""Class prompts as a bundle embeds them: one text a class, or whole reports whose vectors are averaged.

A text tower that was trained on whole reports places a lone sentence badly. For the classes of the papers their own
prompts are used; a mass, which has none, is asked for by reports with and without one.
"""

from dataclasses import replace
from itertools import product

from glam.words.facts import Lesion, ReportFacts
from glam.words.labels import DENSITY
from glam.words.report import PromptTask, class_prompts, report_text
from glam.words.wording import SCREENING_PROCEDURE, SCREENING_REASON, Style

SCREENING = ReportFacts(procedure=SCREENING_PROCEDURE, reason=SCREENING_REASON)
SHAPES = ("round", "oval", "irregular")
OTHER_FINDINGS = (
    Lesion(kind="calcification", calc_type="fine pleomorphic", distribution="grouped"),
    Lesion(kind="distortion"),
)
OTHER_LOCATIONS = ("upper outer", "lower inner")
LOCATIONS = ("upper outer", "upper inner", "lower outer", "lower inner")


def class_ensembles(task: PromptTask, *, style: Style = "glam") -> tuple[tuple[str, ...], ...]:
    """Return, for each class of a task, the texts whose mean vector stands for it.

    In the style clip a mass is asked for by one sentence too: its reports tell of none.
    """
    if task == "mass" and style != "clip":
        return _reports_without_mass(style), _reports_with_mass(style)
    return tuple((prompt,) for prompt in class_prompts(task, style=style))


def _reports_without_mass(style: Style) -> tuple[str, ...]:
    """Negative ones, and those with another finding: not every breast that is called back has a mass."""
    negative = [replace(SCREENING, density=density, birads=1) for density in DENSITY]
    with_other_finding = [
        replace(SCREENING, density=density, birads=0, lesions=(replace(finding, location=location, depth="middle"),))
        for density, finding, location in product(DENSITY, OTHER_FINDINGS, OTHER_LOCATIONS)
    ]
    return tuple(report_text(facts, style=style) for facts in (*negative, *with_other_finding))


def _reports_with_mass(style: Style) -> tuple[str, ...]:
    """All densities of the breast, shapes and quadrants: what they have in common is the mass."""
    with_mass = [
        replace(SCREENING, density=density, birads=0, lesions=(_mass(shape, location),))
        for density, shape, location in product(DENSITY, SHAPES, LOCATIONS)
    ]
    return tuple(report_text(facts, style=style) for facts in with_mass)


def _mass(shape: str, location: str) -> Lesion:
    return Lesion(kind="mass", shape=shape, density="high", location=location, depth="middle", size_mm=15)
