"""What is known of a breast -> report text in one of four styles, and class prompts in the same words."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from glam.words import plain, structured, wording
from glam.words.facts import Lesion, ReportFacts
from glam.words.labels import BIRADS_NAMES, DEFAULT_CLASSES, DENSITY_NAMES, Label
from glam.words.structured import Segment, lesion_lines
from glam.words.wording import Style

PromptTask = Literal["birads", "density", "mass"]


class Telling(NamedTuple):
    """How a style tells the parts of a report."""

    context: Callable[[ReportFacts], list[Segment]]
    composition: Callable[[str], list[Segment]]
    findings: Callable[[ReportFacts], list[Segment]]
    assessment: Callable[[int], list[Segment]]
    """What `findings` says of a category alone."""
    joined: Callable[[Sequence[Segment]], str]
    mass: tuple[str, str]
    """The prompt without and with a mass."""
    shortens: bool = False
    """Whether a report that is too long is told without what is no finding, rather than cut at its end."""


_MASS_SEGMENTS = (f"Findings: {wording.NO_MASS}", f"Findings: {wording.PRESENT['mass']}")
TELLINGS: dict[Style, Telling] = {
    "papers": Telling(
        structured.context,
        structured.composition,
        structured.cited_findings,
        structured.assessment,
        structured.joined_as_released,
        _MASS_SEGMENTS,
    ),
    "glam": Telling(
        structured.context,
        structured.composition,
        structured.findings,
        structured.assessment,
        structured.joined,
        _MASS_SEGMENTS,
        shortens=True,
    ),
    "natural": Telling(
        plain.context,
        plain.composition,
        plain.findings,
        plain.assessment,
        structured.joined,
        (wording.NO_MASS, wording.PRESENT["mass"]),
        shortens=True,
    ),
    "clip": Telling(
        plain.phrases_of_context,
        plain.phrases_of_composition,
        plain.phrases_of_findings,
        plain.phrases_of_assessment,
        plain.one_sentence,
        wording.CLIP_MASS,
    ),
}


def report_text(facts: ReportFacts, *, style: Style = "glam") -> str:
    """Return the report in a style.

    papers: the text of the released code to the blank, double blanks and the closing separator included. As there,
    unknown context says "unknown", the composition is left out when it is unknown, findings to assessment when BI-RADS
    is, a mass without both shape and density, a calcification without both type and distribution; distortion and
    asymmetry have no sentence.
    glam: the same with single blanks and no closing separator (the tokenizer adds it); every finding is told as far
    as it is known, with margin, place, depth and size, and with BI-RADS 1 or a list without a mass, that there is none.
    natural: the same facts in plain sentences without headings; what is unknown is not mentioned.
    clip: one sentence of side, view, density and category, each where it is known.
    """
    telling = TELLINGS[style]
    parts = [*telling.context(facts), *telling.composition(facts.density), *telling.findings(facts)]
    return telling.joined(parts)


def shorter_reports(facts: ReportFacts, *, style: Style = "glam") -> Iterator[str]:
    """Yield the report, then ever shorter ones where the style has them, for a text tower that takes so many tokens.

    First goes what is no finding (procedure, reason, patient, image), then the details of findings, from the last, then
    findings of a kind that is told before. Composition, kinds, impression and assessment stay.
    """
    telling = TELLINGS[style]
    yield report_text(facts, style=style)
    if not telling.shortens:
        return
    context, rest = telling.context(facts), [*telling.composition(facts.density), *telling.findings(facts)]
    for start in range(1, len(context) + 1):
        yield telling.joined([*context[start:], *rest])
    sentences = [sentence for segment in rest for sentence in segment.sentences]
    for line in _least_told(facts.lesions):
        last = len(sentences) - 1 - sentences[::-1].index(line)
        del sentences[last]
        yield telling.joined([Segment(tuple(sentences))])


def _least_told(lesions: Sequence[Lesion]) -> list[str]:
    """Return the lines of findings that may go, the first to go first."""
    lines = [lesion_lines(lesion) for lesion in lesions]
    details = [line for _, *more in lines for line in more]
    kinds = [lesion.kind for lesion in lesions]
    again = [line for index, (line, *_) in enumerate(lines) if kinds[index] in kinds[:index]]
    return [*reversed(details), *reversed(again)]


def class_prompts(
    task: PromptTask,
    classes: Sequence[Label] | None = None,
    *,
    style: Style = "glam",
    context: ReportFacts | None = None,
) -> tuple[str, ...]:
    """Return one text a class, in the words of the reports of that style.

    birads: findings, impression and assessment of BIRADS_3, or of BIRADS_7 or BIRADS_5 as `classes`. density: the
    composition. mass: without one, with one (our wording; reports in the styles papers and clip tell of no lone mass).
    With a context what the style says before the findings goes first, as in the released zero-shot evaluation; serving
    gives none.
    """
    telling = TELLINGS[style]
    before = [] if context is None else telling.context(context)
    labels = DEFAULT_CLASSES[task] if classes is None else classes
    return tuple(telling.joined([*before, *_class_segments(task, label, telling)]) for label in labels)


def _class_segments(task: PromptTask, label: Label, telling: Telling) -> list[Segment]:
    if task == "birads" and label in BIRADS_NAMES:
        return telling.assessment(int(label))
    if task == "density" and label in DENSITY_NAMES:
        return telling.composition(str(label))
    if task == "mass" and label in (0, 1):
        return [Segment((telling.mass[int(label)],))]
    raise ValueError(f"{label!r} is no class of {task}")
