"""Look-up tables of a header: the Modality LUT or rescale, and the tables of VOI LUTs."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.findings import HeaderError
from glam.reading import header
from glam.reading.bits import packed, signed, swapped, words

if TYPE_CHECKING:
    from pydicom import Dataset

Values = NDArray[np.floating[Any]]

MAX_ENTRIES = 2**16
"""Number of entries that a count of 0 stands for."""
DARK_BITS = 4
"""Number of unused bits of the descriptor from which a table would show everything nearly black."""
FULL = 0.995
"""Share of the largest value of some bits from which the highest entry of a table fills those bits."""
CLEARLY_SMOOTHER = 1.5
"""Ratio of the ups and downs of a table in its two byte orders from which the smoother one is the right one."""


class Table(NamedTuple):
    """A look-up table."""

    entries: NDArray[np.int64]
    first: int
    """The value that the first entry is for."""
    bits: int
    """Bits of an entry, as the descriptor says."""
    is_swapped: bool
    """The bytes of the entries lie in another order than the file says."""


class Modality(NamedTuple):
    """The modality value of each stored value."""

    values: Values
    codes: tuple[str, ...]
    """Codes of findings about their source."""


def modality_values(dataset: "Dataset", stored: NDArray[np.int64]) -> Modality:
    """Return the modality values of stored ones: by the Modality LUT, else slope and intercept. PS3.3 C.11.1.

    A HeaderError where these leave no value different from another.
    """
    for lut in header.items(dataset, "ModalityLUTSequence"):
        table = table_of(lut, "ModalityLUTSequence", stored)
        if table is not None:
            values = through(table, stored)
            if np.ptp(values) == 0:
                raise HeaderError("ModalityLUTSequence", "it gives all values of the image the same entry")
            return Modality(values, ("lut_differs",) if table.is_swapped else ())
    slope, intercept = _number(dataset, "RescaleSlope", absent=1), _number(dataset, "RescaleIntercept", absent=0)
    if slope == 0:
        raise HeaderError("RescaleSlope", "it is 0, which leaves nothing of the image")
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored * slope + intercept
        extent = np.ptp(values)
    if not np.isfinite(extent) or extent == 0:
        raise HeaderError("RescaleSlope or RescaleIntercept", "it is so large or so small that nothing is left")
    return Modality(values, ())


def table_of(lut: "Dataset", sequence: str, inputs: Values | NDArray[np.int64]) -> Table | None:
    """Return the table in an item of a sequence; None for an item that lacks its descriptor or its data.

    PS3.3 C.11.1.1. `inputs` are all values that may be looked up: they decide whether the first value mapped has a
    sign. A HeaderError for a table that its descriptor contradicts.
    """
    descriptor, data = words(lut, "LUTDescriptor"), packed(lut, "LUTData")
    if not descriptor or not data:
        return None
    if len(descriptor) < 3:
        raise HeaderError(f"LUTDescriptor in {sequence}", "it needs three values")
    count, bits = descriptor[0] or MAX_ENTRIES, descriptor[2]
    if not 8 <= bits <= 16:
        raise HeaderError(f"LUTDescriptor in {sequence}", f"entries have 8 to 16 bits, and it says {bits}")
    entries, is_swapped = _entries(data, count, bits)
    if len(entries) < count:
        raise HeaderError(f"LUTData in {sequence}", f"it has {len(entries)} entries, and the descriptor says {count}")
    return Table(entries, _first_value(descriptor[1], count, inputs), bits, is_swapped)


def used_bits(table: Table) -> int:
    """Return how many bits the entries of a table use, by the highest of them.

    Some writers put the bits that an entry is stored in into the descriptor. Fewer are believed where the highest entry
    fills them (FULL), or where the table would show everything in the darkest sixteenth (DARK_BITS). A table of full
    width that merely ends low does neither. More are believed where an entry does not fit.
    """
    highest, bits = int(table.entries.max()), table.bits
    needed = max(1, (highest - 1).bit_length())  # 2**n, of those who scale to it, is as good as 2**n - 1
    fills = highest >= FULL * (2**needed - 1)
    return needed if highest and (needed > bits or needed <= bits - DARK_BITS or fills) else bits


def through(table: Table, values: Values | NDArray[np.int64]) -> Values:
    """Look values up; those outside the table get its first or last entry."""
    index = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1).astype(np.intp)
    return table.entries[index].astype(np.float64)


def _entries(data: bytes, count: int, bits: int) -> tuple[NDArray[np.int64], bool]:
    """Return up to `count` entries, a byte each or a word each, and whether their bytes had to be swapped.

    8-bit entries may lie in a word each, two in a word, or in bytes; a last byte fills up the word.
    """
    is_bytes = len(data) in (count, count + 1) and (bits == 8 or len(data) < 2 * count)
    orders = [np.frombuffer(content[: len(content) // 2 * 2], "<u2") for content in (data, swapped(data))]
    if is_bytes:
        orders = [np.frombuffer(content, np.uint8) for content in (data, swapped(data))]
    written, turned = (entries[:count].astype(np.int64) for entries in orders)
    is_swapped = _ups_and_downs(turned) * CLEARLY_SMOOTHER < _ups_and_downs(written)
    return (turned if is_swapped else written), is_swapped


def _ups_and_downs(entries: NDArray[np.int64]) -> float:
    """Return the sum of the steps from entry to entry, in ranges of the table: 1 where they only rise or only fall."""
    return float(np.abs(np.diff(entries)).sum() / max(1, np.ptp(entries))) if len(entries) else 0.0


def _first_value(word: int, count: int, inputs: Values | NDArray[np.int64]) -> int:
    """Return the first value mapped: of the kind of the inputs, or of the other where only that one meets them."""
    low, high = inputs.min(), inputs.max()
    own, other = (signed(word), word) if low < 0 else (word, signed(word))

    def meets(first: int) -> bool:
        return first <= high and first + count > low

    return other if meets(other) and not meets(own) else own


def _number(dataset: "Dataset", keyword: str, *, absent: float) -> float:
    """Return the one finite number in an attribute; a HeaderError where it holds anything else."""
    if not header.text(dataset, keyword).strip():
        return absent
    numbers = header.numbers(dataset, keyword)
    if len(numbers) != 1:
        raise HeaderError(keyword, "it is not one finite number")
    return numbers[0]
