"""Encapsulated pixel data: the one frame out of its fragments, and what a codestream says of its own size.

The size is read before a decoder sees the codestream: a decoder allocates what the codestream claims.
"""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydicom import uid

Bytes = bytes | memoryview

ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
MAX_TILES = 65_535
"""What the standard allows a JPEG 2000 image."""
END_OF_IMAGE = b"\xff\xd9"
"""Ends JPEG and JPEG-LS alike."""
START_OF_SCAN = 0xFFDA


class StreamSize(NamedTuple):
    """What a codestream holds by its own header."""

    rows: int
    cols: int
    samples: int
    bits: int
    """Bits of a sample."""


def joined_fragments(data: bytes) -> Bytes:
    """Return the codestream of the one frame, the offset table left out; ValueError where an item is cut. PS3.5 A.4."""
    view, place, fragments = memoryview(data), 0, list[memoryview]()
    while place + 8 <= len(view) and view[place : place + 4] != DELIMITER:
        length = int.from_bytes(view[place + 4 : place + 8], "little")
        if view[place : place + 4] != ITEM or place + 8 + length > len(view):
            raise ValueError("an item of the encapsulated pixel data is cut short")
        fragments.append(view[place + 8 : place + 8 + length])
        place += 8 + length
    frame = fragments[1] if len(fragments) == 2 else b"".join(fragments[1:])  # the first item is the offset table
    if not frame:
        raise ValueError("the encapsulated pixel data is empty")
    return frame


def size_of(syntax: str, stream: Bytes) -> StreamSize | None:
    """Return what a codestream says of itself, None for RLE, which says nothing; ValueError where it is damaged."""
    read = SIZES.get(syntax)
    try:
        return read(stream) if read else None
    except struct.error:
        raise ValueError("the codestream's header is cut short") from None


def check_run_lengths(stream: Bytes, *, segments: int) -> None:
    """Refuse an RLE frame, PS3.5 G.5, whose segments are not in order within it: decoders read where they say."""
    count, *offsets = struct.unpack_from("<16I", stream)
    used = offsets[:segments]
    if count != segments or used[0] != 64 or sorted(set(used)) != used or used[-1] >= len(stream):
        raise ValueError("the segments are not where their offsets say")


def _jpeg_size(stream: Bytes, frames: tuple[int, ...]) -> StreamSize:
    """Walk the markers to the frame header, ISO 10918-1 B.2.2; only the processes of the transfer syntax are taken.

    libjpeg fills what a stream lacks with grey and says nothing, so that the end marker must be there.
    """
    if stream[:2] != b"\xff\xd8" or END_OF_IMAGE not in bytes(stream[-64:]):
        raise ValueError("no start or no end of image")
    place = 2
    while True:
        marker, length = struct.unpack_from(">HH", stream, place)
        if marker in frames:
            bits, rows, cols, samples = struct.unpack_from(">BHHB", stream, place + 4)
            return StreamSize(rows, cols, samples, bits)
        if marker < 0xFFC0 or marker == START_OF_SCAN or length < 2:
            raise ValueError("no frame header of the transfer syntax")
        place += 2 + length


def _jpeg2000_size(stream: Bytes) -> StreamSize:
    """Read the SIZ segment, ISO 15444-1 A.5.1."""
    if stream[:4] != b"\xff\x4f\xff\x51":
        raise ValueError("no start of codestream")
    right, bottom, left, top, tile_cols, tile_rows, tile_left, tile_top, samples, bits, across, down = (
        struct.unpack_from(">8IHBBB", stream, 8)
    )
    if (across, down) != (1, 1) or not tile_cols or not tile_rows:
        raise ValueError("a subsampled component, or tiles of no size")
    tiles = -(-(right - tile_left) // tile_cols) * -(-(bottom - tile_top) // tile_rows)
    if not 1 <= tiles <= MAX_TILES:
        raise ValueError("more tiles than the standard allows")
    return StreamSize(bottom - top, right - left, samples, (bits & 0x7F) + 1)


def _jpeg_sizes(*frames: int) -> Callable[[Bytes], StreamSize]:
    return lambda stream: _jpeg_size(stream, frames)


SIZES: Mapping[str, Callable[[Bytes], StreamSize]] = {
    uid.JPEGBaseline8Bit: _jpeg_sizes(0xFFC0, 0xFFC1),
    uid.JPEGExtended12Bit: _jpeg_sizes(0xFFC0, 0xFFC1),
    uid.JPEGLossless: _jpeg_sizes(0xFFC3),
    uid.JPEGLosslessSV1: _jpeg_sizes(0xFFC3),
    uid.JPEGLSLossless: _jpeg_sizes(0xFFF7),
    uid.JPEGLSNearLossless: _jpeg_sizes(0xFFF7),
    uid.JPEG2000Lossless: _jpeg2000_size,
    uid.JPEG2000: _jpeg2000_size,
    uid.HTJ2KLossless: _jpeg2000_size,
    uid.HTJ2KLosslessRPCL: _jpeg2000_size,
    uid.HTJ2K: _jpeg2000_size,
}
