"""Which view of which breast: decided from tags, the request, and words, in this order; each decision with its source.

Tags were set by the machine for the image, and two of them that contradict each other, or the request, are an error.
Descriptions and file names are typed by people: they fill what is missing, and a finding tells where they differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from glam.findings import Finding, finding, input_error
from glam.reading.codes import UNKNOWN
from glam.reading.header import text
from glam.reading.identity_tags import IMAGE_SIDE_TAGS, SIDE_TAGS, SPECIMEN, VIEW_TAGS, single
from glam.reading.side_text import BOTH
from glam.reading.view_text import ViewText, sides_of, view_text_of, view_text_of_name, without_volumes

if TYPE_CHECKING:
    from pydicom import Dataset

VIEWS = ("CC", "MLO")
SIDES = ("L", "R")
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
NAME_THE_VIEW = "send it as cc or as mlo"
NAME_THE_SIDE = "name the side, L or R, in the request"
"""Ways out of an image whose view or side is not known."""
CHECK_THE_FILES = "check which file went where"
CORRECT_THE_HEADER = "correct the header, which contradicts itself"
"""Ways out of a header that contradicts the request, or itself; no request overrides a header."""
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
    _refuse_contradiction("view_mismatch", known, by_request)
    if unclear and not known and not by_request:
        problem = "the header names a view that is not known here"
        raise input_error("unknown_view", problem=problem, way_out=NAME_THE_VIEW)
    words = _word_claims(dataset, file_name, lambda meaning: meaning.views)
    if not (claims := [*known, *by_request, *words]):
        problem = "the file does not say which view this is"
        raise input_error("unknown_view", problem=problem, way_out=NAME_THE_VIEW)
    followed = claims[0]
    if followed in words and (contradiction := _contradiction(words)):
        raise input_error("unknown_view", problem=contradiction, way_out=NAME_THE_VIEW)
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
    if of_both := [claim for claim in of_image if claim.value == BOTH]:
        problem = f"{of_both[0].source} names both breasts"
        raise input_error("unknown_laterality", problem=problem, way_out="send an image of one breast")
    of_both_sides = [claim for claim in known if claim.value == BOTH]
    of_one_side = [claim for claim in known if claim.value != BOTH]
    tags = [claim for claim in of_one_side if claim in of_image] or of_one_side
    by_request = _request_claims(requested, sides_of(requested or ""))
    _refuse_contradiction("side_mismatch", tags, by_request)
    words = _word_claims(dataset, file_name, lambda meaning: meaning.sides)
    if not (claims := [*tags, *by_request, *words]):
        raise input_error("unknown_laterality", problem=_no_side(unclear, of_both_sides), way_out=NAME_THE_SIDE)
    followed = claims[0]
    if followed in words and (contradiction := _contradiction(words)):
        raise input_error("unknown_laterality", problem=contradiction, way_out=NAME_THE_SIDE)
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
    value = single(named)
    return [Claim("something else" if value in ("", UNKNOWN) else value, "request")]


def _refuse_contradiction(code: str, tags: Sequence[Claim], by_request: Sequence[Claim]) -> None:
    """Refuse tags that contradict each other, which no request can settle, or the request."""
    if tags and (contradiction := _contradiction([*tags, *by_request])):
        way_out = CORRECT_THE_HEADER if _contradiction(tags) else CHECK_THE_FILES
        raise input_error(code, contradiction=contradiction, way_out=way_out)


def _contradiction(claims: Sequence[Claim]) -> str:
    """Return what the claims say, of each value the first source that claims it; "" where all of them agree."""
    sentences = {claim.value: str(claim) for claim in reversed(claims)}
    return " but ".join(reversed(sentences.values())) if len(sentences) > 1 else ""


def _differing_words(code: str, words: Sequence[Claim], followed: Claim) -> list[Finding]:
    """Return a finding for each description or file name that says otherwise than what was followed."""
    differing = [claim for claim in words if claim.value != followed.value]
    return [finding(code, words=str(claim), followed=followed.source_name) for claim in differing]


def _word_claims(dataset: "Dataset", file_name: str, named: Callable[[ViewText], frozenset[str]]) -> list[Claim]:
    """Return the claims of the descriptions and the file name, of each that names exactly one view or side."""
    texts = {name: view_text_of(without_volumes(text(dataset, name))) for name in DESCRIPTIONS}
    texts["file name"] = view_text_of_name(file_name)
    claims = [Claim(single(named(meaning)), source) for source, meaning in texts.items()]
    return [claim for claim in claims if claim.value not in ("", UNKNOWN)]
