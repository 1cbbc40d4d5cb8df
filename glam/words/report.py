"""What is known of a breast -> report text, and class prompts in the same words; findings to JSON and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from glam.words import wording
from glam.words.labels import BIRADS_NAMES, DEFAULT_CLASSES, DENSITY_NAMES, Label

Style = Literal["papers", "glam"]
PromptTask = Literal["birads", "density", "mass"]

META_FIELDS = ("race", "age", "ethnicity", "image_type", "laterality", "view")
"""Facts that are no finding: the released code masks these; procedure and reason it leaves."""


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One finding in the words of BI-RADS (`wording.LESION_WORDS`); an empty string or None is unknown."""

    kind: str
    shape: str = ""
    margin: str = ""
    density: str = ""
    calc_type: str = ""
    distribution: str = ""
    depth: str = ""
    location: str = ""
    size_mm: float | None = None

    def __post_init__(self) -> None:
        for name, words in wording.LESION_WORDS.items():
            word = getattr(self, name)
            if word not in words and (word != "" or name == "kind"):
                raise ValueError(f"a finding's {name} {word!r} is none of: {', '.join(words)}")
        size = self.size_mm
        if size is not None and not (isinstance(size, int | float) and 0 < size < 1000):
            raise ValueError(f"a finding's size_mm {size!r} is no length in millimetres")

    def as_json(self) -> dict[str, Any]:
        """Return what is known, as a JSON object."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def lesion_from_json(data: Mapping[str, Any]) -> Lesion:
    """Return the finding that `Lesion.as_json` wrote; an unknown key or word is a ValueError."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a finding is a JSON object, not {data!r}")
    names = [field.name for field in fields(Lesion)]
    if unknown := sorted(set(data) - set(names)):
        raise ValueError(f"a finding has no {', '.join(map(repr, unknown))}; it has: {', '.join(names)}")
    values: dict[str, Any] = {"kind": "", **data}
    return Lesion(**values)


def lesions_from_text(text: str) -> tuple[Lesion, ...]:
    """Return the findings of a manifest's cell, a JSON list; an empty cell has none."""
    if not text.strip():
        return ()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"findings are no JSON: {error}") from None
    if not isinstance(data, list):
        raise ValueError("findings are a JSON list of objects, one a finding")
    return tuple(lesion_from_json(item) for item in data)


def lesions_as_text(lesions: Sequence[Lesion]) -> str:
    """Return the manifest's cell: a JSON list, or nothing when there is no finding."""
    return json.dumps([lesion.as_json() for lesion in lesions]) if lesions else ""


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What a report says of one view of one breast; an empty string or None is unknown.

    `lesions` lists every finding that was described. Empty with BI-RADS 1: there is none; empty with another
    category: nobody wrote them down.
    """

    procedure: str = ""
    reason: str = ""
    race: str = ""
    ethnicity: str = ""
    age: int | None = None
    image_type: str = ""
    laterality: str = ""
    view: str = ""
    density: str = ""
    birads: int | None = None
    lesions: tuple[Lesion, ...] = ()

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[Label | None, ...]] = {
            "laterality": ("", *wording.SIDES),
            "view": ("", "CC", "MLO"),
            "density": ("", *DENSITY_NAMES),
            "birads": (None, *BIRADS_NAMES),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} {getattr(self, name)!r} is none of: {', '.join(map(repr, values))}")


def mask_meta(facts: ReportFacts, *, ratio: float, rng: np.random.Generator) -> ReportFacts:
    """Make each of META_FIELDS unknown with probability `ratio`; always takes as many draws from `rng`."""
    hidden = rng.random(len(META_FIELDS)) < ratio
    values = {name: None if name == "age" else "" for name, hide in zip(META_FIELDS, hidden, strict=True) if hide}
    return replace(facts, **values)


class Segment(NamedTuple):
    """Sentences that belong together, and the extra blank which the released code leaves after them."""

    sentences: tuple[str, ...]
    tail: str = ""


def report_text(facts: ReportFacts, *, style: Style = "glam") -> str:
    """Return the report: eight segments, each sentence closed by [SEP]; unknown context says "unknown".

    papers: the text of the released code to the blank, double blanks and the closing separator included. As there, the
    composition is left out when it is unknown, findings to assessment when BI-RADS is, a mass without both shape and
    density, a calcification without both type and distribution; distortion and asymmetry have no sentence.
    glam: the same with single blanks and no closing separator (the tokenizer adds it); every finding is told as far
    as it is known, with margin, place, depth and size, and with BI-RADS 1 or a list without a mass, that there is none.
    """
    return _join([*_context(facts), *_composition(facts.density), *_findings(facts, style)], style)


def shorter_reports(facts: ReportFacts) -> Iterator[str]:
    """Yield the report in the `glam` style, then ever shorter ones, for a text tower that takes so many tokens.

    First goes what is no finding (procedure, reason, patient, image), then the details of findings, from the last, then
    findings of a kind that is told before. Composition, kinds, impression and assessment stay.
    """
    context, rest = _context(facts), [*_composition(facts.density), *_findings(facts, "glam")]
    for start in range(len(context) + 1):
        yield _join([*context[start:], *rest], "glam")
    sentences = [sentence for segment in rest for sentence in segment.sentences]
    for line in _least_told(facts.lesions):
        last = len(sentences) - 1 - sentences[::-1].index(line)
        del sentences[last]
        yield _join([Segment(tuple(sentences))], "glam")


def _least_told(lesions: Sequence[Lesion]) -> list[str]:
    """Return the lines of findings that may go, the first to go first."""
    lines = [_lesion_lines(lesion) for lesion in lesions]
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
    composition. mass: without one, with one (our wording: the sentences of the `glam` style). With a context the four
    segments before the findings go first, as in the released zero-shot evaluation; serving gives none.
    """
    context_segments = [] if context is None else _context(context)
    labels = DEFAULT_CLASSES[task] if classes is None else classes
    return tuple(_join([*context_segments, *_class_segments(task, label)], style) for label in labels)


def _class_segments(task: PromptTask, label: Label) -> list[Segment]:
    if task == "birads" and label in BIRADS_NAMES:
        return _findings(ReportFacts(birads=int(label)), "papers")
    if task == "density" and label in DENSITY_NAMES:
        return _composition(str(label))
    if task == "mass" and label in (0, 1):
        return [Segment((f"Findings: {wording.PRESENT['mass'] if label else wording.NO_MASS}",))]
    raise ValueError(f"{label!r} is no class of {task}")


def _join(segments: Sequence[Segment], style: Style) -> str:
    if style == "papers":
        return "".join(
            "".join(f"{sentence} {wording.SEPARATOR} " for sentence in segment.sentences) + segment.tail
            for segment in segments
        )
    sentences = [sentence for segment in segments for sentence in segment.sentences]
    return f" {wording.SEPARATOR} ".join(" ".join(sentence.split()) for sentence in sentences)


def _context(facts: ReportFacts) -> list[Segment]:
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


def _composition(density: str) -> list[Segment]:
    if not density:
        return []
    warning = (wording.LOWER_SENSITIVITY,) if density in wording.DENSE else ()
    return [Segment((wording.COMPOSITION.format(DENSITY_NAMES[density]), *warning), " ")]


def _findings(facts: ReportFacts, style: Style) -> list[Segment]:
    if facts.birads is None:
        return [] if style == "papers" else _described(facts, "Findings: ")
    assessment = wording.ASSESSMENTS[facts.birads]
    finding = wording.FINDINGS.format(assessment.finding)
    impression = wording.IMPRESSIONS.format(birads=facts.birads, name=BIRADS_NAMES[facts.birads])
    segments = _cited(facts, finding) if style == "papers" else [Segment((finding,)), *_described(facts)]
    return [*segments, Segment((impression,)), Segment((wording.OVERALL.format(assessment.overall),))]


def _cited(facts: ReportFacts, finding: str) -> list[Segment]:
    """Lay findings out as the released code does: masses beside the assessment, each calcification with a blank."""
    masses = [_mass(lesion) for lesion in facts.lesions if lesion.kind == "mass" and lesion.shape and lesion.density]
    calcifications = [_calcification(item) for item in facts.lesions if item.distribution and item.calc_type]
    return [Segment((finding, *masses), " "), *(Segment((line,), " ") for line in calcifications)]


def _described(facts: ReportFacts, lead: str = "") -> list[Segment]:
    """Every finding as far as it is known, the first sentence after `lead`."""
    lines = [line for lesion in facts.lesions for line in _lesion_lines(lesion)]
    if (facts.lesions or facts.birads == 1) and all(lesion.kind != "mass" for lesion in facts.lesions):
        lines.append(wording.NO_MASS)
    return [Segment((lead + lines[0], *lines[1:]))] if lines else []


def _lesion_lines(lesion: Lesion) -> list[str]:
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
    return sentence.replace("A ", f"{'An' if word[0] in 'aeio' else 'A'} {word} ", 1) if word else sentence
