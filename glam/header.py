"""The attributes of a DICOM header as text, numbers and items; where an image lies in space and in time.

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

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_MAGNIFICATION = 4.0
"""A larger factor is a slip of the pen: magnification stands reach about 2."""
DIRECTION = re.compile(r"[APLRHF]{1,3}")
"""Letters of a direction in the patient: anterior, posterior, left, right, head, foot. PS3.3 C.7.6.1.1.1."""
SPACING_MM = (0.01, 2.0)
"""Detectors and scanners have 0.04 to 0.1 mm; an image that was shrunk may have a millimetre."""


def spacing_of(dataset: "Dataset") -> tuple[tuple[float, float] | None, str]:
    """Return the distance of rows and of columns in the breast in mm, and the attributes it came from.

    At the detector and divided by the magnification (PS3.3 10.7.1.3, C.8.11.7); else as calibrated, or as scanned.
    None with an attribute: what it says is no pixel of a mammogram, and no other one says better.
    """
    odd = "none"
    for name in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        values = numbers(dataset, name)
        if len(values) != 2 or min(values) <= 0:
            continue
        source, factor = name, magnification_of(dataset)
        if name == "ImagerPixelSpacing" and factor > 1:
            values = [value / factor for value in values]
            source = f"{name} / EstimatedRadiographicMagnificationFactor"
        if is_plausible_spacing(values):
            return (values[0], values[1]), source
        odd = source
    return None, odd


def magnification_of(dataset: "Dataset") -> float:
    """Return by how much the breast is enlarged on the detector; 1 where the header does not say, or says nonsense."""
    factor = number(dataset, "EstimatedRadiographicMagnificationFactor") or 1.0
    return factor if 1 <= factor <= MAX_MAGNIFICATION else 1.0


def is_plausible_spacing(spacing_mm: Sequence[float]) -> bool:
    """Return whether pixels of a mammogram may be so far apart: 0.01 to 2 mm, one direction at most twice the other."""
    low, high = min(spacing_mm), max(spacing_mm)
    return SPACING_MM[0] <= low and high <= SPACING_MM[1] and high <= 2 * low


def acquired_of(dataset: "Dataset") -> tuple[str, float]:
    """Return what orders the images of an exam: date and time of the exposure, and the number of the image."""
    moments = [text(dataset, name) for name in ("AcquisitionDateTime", "AcquisitionDate", "ContentDate")]
    times = [text(dataset, name) for name in ("AcquisitionTime", "ContentTime")]
    moment = moments[0] or next(filter(None, moments), "") + next(filter(None, times), "")
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
    said = text(dataset, "PatientOrientation").strip("\\")
    return bool(said) and said.upper() not in ("CC", "MLO") and orientation_of(dataset) is None


def text(dataset: "Dataset", keyword: str) -> str:
    """Return an attribute as text, several values with backslashes between them; "" if it is absent or a sequence."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    if element is not None and element.VR == "SQ":
        return ""
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
    read = value(dataset, keyword)
    try:
        found = float(read) if isinstance(read, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def items(dataset: "Dataset", keyword: str) -> list["Dataset"]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    from pydicom import Dataset

    found = value(dataset, keyword)
    return [item for item in found if isinstance(item, Dataset)] if isinstance(found, Sequence) else []


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
    return (*ours, NotImplementedError, EOFError, OSError, struct.error, BytesLengthException)


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
                kept = [entry for entry in warnings.filters if not _is_ours(entry)]
                warnings.filters[:] = kept  # pyright: ignore[reportIndexIssue]  # the list that the module reads


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
