"""Look-up tables of a header: the Modality LUT or rescale, and the tables of VOI LUTs."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glam import header

if TYPE_CHECKING:
    from pydicom import Dataset

Values = NDArray[np.floating[Any]]

MAX_ENTRIES = 2**16
"""What an entry count of 0 stands for."""


def modality_values(dataset: "Dataset", stored: NDArray[np.int64]) -> Values:
    """Return the modality values of stored ones: by the Modality LUT, else slope and intercept. PS3.3 C.11.1."""
    luts = header.items(dataset, "ModalityLUTSequence")
    if luts:
        table, first, _ = _table_of(luts[0])
        return _through(table, first, stored)
    slope, intercept = (_number(dataset, name, plain) for name, plain in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
    with np.errstate(over="ignore"):
        values = stored * slope + intercept
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        raise ValueError("slope and intercept leave nothing")
    return values


def looked_up(lut: "Dataset", modality: Values) -> Values:
    """Return what a VOI LUT makes of modality values, 0 to 1 of its output range. PS3.3 C.11.2.1.1."""
    table, first, bits = _table_of(lut)
    return _through(table, first, modality) / (2.0**bits - 1)


def _through(table: NDArray[np.int64], first: int, values: Values | NDArray[np.int64]) -> Values:
    """Look values up; those outside the table get its first or last entry."""
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.intp)
    return table[index].astype(np.float64)


def _number(dataset: "Dataset", keyword: str, plain: float) -> float:
    """Return a number of the header, the plain one where it has none; ValueError for what is no finite number."""
    if not header.text(dataset, keyword).strip():
        return plain
    (number,) = header.numbers(dataset, keyword)
    return number


def _table_of(lut: "Dataset") -> tuple[NDArray[np.int64], int, int]:
    """Return the entries, the value that the first of them is for, and the bits of an entry. PS3.3 C.11.1.1."""
    count, first, bits = (int(value) for value in lut.LUTDescriptor)
    if not 8 <= bits <= 16:
        raise ValueError("entries of a table have 8 to 16 bits")
    count = count % MAX_ENTRIES or MAX_ENTRIES
    data = lut.LUTData
    packed = data if isinstance(data, bytes) else np.atleast_1d(np.asarray(data, np.int64)).astype("<u2").tobytes()
    is_bytes = bits == 8 and len(packed) in (count, count + 1)  # two 8-bit entries a word
    table = np.frombuffer(packed, np.uint8 if is_bytes else "<u2")
    if len(table) < count:
        raise ValueError("a table has fewer entries than its descriptor says")
    return table[:count].astype(np.int64), first, bits
