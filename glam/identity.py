"""Which view of which breast: decided from tags, the request, and words, in this order; each decision with its source.

Tags were set by the machine for the image, and two of them that contradict each other, or the request, are an error.
Descriptions and file names are typed by people: they fill what is missing, and a finding tells where they differ.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from glam.codes import SIDE_TERMS, UNKNOWN, VIEW_TERMS, term_names
from glam.header import items, text
from glam.intake import Finding, finding, input_error

if TYPE_CHECKING:
    from pydicom import Dataset

VIEWS = ("CC", "MLO")
SIDES = ("L", "R")
SPECIMEN = "specimen"
VIEW_NAMES = frozenset({term.name for term in VIEW_TERMS} | {"AT", "CV", "TAN", "XCC"}) - {SPECIMEN}
"""Views that may be named in a message; a specimen's radiograph has no view."""
WORD = re.compile(r"(LEFT|LT|L|RIGHT|RT|R)?(CC|MLO|ML|LMO|LM|XCCL|XCCM|SIO|FB)?\d{0,2}")
"""A word that names a side, a view or both: L, RCC, LMLO, MLO2."""
SIDE_OF_WORD = {"LEFT": "L", "LT": "L", "L": "L", "RIGHT": "R", "RT": "R", "R": "R"}
SPOKEN = {"request": "the request", "file name": "the file name"}
"""How a message names a source that is no attribute."""


class Claim(NamedTuple):
    """What one source says."""

    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.speaker} says {self.value}"

    @property
    def speaker(self) -> str:
        """The source, as a sentence names it."""
        return SPOKEN.get(self.source, self.source)


@dataclass(frozen=True)
class Decision:
    """A value, where it came from, and what spoke against it."""

    value: str
    source: str
    findings: tuple[Finding, ...] = ()


def decide_view(dataset: "Dataset", given: str | None, *, file_name: str = "") -> Decision:
    """Return CC or MLO; any other view, ML included, is an InputError.

    `given` is the caller's word, `file_name` the name without its folders. A picture without a header has an empty
    data set.
    """
    tags = [claim for claim in _claims(dataset, VIEW_TAGS) if claim.value != SPECIMEN]
    known = [claim for claim in tags if claim.value in VIEW_NAMES]
    asked = _asked(given, VIEW_NAMES)
    _refuse_contradiction("view_mismatch", [*known, *asked] if known else [])
    if tags and not known:
        raise input_error("unknown_view", what="the header names a view that is not known here")
    words = _word_claims(dataset, file_name, _view_of_word)
    if not (claims := [*known, *asked, *words]):
        raise input_error("unknown_view", what="neither header nor file name says which view this is")
    return _decision(_usable(claims, VIEWS, "unknown_view"), "view_words_differ", words)


def decide_side(dataset: "Dataset", given: str | None, *, file_name: str = "") -> Decision:
    """Return L or R, as `decide_view` does; both breasts in one image are an InputError.

    Laterality belongs to the series, which may hold both breasts: where the image's own tags say otherwise, they win.
    """
    tags = _claims(dataset, SIDE_TAGS)
    asked = _asked(given, SIDES)
    if tags and tags[0].value not in SIDES:
        both = "names both breasts" if tags[0].value == "B" else "names neither L nor R"
        raise input_error("unknown_laterality", what=f"{tags[0].source} {both}")
    known = [claim for claim in tags if claim.value in SIDES]
    own = [claim for claim in known if claim.source in IMAGE_SIDE_TAGS] or known[:1]
    _refuse_contradiction("side_mismatch", [*own, *asked] if own else [])
    words = _word_claims(dataset, file_name, _side_of_word)
    if not (claims := [*own, *asked, *words]):
        raise input_error("unknown_laterality", what="neither header nor file name says which breast this is")
    decision = _decision(_usable(claims, SIDES, "unknown_laterality"), "side_words_differ", words)
    return Decision(decision.value, decision.source, _series_differs(decision, known) + decision.findings)


def _usable(claims: Sequence[Claim], names: Sequence[str], code: str) -> Claim:
    """Return the claim that goes first; an InputError where it names what cannot be used."""
    if claims[0].value not in names:
        raise input_error(code, what=str(claims[0]))
    return claims[0]


def _claims(dataset: "Dataset", sources: Mapping[str, Callable[["Dataset"], str]]) -> list[Claim]:
    return [Claim(value, source) for source, read in sources.items() if (value := read(dataset))]


def _asked(given: str | None, names: Sequence[str] | frozenset[str]) -> list[Claim]:
    """Return the request's claim; what is no name at all is not repeated."""
    wanted = (given or "").strip().upper()
    return [Claim(wanted if wanted in names else "something else", "request")] if wanted else []


def _refuse_contradiction(code: str, claims: Sequence[Claim]) -> None:
    first = {claim.value: str(claim) for claim in reversed(claims)}  # of each value the source that goes first
    if len(first) > 1:
        raise input_error(code, what=" but ".join(reversed(first.values())))


def _decision(claim: Claim, code: str, words: Sequence[Claim]) -> Decision:
    """Return a claim as decided, with a finding for each description or file name that says otherwise."""
    odd = [finding(code, said=str(other), followed=claim.speaker) for other in words if other.value != claim.value]
    return Decision(claim.value, claim.source, tuple(odd))


def _series_differs(decision: Decision, known: Sequence[Claim]) -> tuple[Finding, ...]:
    odd = [claim for claim in known if claim.value != decision.value]
    return tuple(finding("side_tags_differ", followed=decision.source, other=claim.source) for claim in odd)


def _view_code(dataset: "Dataset") -> str:
    """Return the name of the coded view, UNKNOWN for a code outside the table or for several views, "" for none."""
    names = term_names(dataset, "ViewCodeSequence", VIEW_TERMS)
    known = [name for name in names if name != UNKNOWN]
    return known[0] if len(known) == 1 else UNKNOWN if names else ""


def _view_position(dataset: "Dataset") -> str:
    return text(dataset, "ViewPosition").upper()


def _view_as_orientation(dataset: "Dataset") -> str:
    """Return a view that stands where the orientation belongs, as CBIS-DDSM writes it."""
    said = text(dataset, "PatientOrientation").upper()
    return said if said in VIEW_NAMES else ""


def _frame_view(dataset: "Dataset") -> str:
    return next((name for item in _frame_items(dataset) if (name := _view_code(item))), "")


def _image_side(dataset: "Dataset") -> str:
    return text(dataset, "ImageLaterality").upper()


def _frame_side(dataset: "Dataset") -> str:
    sides = [text(item, "FrameLaterality").upper() for item in _frame_items(dataset)]
    return next((side for side in sides if side in (*SIDES, "B")), "")


def _series_side(dataset: "Dataset") -> str:
    return text(dataset, "Laterality").upper()


def _region_side(dataset: "Dataset") -> str:
    """Return the side that modifies the anatomic region. PS3.3 10.5, PS3.16 CID 244."""
    holders = (*items(dataset, "AnatomicRegionSequence"), dataset)
    named = (term_names(holder, "AnatomicRegionModifierSequence", SIDE_TERMS) for holder in holders)
    sides = {name for names in named for name in names if name != UNKNOWN}
    return sides.pop() if len(sides) == 1 else "B" if sides else ""


def _frame_items(dataset: "Dataset") -> list["Dataset"]:
    """Return what may hold the anatomy of a frame: functional groups and their Frame Anatomy. PS3.3 C.7.6.16.2.8."""
    groups = [
        group
        for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        for group in items(dataset, sequence)[:1]
    ]
    anatomy = [item for holder in (dataset, *groups) for item in items(holder, "FrameAnatomySequence")[:1]]
    return [*groups, *anatomy]


VIEW_TAGS: Mapping[str, Callable[["Dataset"], str]] = {
    "ViewCodeSequence": _view_code,
    "ViewPosition": _view_position,
    "PatientOrientation": _view_as_orientation,
    "functional groups": _frame_view,
}
IMAGE_SIDE_TAGS = ("ImageLaterality", "FrameLaterality")
SIDE_TAGS: Mapping[str, Callable[["Dataset"], str]] = {
    "ImageLaterality": _image_side,
    "FrameLaterality": _frame_side,
    "Laterality": _series_side,
    "AnatomicRegionModifierSequence": _region_side,
}


def _word_claims(dataset: "Dataset", file_name: str, meaning: Callable[[str, Sequence[str]], str]) -> list[Claim]:
    """Return what descriptions and the file name say; nothing for one that names several, or none."""
    texts = {name: text(dataset, name) for name in ("SeriesDescription", "ProtocolName")} | {"file name": file_name}
    claims: list[Claim] = []
    for source, said in texts.items():
        words = re.findall(r"[A-Z0-9]+", said.upper())
        named = {value for word in words if (value := meaning(word, words))}
        claims += [Claim(value, source) for value in named if len(named) == 1]
    return claims


def _view_of_word(word: str, _: Sequence[str] = ()) -> str:
    match = WORD.fullmatch(word)
    return (match[2] or "") if match else ""


def _side_of_word(word: str, words: Sequence[str]) -> str:
    """Return the side; a lone letter, which may be an initial, counts beside a view only."""
    match = WORD.fullmatch(word)
    if word in SIDES and not any(map(_view_of_word, words)):
        return ""
    return SIDE_OF_WORD.get(match[1] or "", "") if match else ""
