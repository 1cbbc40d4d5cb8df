"""Which view of which breast: decided from tags, the request, and words, in this order; each decision with its source.

Tags were set by the machine for the image, and two of them that contradict each other, or the request, are an error.
Descriptions and file names are typed by people: they fill what is missing, and a finding tells where they differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from glam.findings import Finding, finding, input_error
from glam.reading.charset import folded
from glam.reading.codes import SIDE_TERMS, UNKNOWN, VIEW_TERMS, term_names
from glam.reading.header import functional_groups, items, text
from glam.reading.view_text import BOTH, ViewText, sides_of, view_text_of, without_volumes

if TYPE_CHECKING:
    from pydicom import Dataset

VIEWS = ("CC", "MLO")
SIDES = ("L", "R")
SPECIMEN = "specimen"
VIEW_NAMES = frozenset({term.name for term in VIEW_TERMS} | {"AT", "CV", "TAN"}) - {SPECIMEN}
"""Views that may be named in a message; a specimen's radiograph has no view."""
EMPTY_WORDS = ("NONE", "UNKNOWN", "UNSPECIFIED", "N/A", "NA", "-")
"""Words that are written where an attribute should be empty."""
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
NAME_THE_VIEW = "send it as cc or as mlo"
NAME_THE_SIDE = "name the side, L or R, in the request"
"""Ways out of an image whose view or side is not known."""
SOURCE_NAMES = {"request": "the request", "file name": "the file name"}
"""Source that is no attribute -> its name in a message."""


class Claim(NamedTuple):
    """What one source says."""

    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.source_name} says {self.value}"

    @property
    def source_name(self) -> str:
        """The source's name in a message."""
        return SOURCE_NAMES.get(self.source, self.source)


@dataclass(frozen=True)
class Decision:
    """A value, where it came from, and what spoke against it."""

    value: str
    source: str
    findings: tuple[Finding, ...] = ()


def decide_view(dataset: "Dataset", requested: str | None, *, file_name: str = "") -> Decision:
    """Return CC or MLO; any other view, ML included, is an InputError.

    `requested` is what the request says, `file_name` the name without its folders. A picture without a header has an
    empty data set.
    """
    tags = [claim for claim in _claims(dataset, VIEW_TAGS) if claim.value != SPECIMEN]
    known, unclear = _known(tags)
    by_request = _request_claims(requested, view_text_of(requested or "").views)
    _refuse_contradiction("view_mismatch", [*known, *by_request] if known else [])
    if unclear and not known and not by_request:
        problem = "the header names a view that is not known here"
        raise input_error("unknown_view", problem=problem, way_out=NAME_THE_VIEW)
    words = _word_claims(dataset, file_name, lambda meaning: meaning.views)
    if not (claims := [*known, *by_request, *words]):
        problem = "the file does not say which view this is"
        raise input_error("unknown_view", problem=problem, way_out=NAME_THE_VIEW)
    followed = claims[0]
    if followed.value not in VIEWS:
        way_out = f"{NAME_THE_VIEW} if it is one of them" if followed in words else "send one of them"
        raise input_error("unknown_view", problem=str(followed), way_out=way_out)
    findings = (
        *(finding("view_tag_unclear", source=tag.source, followed=followed.source_name) for tag in unclear),
        *_differing_words("view_words_differ", words, followed),
    )
    return Decision(followed.value, followed.source, findings)


def decide_side(dataset: "Dataset", requested: str | None, *, file_name: str = "") -> Decision:
    """Return L or R, as `decide_view` does; both breasts in one image are an InputError.

    Laterality belongs to the series, which may hold both breasts: where the image's own tags say otherwise, they win.
    """
    known, unclear = _known(_claims(dataset, SIDE_TAGS))
    of_image = [claim for claim in known if claim.source in IMAGE_SIDE_TAGS]
    if of_image and of_image[0].value == BOTH:
        problem = f"{of_image[0].source} names both breasts"
        raise input_error("unknown_laterality", problem=problem, way_out="send an image of one breast")
    of_both_sides = [claim for claim in known if claim.value == BOTH]
    of_one_side = [claim for claim in known if claim.value != BOTH]
    tags = [claim for claim in of_one_side if claim in of_image] or of_one_side[:1]
    by_request = _request_claims(requested, sides_of(requested or ""))
    _refuse_contradiction("side_mismatch", [*tags, *by_request] if tags else [])
    words = _word_claims(dataset, file_name, lambda meaning: meaning.sides)
    if not (claims := [*tags, *by_request, *words]):
        raise input_error("unknown_laterality", problem=_no_side(unclear, of_both_sides), way_out=NAME_THE_SIDE)
    followed = claims[0]
    if followed.value not in SIDES:
        raise input_error("unknown_laterality", problem=str(followed), way_out=NAME_THE_SIDE)
    differing = [claim for claim in of_one_side if claim.value != followed.value]
    findings = (
        *(finding("side_tag_unclear", source=tag.source, followed=followed.source_name) for tag in unclear),
        *(finding("side_tags_differ", followed=followed.source, other=tag.source) for tag in differing),
        *_differing_words("side_words_differ", words, followed),
    )
    return Decision(followed.value, followed.source, findings)


def _no_side(unclear: Sequence[Claim], of_both: Sequence[Claim]) -> str:
    """Return why no side is known: all tags name both breasts, or something else, or there are none."""
    if of_both:
        return f"{of_both[0].source} names both breasts"
    if unclear:
        return f"{unclear[0].source} names neither L nor R"
    return "the file does not say which breast this is"


def _claims(dataset: "Dataset", sources: Mapping[str, Callable[["Dataset"], str]]) -> list[Claim]:
    return [Claim(value, source) for source, read in sources.items() if (value := read(dataset))]


def _known(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Return the claims that name something, and those that say something that is not known here."""
    known = [claim for claim in claims if claim.value != UNKNOWN]
    return known, [claim for claim in claims if claim.value == UNKNOWN]


def _request_claims(requested: str | None, named: frozenset[str]) -> list[Claim]:
    """Return the claim of the request, if it makes one; a text that names nothing or two things is not repeated."""
    if not (requested or "").strip():
        return []
    value = _single(named)
    return [Claim("something else" if value in ("", UNKNOWN) else value, "request")]


def _single(named: frozenset[str]) -> str:
    """Return what is named, UNKNOWN if it is several things, "" for nothing."""
    return UNKNOWN if len(named) > 1 else "".join(named)


def _refuse_contradiction(code: str, claims: Sequence[Claim]) -> None:
    sentences = {claim.value: str(claim) for claim in reversed(claims)}  # of each value the source that goes first
    if len(sentences) > 1:
        raise input_error(code, contradiction=" but ".join(reversed(sentences.values())))


def _differing_words(code: str, words: Sequence[Claim], followed: Claim) -> list[Finding]:
    """Return a finding for each description or file name that says otherwise than what was followed."""
    differing = [claim for claim in words if claim.value != followed.value]
    return [finding(code, words=str(claim), followed=followed.source_name) for claim in differing]


def _view_code(dataset: "Dataset") -> str:
    """Return the name of the coded view, UNKNOWN for a code outside the table or for several views, "" for none."""
    names = term_names(dataset, "ViewCodeSequence", VIEW_TERMS)
    known = [name for name in names if name != UNKNOWN]
    return known[0] if len(known) == 1 else UNKNOWN if names else ""


def _view_position(dataset: "Dataset") -> str:
    """Return the view that is named, alone or with a side and modifiers; UNKNOWN for two of them or any other text."""
    position = text(dataset, "ViewPosition")
    exact = folded(position).strip(" \\")
    named = frozenset({exact}) & VIEW_NAMES or view_text_of(position).views
    return "" if exact in ("", *EMPTY_WORDS) else _single(named) or UNKNOWN


def _view_as_orientation(dataset: "Dataset") -> str:
    """Return a view that stands where the orientation belongs, as CBIS-DDSM writes it."""
    orientation = text(dataset, "PatientOrientation").upper()
    return orientation if orientation in VIEW_NAMES else ""


def _frame_view(dataset: "Dataset") -> str:
    return next((name for item in _frame_items(dataset) if (name := _view_code(item))), "")


def _processed_view(dataset: "Dataset") -> str:
    """Return the view by which an image was processed, where the text names nothing else, as Fujifilm writes it."""
    processing = view_text_of(text(dataset, "AcquisitionDeviceProcessingDescription"))
    return _single(processing.views) if processing.is_view_alone else ""


def _image_side(dataset: "Dataset") -> str:
    return _side(text(dataset, "ImageLaterality"))


def _frame_side(dataset: "Dataset") -> str:
    sides = (_side(text(item, "FrameLaterality")) for item in _frame_items(dataset))
    return next((side for side in sides if side), "")


def _series_side(dataset: "Dataset") -> str:
    return _side(text(dataset, "Laterality"))


def _side(side_text: str) -> str:
    """Return L, R or B for a text about the side alone, in a letter or a word; UNKNOWN for two sides or any other."""
    return "" if folded(side_text).strip(" \\") in ("", *EMPTY_WORDS) else _single(sides_of(side_text)) or UNKNOWN


def _region_side(dataset: "Dataset") -> str:
    """Return the side that modifies the anatomic region. PS3.3 10.5, PS3.16 CID 244."""
    holders = (*items(dataset, "AnatomicRegionSequence"), dataset)
    named = (term_names(holder, "AnatomicRegionModifierSequence", SIDE_TERMS) for holder in holders)
    sides = {name for names in named for name in names if name != UNKNOWN}
    return sides.pop() if len(sides) == 1 else BOTH if sides else ""


def _position_side(dataset: "Dataset") -> str:
    return _single(view_text_of(text(dataset, "ViewPosition")).sides)


def _frame_items(dataset: "Dataset") -> list["Dataset"]:
    """Return what may hold the anatomy of a frame: functional groups and their Frame Anatomy. PS3.3 C.7.6.16.2.8."""
    groups = functional_groups(dataset)
    return [*groups, *(item for holder in (dataset, *groups) for item in items(holder, "FrameAnatomySequence")[:1])]


VIEW_TAGS: Mapping[str, Callable[["Dataset"], str]] = {
    "ViewCodeSequence": _view_code,
    "ViewPosition": _view_position,
    "PatientOrientation": _view_as_orientation,
    "functional groups": _frame_view,
    "AcquisitionDeviceProcessingDescription": _processed_view,
}
IMAGE_SIDE_TAGS = ("ImageLaterality", "FrameLaterality")
SIDE_TAGS: Mapping[str, Callable[["Dataset"], str]] = {
    "ImageLaterality": _image_side,
    "FrameLaterality": _frame_side,
    "Laterality": _series_side,
    "AnatomicRegionModifierSequence": _region_side,
    "ViewPosition": _position_side,
}


def _word_claims(dataset: "Dataset", file_name: str, named: Callable[[ViewText], frozenset[str]]) -> list[Claim]:
    """Return the claims of the descriptions and the file name, of each that names exactly one view or side."""
    texts = {name: without_volumes(text(dataset, name)) for name in DESCRIPTIONS} | {"file name": file_name}
    claims = [Claim(_single(named(view_text_of(description))), source) for source, description in texts.items()]
    return [claim for claim in claims if claim.value not in ("", UNKNOWN)]
