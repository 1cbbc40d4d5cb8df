"""The attributes of a DICOM header as text, numbers and items; where an image lies in the patient and in time.

Text attributes are read as raw bytes: pydicom's validation would quote the value of a patient in a warning.
"""

import logging
import math
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from glam.findings import HeaderError
from glam.reading.charset import decoded

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset
    from pydicom.dataelem import RawDataElement

DECIMAL = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A decimal string; no infinity and nothing that is not a number."""
BINARY_VRS = ("US", "SS", "UL", "SL", "FD", "FL")
DIRECTION = re.compile(r"[APLRHF]{1,3}")
"""Letters of a direction in the patient: anterior, posterior, left, right, head, foot. PS3.3 C.7.6.1.1.1."""

MAX_SEQUENCE_BYTES = 4_000_000
"""Of a sequence that is looked into, 30 LUTs of 16 bits: pydicom takes minutes for the items of a hostile file."""
FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""What an enhanced image says of all its frames, and of each. PS3.3 C.7.6.16."""


def functional_groups(dataset: "Dataset") -> list["Dataset"]:
    """Return what an enhanced image says of its first frame. PS3.3 C.7.6.16."""
    return [group for sequence in FUNCTIONAL_GROUPS for group in items(dataset, sequence)[:1]]


def acquired_of(dataset: "Dataset") -> tuple[str, float]:
    """Return what orders the images of an exam: date and time of the exposure, and the number of the image."""
    dates = [text(dataset, name) for name in ("AcquisitionDate", "ContentDate")]
    times = [text(dataset, name) for name in ("AcquisitionTime", "ContentTime")]
    date_and_time = next(filter(None, dates), "") + next(filter(None, times), "")
    moment = text(dataset, "AcquisitionDateTime") or date_and_time
    return moment, number(dataset, "InstanceNumber") or 0


def orientation_of(dataset: "Dataset") -> tuple[str, str] | None:
    """Return the directions of rows and of columns, if that is what PatientOrientation holds. PS3.3 C.7.6.1.1.1."""
    parts = [part.strip() for part in text(dataset, "PatientOrientation").upper().split("\\")]
    if len(parts) != 2 or not all(map(DIRECTION.fullmatch, parts)):
        return None
    row, col = parts
    return (row, col) if row[0] in "AP" and col[0] not in "AP" else None


def orientation_unclear(dataset: "Dataset") -> bool:
    """Return whether PatientOrientation says something that `orientation_of` cannot use, e.g. a rotated image.

    A view's name there, as in CBIS-DDSM, is the view and not an orientation.
    """
    directions = text(dataset, "PatientOrientation").strip("\\").upper()
    return bool(directions) and directions not in ("CC", "MLO") and orientation_of(dataset) is None


def raw_element(dataset: "Dataset", keyword: str) -> "DataElement | RawDataElement | None":
    """Return an attribute as it was read, not converted; None if it is absent. An empty one has the value None.

    Without `keep_deferred` pydicom converts an empty one, and fails on a VR that it does not know.
    """
    _refuse_repeated(dataset, keyword)
    return dataset.get_item(keyword, keep_deferred=True) if keyword in dataset else None


def text(dataset: "Dataset", keyword: str) -> str:
    """Return an attribute as text, several values with backslashes between them; "" if it is absent or a sequence.

    Bytes are decoded by Specific Character Set, whatever the VR: only texts may use it (PS3.5 6.1.2.3), yet writers put
    their own characters into code strings as well.
    """
    element = raw_element(dataset, keyword)
    if element is None or element.VR == "SQ" or element.value is None:
        return ""
    content = element.value
    if isinstance(content, bytes):
        character_set = text(dataset, "SpecificCharacterSet") if keyword != "SpecificCharacterSet" else ""
        return decoded(content.strip(b" \0"), character_set)
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "\\".join(map(str, content))
    return str(content)


def _vr(keyword: str) -> str:
    """Return the value representation that the dictionary has for a standard attribute; there may be two in one."""
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(keyword)


def decimals(dataset: "Dataset", keyword: str) -> list[float]:
    """Return the values of a decimal string, each in its place; NaN for one that is empty, or no finite number.

    A comma can only be a decimal point there: backslashes separate values (PS3.5 6.2). Digits are those of ASCII, with
    nothing between them. Values in a binary representation, as some writers store them, count as well.
    """
    return [_finite(part) for part in _parts(dataset, keyword)]


def numbers(dataset: "Dataset", keyword: str) -> list[float]:
    """Return the values of a decimal string, without empty ones; none if one of them is no number."""
    values = [_finite(part) for part in _parts(dataset, keyword) if part != ""]
    return values if all(map(math.isfinite, values)) else []


def _parts(dataset: "Dataset", keyword: str) -> list[object]:
    """Return the values of an attribute, texts without their padding or numbers; none if it is absent or empty."""
    element = raw_element(dataset, keyword)
    if element is not None and element.VR in BINARY_VRS:
        content = value(dataset, keyword)
        values = content if isinstance(content, Sequence) and not isinstance(content, str | bytes) else [content]
        return [single for single in values if single is not None]
    joined = text(dataset, keyword).strip(" \0")
    return [part.strip(" \0") for part in joined.split("\\")] if joined else []


def _finite(part: object) -> float:
    """Return a number, or the number that a text is; NaN for anything else."""
    if isinstance(part, str):
        part = float(part.replace(",", ".")) if DECIMAL.fullmatch(part) else math.nan
    try:
        single = float(part) if isinstance(part, int | float) else math.nan
    except OverflowError:
        return math.nan
    return single if math.isfinite(single) else math.nan


def number(dataset: "Dataset", keyword: str) -> float | None:
    """Return a single number of any representation; None if it is absent or no finite number."""
    element = raw_element(dataset, keyword)
    if element is None or (_vr(keyword) in ("DS", "IS") and element.VR not in BINARY_VRS):
        values = numbers(dataset, keyword)
        return values[0] if len(values) == 1 else None
    content = value(dataset, keyword)
    single = _finite(content.strip(" \0") if isinstance(content, str) else content)
    return single if math.isfinite(single) else None


def items(dataset: "Dataset", keyword: str) -> list["Dataset"]:
    """Return the items of a sequence; none if it is absent or no sequence.

    An item that declares no character set is given that of what encloses it. PS3.5 7.5.3. A HeaderError where it is
    longer than MAX_SEQUENCE_BYTES.
    """
    from pydicom import Dataset

    written = getattr(raw_element(dataset, keyword), "value", None)
    if isinstance(written, bytes) and len(written) > MAX_SEQUENCE_BYTES:
        raise HeaderError(keyword, f"it is longer than {MAX_SEQUENCE_BYTES // 1_000_000} MB")
    content = value(dataset, keyword)
    nested = [item for item in content if isinstance(item, Dataset)] if isinstance(content, Sequence) else []
    if "SpecificCharacterSet" in dataset:
        for item in nested:
            if "SpecificCharacterSet" not in item:
                item["SpecificCharacterSet"] = dataset.get_item("SpecificCharacterSet", keep_deferred=True)
    return nested


def value(dataset: "Dataset", keyword: str) -> object:
    """Return an attribute as pydicom reads it; None if it is absent or broken."""
    _refuse_repeated(dataset, keyword)
    try:
        return dataset.get(keyword)
    except broken_errors():
        return None


def _refuse_repeated(dataset: "Dataset", keyword: str) -> None:
    """Refuse an attribute that the parser saw twice, with two values: which one is meant is not known. PS3.5 7.1."""
    repeated: frozenset[int] = getattr(dataset, "repeated", frozenset())
    if repeated and _tag(keyword) in repeated:
        raise HeaderError(keyword, "it stands in the header twice, with two values")


def _tag(keyword: str) -> int | None:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword)


def broken_errors() -> tuple[type[Exception], ...]:
    """Return what pydicom raises for bytes that are not what the standard allows."""
    from pydicom.errors import BytesLengthException

    builtin = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
    return (*builtin, NotImplementedError, EOFError, OSError, struct.error, BytesLengthException)


LIBRARIES = r"(pydicom|PIL)(\.|$)"
"""Whose warnings may quote a file."""
_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


class _Readers:
    """Keeps one filter of pydicom's warnings as long as any thread reads: all threads share the list of filters."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0

    def enter(self) -> None:
        with self.lock:
            self.count += 1
            warnings.filterwarnings("ignore", module=LIBRARIES)  # once: one that is there is moved to the front

    def leave(self) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                others = [entry for entry in warnings.filters if not _is_ours(entry)]
                warnings.filters[:] = others  # pyright: ignore[reportIndexIssue]  # the list that the module reads


def _is_ours(entry: tuple[object, ...]) -> bool:
    action, module = entry[0], entry[3]
    return action == "ignore" and isinstance(module, re.Pattern) and module.pattern == LIBRARIES


_readers = _Readers()


def _is_loud(_: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Drop pydicom's warnings and Pillow's, on stderr and in the log, while a file is read: they may quote it."""
    logging.getLogger("pydicom").addFilter(_is_loud)  # once: the same filter is not added again
    token = _quiet.set(True)
    _readers.enter()
    try:
        yield
    finally:
        _readers.leave()
        _quiet.reset(token)
