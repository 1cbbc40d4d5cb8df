"""What a DICOM header says of a mammogram: kind, view, side, spacing, orientation; every decision with its source.

Text attributes are read as raw bytes: pydicom's validation would quote the value of a patient in a warning.
"""

import logging
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glam.intake import input_error

if TYPE_CHECKING:
    from pydicom import Dataset

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
REFUSED_CLASSES: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.1.2.1": "for_processing",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "multi_frame",  # breast tomosynthesis, and its projections
    "1.2.840.10008.5.1.4.1.1.13.1.4": "multi_frame",
    "1.2.840.10008.5.1.4.1.1.13.1.5": "multi_frame",
}
FILM_MODALITIES = ("MG", "CR", "RG")

# PS3.16 CID 4014, in SNOMED CT and in the older SRT codes (SNM3 and 99SDM are SRT by another name, CID 4015 note 2).
VIEW_CODES: Mapping[str, str] = {
    "399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO", "399260004": "ML", "R-10224": "ML",
    "399352003": "LM", "R-10228": "LM", "399099002": "LMO", "R-10230": "LMO", "399196006": "FB", "R-10244": "FB",
    "399188001": "SIO", "R-102D0": "SIO", "441555000": "ISO", "R-40AAA": "ISO", "399192008": "XCCL",
    "R-1024A": "XCCL", "399101009": "XCCM", "R-1024B": "XCCM", "127457009": "specimen", "G-8310": "specimen",
}  # fmt: skip
CODE_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM")
UNKNOWN = "unknown"
VIEW_NAMES = frozenset(VIEW_CODES.values())
SIDES = ("L", "R")


@dataclass(frozen=True)
class Decision:
    """A value and the attribute it came from."""

    value: str
    source: str


def is_digital(dataset: "Dataset", where: str = "") -> bool:
    """Return whether the file is a digital mammogram, not a film; an InputError refuses everything else.

    PS3.3 A.26 and C.8.11; a film is a secondary capture, or a computed radiograph of the breast.
    """
    sop_class = text(dataset, "SOPClassUID")
    frames = number(dataset, "NumberOfFrames") or 1
    refused = REFUSED_CLASSES.get(sop_class)
    if refused == "multi_frame" or frames > 1:
        raise input_error("multi_frame", where)
    if refused or text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise input_error("for_processing", where)
    if sop_class == MG_FOR_PRESENTATION:
        return True
    modality, part = text(dataset, "Modality"), text(dataset, "BodyPartExamined")
    if modality not in FILM_MODALITIES or (modality != "MG" and part != "BREAST"):
        raise input_error("not_a_mammogram", where)
    return False


def decide_view(dataset: "Dataset", given: str | None, where: str = "") -> Decision:
    """Return CC or MLO and its source; anything else, ML included, is an InputError.

    `given` is the caller's word: it fills what the header lacks and may not contradict it.
    """
    found = [Decision(value, name) for name, read in VIEW_SOURCES.items() if (value := read(dataset)) in VIEW_NAMES]
    if len({decision.value for decision in found}) > 1:
        what = " but ".join(f"{decision.source} says {decision.value}" for decision in found)
        raise input_error("view_mismatch", where, what=what)
    wanted = (given or "").upper()
    if found and wanted not in ("", found[0].value):
        what = f"the request says {_one_of(VIEW_NAMES, wanted)}, the header {found[0].value}"
        raise input_error("view_mismatch", where, what=what)
    if not found and any(read(dataset) for read in (_view_code, _view_position)):
        raise input_error("unknown_view", where, what="the header names a view that is not known here")
    decision = found[0] if found else Decision(wanted, "request")
    if decision.value not in ("CC", "MLO"):
        what = f"this is the view {decision.value}" if found else "the header does not say which view this is"
        raise input_error("unknown_view", where, what=what)
    return decision


def decide_side(dataset: "Dataset", given: str | None, where: str = "") -> Decision:
    """Return L or R and its source: ImageLaterality, which belongs to the image, before the series' Laterality."""
    found = [Decision(value, name) for name in ("ImageLaterality", "Laterality") if (value := text(dataset, name))]
    wanted = (given or "").upper()
    decision = found[0] if found else Decision(wanted, "request")
    if decision.value not in SIDES:
        what = "the header names neither L nor R" if found else "the header does not say which breast this is"
        raise input_error("unknown_laterality", where, what=what)
    if wanted not in ("", decision.value):
        what = f"the request says {_one_of(SIDES, wanted)}, the header {decision.value}"
        raise input_error("side_mismatch", where, what=what)
    return decision


def sides_differ(dataset: "Dataset") -> bool:
    """Return whether the image and its series name different breasts."""
    return {text(dataset, name) for name in ("ImageLaterality", "Laterality")} == set(SIDES)


def _one_of(names: Collection[str], value: str) -> str:
    return value if value in names else "something else"


def _view_code(dataset: "Dataset") -> str:
    """Return the name of the view, UNKNOWN for a code outside the table, "" for none."""
    codes = [item for item in items(dataset, "ViewCodeSequence") if text(item, "CodeValue")]
    for item in codes:
        if text(item, "CodingSchemeDesignator") in CODE_SCHEMES:
            return VIEW_CODES.get(text(item, "CodeValue"), UNKNOWN)
    return UNKNOWN if codes else ""


def _view_position(dataset: "Dataset") -> str:
    return text(dataset, "ViewPosition").upper()


def _view_as_orientation(dataset: "Dataset") -> str:
    return text(dataset, "PatientOrientation").upper()


VIEW_SOURCES: Mapping[str, Callable[["Dataset"], str]] = {
    "ViewCodeSequence": _view_code,
    "ViewPosition": _view_position,
    "PatientOrientation": _view_as_orientation,  # CBIS-DDSM writes the view there
}


def spacing_of(dataset: "Dataset") -> tuple[tuple[float, float] | None, str]:
    """Return the distance of rows and of columns in mm, and the attribute. PS3.3 10.7.1.3: the detector's first."""
    for name in ("ImagerPixelSpacing", "PixelSpacing"):
        values = numbers(dataset, name)
        if len(values) == 2 and min(values) > 0:
            return (values[0], values[1]), name
    return None, "none"


def orientation_of(dataset: "Dataset") -> tuple[str, str] | None:
    """Return the directions of rows and of columns, if that is what PatientOrientation holds. PS3.3 C.7.6.1.1.1."""
    parts = text(dataset, "PatientOrientation").split("\\")
    if len(parts) == 2 and parts[0][:1] in ("A", "P") and parts[1]:
        return parts[0], parts[1]
    return None


def orientation_unclear(dataset: "Dataset") -> bool:
    """Return whether PatientOrientation says something that `orientation_of` cannot use, e.g. a rotated image."""
    said = text(dataset, "PatientOrientation").strip("\\")
    return bool(said) and said.upper() not in VIEW_NAMES and orientation_of(dataset) is None


def text(dataset: "Dataset", keyword: str) -> str:
    """Return an attribute as text, several values with backslashes between them; "" if it is absent."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    raw = "" if element is None or element.value is None else element.value
    if isinstance(raw, bytes):
        return raw.decode("latin-1").strip(" \0")
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return "\\".join(map(str, raw))
    return str(raw)


def numbers(dataset: "Dataset", keyword: str) -> list[float]:
    """Return the values of a decimal string; none if one of them is no finite number."""
    try:
        values = [float(part) for part in text(dataset, keyword).split("\\") if part]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def number(dataset: "Dataset", keyword: str) -> float | None:
    """Return a single number of any representation; None if it is absent or no finite number."""
    try:
        found = float(str(value(dataset, keyword)))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def items(dataset: "Dataset", keyword: str) -> list["Dataset"]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    found = value(dataset, keyword)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else []


def value(dataset: "Dataset", keyword: str) -> object:
    """Return an attribute as pydicom reads it; None if it is absent or broken."""
    try:
        return dataset.get(keyword)
    except broken_errors():
        return None


def broken_errors() -> tuple[type[Exception], ...]:
    """Return what pydicom raises for bytes that are not what the standard allows."""
    from pydicom.errors import BytesLengthException

    ours = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
    return (*ours, NotImplementedError, EOFError, OSError, BytesLengthException)


_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


def _is_loud(_: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Drop pydicom's warnings, on stderr and in its log, while a file is read: they may quote the header."""
    logging.getLogger("pydicom").addFilter(_is_loud)  # once: the same filter is not added again
    token = _quiet.set(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
            yield
    finally:
        _quiet.reset(token)
