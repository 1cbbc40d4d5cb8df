"""The report in plain sentences without headings (natural), and in one (clip); what is unknown is not mentioned.

The facts are those of the captions that MaMA compares (its Table 6). The sentences are ours, but for the papers' own of
a mass and of a calcification.
"""

from collections.abc import Sequence

from glam.words import wording
from glam.words.facts import ReportFacts
from glam.words.labels import BIRADS_NAMES
from glam.words.structured import Segment, described, with_article


def context(facts: ReportFacts) -> list[Segment]:
    """Tell the examination, what the image shows, and the patient, a sentence each."""
    exam = " ".join(filter(None, (facts.image_type, facts.reason, "mammogram")))
    of_side = wording.NATURAL_SIDE.format(wording.SIDES[facts.laterality]) if facts.laterality else ""
    in_view = wording.NATURAL_VIEW.format(facts.view) if facts.view else ""
    sentences = [wording.NATURAL_EXAM.format(with_article(exam))]
    if of_side or in_view:
        sentences.append(" ".join(filter(None, (wording.NATURAL_SHOWS, of_side or wording.NATURAL_BREAST, in_view))))
    age = "" if facts.age is None else wording.NATURAL_AGE.format(facts.age)
    if patient := [word for word in (facts.race, facts.ethnicity, age) if word]:
        sentences.append(wording.NATURAL_PATIENT.format(listed(patient)))
    return [Segment((sentence,)) for sentence in sentences]


def composition(density: str) -> list[Segment]:
    """Tell the density of the breast; nothing where it is unknown."""
    return [Segment(wording.NATURAL_DENSITIES[density])] if density else []


def assessment(birads: int) -> list[Segment]:
    """Tell a category, and no single finding."""
    impression = wording.NATURAL_CATEGORY.format(birads=birads, name=BIRADS_NAMES[birads])
    return [Segment((wording.NATURAL_FINDINGS[birads],)), Segment((impression,))]


def findings(facts: ReportFacts) -> list[Segment]:
    """Tell what is found, every finding as far as it is known, and the category where it is."""
    if facts.birads is None:
        return described(facts)
    finding, category = assessment(facts.birads)
    return [finding, *described(facts), category]


def phrases_of_context(facts: ReportFacts) -> list[Segment]:
    """Tell side and view."""
    side = wording.CLIP_SIDE.format(wording.SIDES[facts.laterality]) if facts.laterality else ""
    view = wording.CLIP_VIEW.format(facts.view) if facts.view else ""
    return [Segment((phrase,)) for phrase in (side, view) if phrase]


def phrases_of_composition(density: str) -> list[Segment]:
    """Tell the density of the breast; nothing where it is unknown."""
    return [Segment((wording.CLIP_DENSITIES[density],))] if density else []


def phrases_of_findings(facts: ReportFacts) -> list[Segment]:
    """Tell the category where it is known, and no finding."""
    return [] if facts.birads is None else phrases_of_assessment(facts.birads)


def phrases_of_assessment(birads: int) -> list[Segment]:
    """Tell a category."""
    return [Segment((wording.CLIP_CATEGORY.format(birads=birads, name=BIRADS_NAMES[birads]),))]


def one_sentence(segments: Sequence[Segment]) -> str:
    """Put phrases behind each other, without a separator."""
    return " ".join([wording.CLIP_IMAGE, *(phrase for segment in segments for phrase in segment.sentences)])


def listed(words: Sequence[str]) -> str:
    """Return "one", "one and two", or "one, two and three"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
