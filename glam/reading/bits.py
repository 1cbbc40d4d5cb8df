"""Bit patterns and what they stand for: words of a header, stored values of an image, padding.

Attributes of the kind "US or SS" (padding, LUT descriptors) take their sign from the pixels, not from the VR that a
writer gave them (PS3.3 C.7.6.3.1.1 and C.11.1.1.1): they are read as words, and get their sign where they are used.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glam.reading import header

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

WORD = 2**16
DIGITS = ("CS", "DS", "IS", "LO", "LT", "SH", "ST", "UC", "UT")
"""VRs of numbers that are written in digits."""
LONG = ("SL", "UL")
"""VRs of numbers of two words each."""
SAMPLED_PIXELS = 1_000_000
"""About how many pixels are looked at for the bits that an image fills."""


def packed(dataset: "Dataset", keyword: str) -> bytes:
    """Return an attribute as words, the less significant byte first, whatever its VR; nothing if it is absent or empty.

    Words of a big endian file are turned round, save those of VR OB, which has no byte order (PS3.5 6.2).
    """
    element = header.raw_element(dataset, keyword)
    value = None if element is None else element.value
    if element is None or not isinstance(value, bytes) or element.VR in DIGITS:
        words = [int(number) % WORD for number in header.numbers(dataset, keyword)]
        return np.array(words, "<u2").tobytes()
    is_big = getattr(element, "is_little_endian", dataset.original_encoding[1]) is False
    if element.VR in LONG:
        return np.frombuffer(value, ">u4" if is_big else "<u4", len(value) // 4).astype("<u2").tobytes()
    return swapped(value) if is_big and element.VR != "OB" else value


def swapped(data: bytes) -> bytes:
    """Return bytes with the two of each word in the other order; a last odd one stays."""
    even = len(data) // 2 * 2
    return np.frombuffer(data[:even], "<u2").byteswap().tobytes() + data[even:]


def words(dataset: "Dataset", keyword: str) -> list[int]:
    """Return an attribute as words without a sign, whatever its VR; none if it is absent or empty."""
    data = packed(dataset, keyword)
    return np.frombuffer(data, "<u2", len(data) // 2).tolist()


def signed(word: int) -> int:
    """Return the number that a word stands for where its highest bit is a sign."""
    return word - WORD if word >= WORD // 2 else word


def stored_values(layout: "Layout", itemsize: int) -> NDArray[np.int64]:
    """Return the value that each bit pattern stands for: the stored bits up to the high bit, the top one its sign."""
    patterns = np.arange(2 ** (8 * itemsize))
    values = patterns >> (layout.high_bit + 1 - layout.bits) & (2**layout.bits - 1)
    return values - (values >> (layout.bits - 1) << layout.bits) if layout.signed else values


def is_padding(dataset: "Dataset", layout: "Layout", itemsize: int) -> NDArray[np.bool_]:
    """Return which bit patterns are padding: a value or a range in either order, of the pixels' own kind.

    PS3.3 C.7.5.1.1.2. Padding that the stored bits cannot hold is looked for in the whole word.
    """
    ends = words(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(2 ** (8 * itemsize), bool)
    ends += words(dataset, "PixelPaddingRangeLimit")[:1]
    if layout.signed:
        ends = [_signed_within(word, layout.bits) for word in ends]
    values = stored_values(layout, itemsize)
    if max(ends) < values.min() or min(ends) > values.max():
        values = stored_values(_whole_words(layout, itemsize), itemsize)
    return (values >= min(ends)) & (values <= max(ends))


def filled_layout(dataset: "Dataset", stored: NDArray[Any], layout: "Layout") -> "Layout":
    """Return the layout that (rows, cols) bit patterns really have: the header's, unless they contradict it.

    Bits above the high bit are no part of a value (PS3.5 8.1.1): writers leave overlays and junk there. They are taken
    for a part of it where more grey steps from pixel to pixel become smaller with them than larger: values cut off at
    a bit jump back to 0 wherever they pass it, and junk makes steps of its own. Values that lie below the bits that
    the header names are read where they lie.
    """
    rows = stored[:: max(1, stored.size // SAMPLED_PIXELS)]
    shift = layout.high_bit + 1 - layout.bits
    if shift > 0:
        lowered = layout._replace(high_bit=layout.bits - 1)
        return lowered if _lies_low(rows, lowered) and (rows & (2**shift - 1)).any() else layout
    narrow = layout._replace(bits=layout.high_bit + 1)
    if not int(rows.max()) >> narrow.bits:
        return narrow
    itemsize = stored.dtype.itemsize
    kept = ~is_padding(dataset, _whole_words(layout, itemsize), itemsize)[rows]
    pairs = kept[:, 1:] & kept[:, :-1]

    def steps(bits: int) -> NDArray[np.int32]:
        values = stored_values(narrow._replace(bits=bits, high_bit=bits - 1), itemsize).astype(np.int32)[rows]
        return np.abs(np.diff(values, axis=1))[pairs]

    def gain(bits: int) -> int:
        change = np.sign(steps(bits) - cut_off)
        return -int(change.sum(dtype=np.int64))

    cut_off = steps(narrow.bits)
    best = max(range(narrow.bits, 8 * itemsize + 1), key=gain)  # of equals the first: the header's
    return narrow._replace(bits=best, high_bit=best - 1)


def _whole_words(layout: "Layout", itemsize: int) -> "Layout":
    return layout._replace(bits=8 * itemsize, high_bit=8 * itemsize - 1)


def _signed_within(word: int, bits: int) -> int:
    """Return the number of a word whose sign is at its highest bit, or at the highest of the stored bits."""
    number = signed(word)
    return number - 2**bits if 2 ** (bits - 1) <= number < 2**bits else number


def _lies_low(rows: NDArray[Any], layout: "Layout") -> bool:
    """Return whether no bit above those of a layout is used, save by the continued sign of negative values."""
    if not layout.signed:
        return not int(rows.max()) >> layout.bits
    sign = rows >> (layout.bits - 1)
    return bool(((sign <= 1) | (sign == np.iinfo(rows.dtype).max >> (layout.bits - 1))).all())
