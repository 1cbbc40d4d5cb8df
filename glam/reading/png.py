"""PNG: the checksums of its chunks and of its pixels, which Pillow does not verify. PNG, third edition, 5.3 and 10.1.

Pillow leaves rows black that are missing.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from glam.findings import input_error
from glam.reading.deflate import inflated_size
from glam.reading.pixels import MAX_PIXELS

SIGNATURE_BYTES = 8
LENGTH_BYTES, KIND_BYTES, CHECKSUM_BYTES = 4, 4, 4
HEADER, PIXELS, END = b"IHDR", b"IDAT", b"IEND"
MAX_CHUNKS = 100_000
"""Of the largest file in pieces of 1,600 bytes; writers use far longer ones."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> values of a pixel."""
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each part of an interlaced image, and the steps between its columns and rows. 8.2."""


class Chunk(NamedTuple):
    """A part of a PNG."""

    kind: bytes
    content: memoryview


def check_whole(data: bytes) -> None:
    """Refuse a PNG as `truncated` unless all its pixels are there, and the checksums of them and of the chunks right.

    It ends with the chunk for that. More pixels than the image has are not looked at, and what is too large is left for
    Pillow to judge.
    """
    header, *others = _chunks(data)
    if header.kind != HEADER or any(chunk.kind == HEADER for chunk in others):
        raise input_error("truncated")
    try:
        cols, rows, bits, colours, interlaced = struct.unpack(">IIBB2xB", header.content)
    except struct.error:
        raise input_error("truncated") from None
    if cols * rows > MAX_PIXELS:
        return
    wanted = _num_bytes(cols, rows, bits * CHANNELS.get(colours, 0), is_interlaced=interlaced == 1)
    try:
        pixels = inflated_size((chunk.content for chunk in others if chunk.kind == PIXELS), wanted)
    except zlib.error:
        raise input_error("truncated") from None
    if pixels.num_bytes < wanted or (pixels.num_bytes == wanted and not pixels.is_whole):
        raise input_error("truncated")


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the one that ends the file; `truncated` where it or a checksum is missing."""
    view, place = memoryview(data), SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        start = place + LENGTH_BYTES  # of what the checksum is about
        end = start + KIND_BYTES + int.from_bytes(view[place:start], "big")
        chunk, place = (
            Chunk(bytes(view[start : start + KIND_BYTES]), view[start + KIND_BYTES : end]),
            end + CHECKSUM_BYTES,
        )
        if place > len(view) or zlib.crc32(view[start:end]) != int.from_bytes(view[end:place], "big"):
            break
        yield chunk
        if chunk.kind == END:
            return
    raise input_error("truncated")


def _num_bytes(cols: int, rows: int, bits: int, *, is_interlaced: bool) -> int:
    """Return the bytes of an image whose pixels have so many bits: rows of whole bytes, each behind its filter."""
    parts = [(cols, rows)]
    if is_interlaced:
        parts = [(-(-(cols - left) // across), -(-(rows - top) // down)) for left, top, across, down in PASSES]
    return sum(height * (1 + -(-width * bits // 8)) for width, height in parts if width > 0 and height > 0)
