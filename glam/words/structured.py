"""The structured report, in the papers' words and in ours: segments under headings, each a few sentences."""

from collections.abc import Sequence
from typing import NamedTuple

from glam.words import wording
from glam.words.facts import Lesion, ReportFacts
from glam.words.labels import BIRADS_NAMES, DENSITY_NAMES, Label


class Segment(NamedTuple):
    """Sentences that belong together, and the extra blank which the released code leaves after them."""

    sentences: tuple[str, ...]
    tail: str = ""


def joined_as_released(segments: Sequence[Segment]) -> str:
    """Close each sentence by the separator and a blank, as the released code does."""
    return "".join(
        "".join(f"{sentence} {wording.SEPARATOR} " for sentence in segment.sentences) + segment.tail
        for segment in segments
    )


def joined(segments: Sequence[Segment]) -> str:
    """Put the separator between sentences, with single blanks."""
    sentences = [sentence for segment in segments for sentence in segment.sentences]
    return f" {wording.SEPARATOR} ".join(" ".join(sentence.split()) for sentence in sentences)


def context(facts: ReportFacts) -> list[Segment]:
    """Tell procedure, reason, patient and image, "unknown" where they are."""

    def known(value: Label | None) -> Label:
        return wording.UNKNOWN if value in ("", None) else value

    patient = wording.PATIENT.format(race=known(facts.race), ethnicity=known(facts.ethnicity), age=known(facts.age))
    side = known(wording.SIDES.get(facts.laterality))
    image = wording.IMAGE.format(image_type=known(facts.image_type), side=side, view=known(facts.view))
    return [
        Segment((wording.PROCEDURE.format(known(facts.procedure)),)),
        Segment((wording.REASON.format(known(facts.reason)),)),
        Segment((patient,), " "),
        Segment((image,), " "),
    ]


def composition(density: str) -> list[Segment]:
    """Tell the density of the breast; nothing where it is unknown."""
    if not density:
        return []
    warning = (wording.LOWER_SENSITIVITY,) if density in wording.DENSE else ()
    return [Segment((wording.COMPOSITION.format(DENSITY_NAMES[density]), *warning), " ")]


def assessment(birads: int) -> list[Segment]:
    """Tell findings, impression and assessment of a category, and of no single finding."""
    return cited_findings(ReportFacts(birads=birads))


def cited_findings(facts: ReportFacts) -> list[Segment]:
    """Tell findings to assessment as the released code does; nothing where the category is unknown."""
    return [] if facts.birads is None else [*_cited(facts, _finding(facts.birads)), *_assessed(facts.birads)]


def findings(facts: ReportFacts) -> list[Segment]:
    """Tell findings to assessment, every finding as far as it is known."""
    if facts.birads is None:
        return described(facts, "Findings: ")
    return [Segment((_finding(facts.birads),)), *described(facts), *_assessed(facts.birads)]


def _finding(birads: int) -> str:
    return wording.FINDINGS.format(wording.ASSESSMENTS[birads].finding)


def _assessed(birads: int) -> list[Segment]:
    impression = wording.IMPRESSIONS.format(birads=birads, name=BIRADS_NAMES[birads])
    return [Segment((impression,)), Segment((wording.OVERALL.format(wording.ASSESSMENTS[birads].overall),))]


def _cited(facts: ReportFacts, finding: str) -> list[Segment]:
    """Lay findings out as the released code does: masses beside the assessment, each calcification with a blank."""
    masses = [_mass(lesion) for lesion in facts.lesions if lesion.kind == "mass" and lesion.shape and lesion.density]
    calcifications = [_calcification(item) for item in facts.lesions if item.distribution and item.calc_type]
    return [Segment((finding, *masses), " "), *(Segment((line,), " ") for line in calcifications)]


def described(facts: ReportFacts, lead: str = "") -> list[Segment]:
    """Every finding as far as it is known, the first sentence after `lead`."""
    lines = [line for lesion in facts.lesions for line in lesion_lines(lesion)]
    if (facts.lesions or facts.birads == 1) and all(lesion.kind != "mass" for lesion in facts.lesions):
        lines.append(wording.NO_MASS)
    return [Segment((lead + lines[0], *lines[1:]))] if lines else []


def lesion_lines(lesion: Lesion) -> list[str]:
    """Tell what it is and where, the papers' sentence of a mass, how large and with which margins."""
    sentence = _calcification(lesion) if lesion.kind == "calcification" else wording.PRESENT[lesion.kind]
    location = wording.LOCATIONS.get(lesion.location, "")
    depth = lesion.depth and wording.DEPTH.format(lesion.depth)
    lines = [" ".join(filter(None, (sentence, location, depth)))]
    if lesion.kind == "mass" and (lesion.shape or lesion.density):
        lines.append(_mass(lesion))
    size = "" if lesion.size_mm is None else wording.SIZE.format(max(1, round(lesion.size_mm)))
    margin = lesion.margin and wording.MARGIN.format(lesion.margin)
    if size or margin:
        lines.append("It " + " and ".join(filter(None, (size, margin))))
    return lines


def _mass(lesion: Lesion) -> str:
    density = wording.MASS_DENSITIES.get(lesion.density, "")
    if lesion.shape and density:
        return wording.MASS.format(shape=lesion.shape.capitalize(), density=density)
    return wording.ONE_WORD_MASS.format(lesion.shape or density)


def _calcification(lesion: Lesion) -> str:
    if lesion.distribution and lesion.calc_type:
        words = {"distribution": lesion.distribution.capitalize(), "calc_type": lesion.calc_type.capitalize()}
        return wording.CALCIFICATION.format(**words)
    word = lesion.distribution or lesion.calc_type
    sentence = wording.PRESENT["calcification"]
    return sentence.replace("A ", f"{with_article(word).capitalize()} ", 1) if word else sentence


def with_article(words: str) -> str:
    """Put a or an before words, by their first letter."""
    return f"{'an' if words[0] in 'aeioAEIO' else 'a'} {words}"
