"""Deflated data sets, by their bytes and not by the label of the file, PS3.5 A.5; the size of deflated streams."""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from glam.findings import input_error
from glam.reading.source import MAX_BYTES, Content, too_large

Bytes = bytes | memoryview

FILE_META = b"\x02\x00"
FIRST_GROUPS = (FILE_META, b"\x08\x00")
"""What a data set begins with where the preamble is missing: file meta, or identification."""
PIECE_BYTES = 16_384
"""So many are inflated at a time, to a thousand times as many."""
FIRST_BYTES = 8
"""By which a data set is known."""


def inflated_dataset(data: Content, start: int, *, is_named: bool) -> bytes | None:
    """Return the data set from `start` on inflated, None where it is not deflated; `is_named`: its label says it is.

    InputError where more than the limit would be inflated, and where a stream that is named does not reach its end.
    """
    beginning = data[start : start + FIRST_BYTES]
    if begins_a_dataset(beginning) and (not is_named or beginning[:2] != FILE_META):
        return None
    try:
        inflated = _inflated(data[start:])
    except zlib.error:
        inflated = None
    if is_named and inflated is None:
        raise input_error("truncated")
    return inflated if inflated is not None and (is_named or begins_a_dataset(inflated[:FIRST_BYTES])) else None


def _inflated(deflated: Content) -> bytes | None:
    """Return a stream inflated to its end, None where that is missing; zlib.error where it is damaged."""
    is_zlib = deflated[:1] == b"\x78"  # old writers put zlib's header there, which no deflated block begins with
    inflate = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    inflated = inflate.decompress(deflated, MAX_BYTES + 1)
    if len(inflated) > MAX_BYTES:
        raise too_large("inflated data set", MAX_BYTES)
    return inflated if inflate.eof else None


class Inflated(NamedTuple):
    """What a deflated stream holds."""

    num_bytes: int
    is_whole: bool
    """It reached its end, and the checksum there is right."""


def inflated_size(parts: Iterable[Bytes], most_bytes: int) -> Inflated:
    """Return the size of a zlib stream, which is not looked at beyond `most_bytes`; zlib.error where it is damaged."""
    inflate, num_bytes = zlib.decompressobj(), 0
    for part in parts:
        for place in range(0, len(part), PIECE_BYTES):
            num_bytes += len(inflate.decompress(part[place : place + PIECE_BYTES]))
            if inflate.eof or num_bytes > most_bytes:
                return Inflated(num_bytes, inflate.eof)
    return Inflated(num_bytes, is_whole=False)


def begins_a_dataset(beginning: Content) -> bool:
    """Return whether bytes begin as a first element does: its group, then letters of a VR or a short length."""
    letters, length = beginning[4:6], int.from_bytes(beginning[4:8], "little")
    if beginning[:2] == b"\0\x08":  # big endian is always explicit
        return letters.isalpha() and letters.isupper()
    is_short = len(beginning) >= 8 and length < 2**16
    return beginning[:2] in FIRST_GROUPS and (is_short or (letters.isalpha() and letters.isupper()))
