"""JPEG 2000 codestreams: out of the boxes of a file, their size, where their last tile ends. ISO 15444-1 A and I."""

import struct
from typing import NamedTuple

START = b"\xff\x4f\xff\x51"
"""Start of codestream, and the marker of the size that must follow it."""
END = b"\xff\xd9"
BOXES = b"\0\0\0\x0cjP  "
"""Begins a JP2 or JPH file, and belongs in no DICOM file, yet is found there."""
MAX_TILES = 65_535
"""What the standard allows an image."""
START_OF_TILE_PART, CODING_STYLE, CAPABILITIES = 0xFF90, 0xFF52, 0xFF50


class Header(NamedTuple):
    """What a codestream says of itself before its first tile."""

    rows: int
    cols: int
    samples: int
    bits: int
    num_tiles: int
    is_reversible: bool
    """Its wavelets give back whole numbers; the encoder may have left some bits out all the same."""
    is_high_throughput: bool
    data_start: int
    """Where the first tile part begins."""


def codestream(stream: bytes) -> bytes:
    """Return the codestream in the boxes of a JP2 file, or what is no such file as it is; ValueError: there is none."""
    place = 0
    while stream.startswith(BOXES) and place < len(stream):
        length, kind = struct.unpack_from(">I4s", stream, place)
        start = place + 8
        if length == 1:  # the true length follows
            (length,) = struct.unpack_from(">Q", stream, start)
            start += 8
        if kind == b"jp2c":
            return stream[start : place + length if length else None]
        if length < start - place:
            raise ValueError("a box has no length")
        place += length
    if place:
        raise ValueError("there is no codestream in the boxes")
    return stream


def header(stream: bytes) -> Header:
    """Read a codestream up to its first tile; ValueError where it is damaged."""
    right, bottom, left, top, tile_cols, tile_rows, tile_left, tile_top, samples, bits, across, down = (
        struct.unpack_from(">8IHBBB", stream, 8)
    )
    if (across, down) != (1, 1) or not tile_cols or not tile_rows:
        raise ValueError("a subsampled component, or tiles of no size")
    num_tiles = -(-(right - tile_left) // tile_cols) * -(-(bottom - tile_top) // tile_rows)
    if not 1 <= num_tiles <= MAX_TILES:
        raise ValueError("more tiles than the standard allows")
    is_reversible, is_high_throughput, place = False, False, 2
    while True:
        marker, length = struct.unpack_from(">HH", stream, place)
        if marker == START_OF_TILE_PART:
            break
        if marker < 0xFF00 or length < 2:
            raise ValueError("no tile where one must begin")
        if marker == CODING_STYLE:
            is_reversible = stream[place + 13 : place + 14] == b"\1"
        is_high_throughput |= marker == CAPABILITIES
        place += 2 + length
    return Header(
        bottom - top, right - left, samples, (bits & 0x7F) + 1, num_tiles, is_reversible, is_high_throughput, place
    )


def end_of_tiles(stream: bytes, header: Header) -> int:
    """Return where the last tile of a codestream without end marker ends; ValueError where tiles are cut or missing.

    Tile parts say how long they are, and usually how many make up a tile. Where they do not, whether one is missing
    cannot be known, and the codestream is refused.
    """
    parts, wanted, place = dict[int, int](), dict[int, int](), header.data_start
    while stream[place : place + 2] == START_OF_TILE_PART.to_bytes(2, "big"):
        tile, length, _, num_parts = struct.unpack_from(">HIBB", stream, place + 4)
        if length < 14 or place + length > len(stream):
            raise ValueError("a tile part is cut short, or does not say how long it is")
        parts[tile] = parts.get(tile, 0) + 1
        wanted[tile] = max(wanted.get(tile, 0), num_parts)
        place += length
    if len(parts) != header.num_tiles or parts != wanted:
        raise ValueError("parts of tiles are missing")
    return place
