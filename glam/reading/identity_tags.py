"""What the tags of a header say of view and side, each by itself; glam/reading/identity.py decides between them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from glam.reading.charset import folded
from glam.reading.coded import coded_names, meanings, term_names
from glam.reading.codes import SIDE_TERMS, UNKNOWN, VIEW_TERMS
from glam.reading.header import FUNCTIONAL_GROUPS, items, text
from glam.reading.side_text import BOTH
from glam.reading.view_text import sides_of, view_text_of

if TYPE_CHECKING:
    from pydicom import Dataset

SPECIMEN = "specimen"
VIEW_NAMES = frozenset({term.name for term in VIEW_TERMS} | {"AT", "CV", "TAN"}) - {SPECIMEN}
"""Views that may be named in a message; a specimen's radiograph has no view."""
REGION_MODIFIERS = "AnatomicRegionModifierSequence"
EMPTY_WORDS = ("NONE", "UNKNOWN", "UNSPECIFIED", "N/A", "NA", "-")
"""Words that are written where an attribute should be empty."""


def single(named: frozenset[str]) -> str:
    """Return what is named, UNKNOWN if it is several things, "" for nothing."""
    return UNKNOWN if len(named) > 1 else "".join(named)


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
    return "" if exact in ("", *EMPTY_WORDS) else single(named) or UNKNOWN


def _view_as_orientation(dataset: "Dataset") -> str:
    """Return a view that stands where the orientation belongs, as CBIS-DDSM writes it."""
    orientation = text(dataset, "PatientOrientation").upper()
    return orientation if orientation in VIEW_NAMES else ""


def _frame_view(dataset: "Dataset") -> str:
    views = frozenset(_view_code(item) for item in _frame_items(dataset)) - {""}
    return single(views - {UNKNOWN} or views)


def _processed_view(dataset: "Dataset") -> str:
    """Return the view by which an image was processed, where the text names nothing else, as Fujifilm writes it."""
    processing = view_text_of(text(dataset, "AcquisitionDeviceProcessingDescription"))
    return single(processing.views) if processing.is_view_alone else ""


def _image_side(dataset: "Dataset") -> str:
    return _side(text(dataset, "ImageLaterality"))


def _frame_side(dataset: "Dataset") -> str:
    """Return the side of all frames; BOTH where two of them show different breasts."""
    sides = {_side(text(item, "FrameLaterality")) for item in _frame_items(dataset)} - {""}
    known = sorted(sides - {UNKNOWN})
    return BOTH if len(known) > 1 else "".join(known or sides)


def _series_side(dataset: "Dataset") -> str:
    return _side(text(dataset, "Laterality"))


def _side(side_text: str) -> str:
    """Return L, R or B for a text about the side alone, in a letter or a word; UNKNOWN for two sides or any other."""
    return "" if folded(side_text).strip(" \\") in ("", *EMPTY_WORDS) else single(sides_of(side_text)) or UNKNOWN


def _region_side(dataset: "Dataset") -> str:
    """Return the side that modifies the anatomic region; UNKNOWN for two of them. PS3.3 10.5, PS3.16 CID 244."""
    sides = set[str]()
    for holder in (*items(dataset, "AnatomicRegionSequence"), dataset):
        sides |= {*coded_names(holder, REGION_MODIFIERS, SIDE_TERMS)} - {UNKNOWN}
        sides |= {side for words in meanings(holder, REGION_MODIFIERS, SIDE_TERMS) for side in sides_of(words)}
    return single(frozenset(sides))


def _position_side(dataset: "Dataset") -> str:
    return single(view_text_of(text(dataset, "ViewPosition")).sides)


def _frame_items(dataset: "Dataset") -> list["Dataset"]:
    """Return what may hold the anatomy of a frame: functional groups and their Frame Anatomy. PS3.3 C.7.6.16.2.8.

    All of them, shared ones and those of each frame: two that differ are two views, or two breasts.
    """
    groups = [group for sequence in FUNCTIONAL_GROUPS for group in items(dataset, sequence)]
    return [*groups, *(item for holder in (dataset, *groups) for item in items(holder, "FrameAnatomySequence"))]


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
    REGION_MODIFIERS: _region_side,
    "ViewPosition": _position_side,
}
