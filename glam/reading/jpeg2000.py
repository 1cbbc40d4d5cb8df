"""JPEG 2000 codestreams: out of the boxes of a file, their size, where their last tile ends. ISO 15444-1 A and I."""

import re
import struct
from typing import NamedTuple

START = b"\xff\x4f\xff\x51"
"""Start of codestream, and the marker of the size that must follow it."""
END = b"\xff\xd9"
BOXES = b"\0\0\0\x0cjP  "
"""Begins a JP2 or JPH file, and belongs in no DICOM file, yet is found there."""
MAX_TILES = 65_535
"""What the standard allows an image."""
START_OF_DATA = b"\xff\x93"
TILE_PART_HEADER_BYTES = 12
"""Of the marker segment that a tile part begins with."""
MIN_TILE_PART_BYTES = 14
"""Of a tile part without data."""
MARKER = re.compile(rb"\xff[\x90\x93-\xff]")
"""What compressed data cannot hold: markers, save those of a packet. ISO 15444-1 A.1.4, table A.2."""
FILLED = re.compile(rb"([^\x80])\1{15}\Z", re.DOTALL)
"""An end that a copy was filled up with; packets without data may be bytes of 0x80."""
FILLED_BYTES = 16
START_OF_TILE_PART, CODING_STYLE, CAPABILITIES = 0xFF90, 0xFF52, 0xFF50


class Jpeg2000Header(NamedTuple):
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


def read_header(stream: bytes) -> Jpeg2000Header:
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
    return Jpeg2000Header(
        bottom - top, right - left, samples, (bits & 0x7F) + 1, num_tiles, is_reversible, is_high_throughput, place
    )


def end_of_tiles(stream: bytes, header: Jpeg2000Header) -> int:
    """Return where the last tile of a codestream ends; ValueError where tiles are cut, missing or may be overwritten.

    Tile parts say how long they are, and usually how many make up a tile. Without an end marker behind them they have
    to say it, and the last of them must not end in what a copy that broke off may have been filled up with.
    """
    parts, wanted, start, place = dict[int, int](), dict[int, int](), 0, header.data_start
    while stream[place : place + 2] == START_OF_TILE_PART.to_bytes(2, "big"):
        tile, length, _, num_parts = struct.unpack_from(">HIBB", stream, place + 4)
        end = place + length if length else _end_of_last_part(stream, place)
        if end < place + MIN_TILE_PART_BYTES or end > len(stream):
            raise ValueError("a tile part is cut short")
        parts[tile] = parts.get(tile, 0) + 1
        wanted[tile] = max(wanted.get(tile, 0), num_parts)
        start, place = place, end
    has_end = stream[place : place + len(END)] == END
    if not has_end and END in stream[place - len(END) : place + 1]:
        raise ValueError("the end marker stands within a tile part: bytes of it are lost")
    if len(parts) != header.num_tiles or any(0 < wanted[tile] != parts[tile] for tile in parts):
        raise ValueError("parts of tiles are missing")
    if not has_end and (0 in wanted.values() or _may_be_overwritten(stream, start, place)):
        raise ValueError("there is no end marker, and the end of the last tile is in doubt")
    return place


def _may_be_overwritten(stream: bytes, start: int, end: int) -> bool:
    """Return whether a last tile part, or what stands behind it in place of an end marker, may be no part of the image.

    Behind it there may be half of the marker, and zeros.
    """
    behind = stream[end:].removeprefix(END[:1])
    data = stream[_start_of_data(stream, start) + len(START_OF_DATA) : end]
    is_filled = data.endswith(b"\0") or FILLED.search(data[-FILLED_BYTES:]) is not None
    return is_filled or bool(behind.strip(b"\0")) or MARKER.search(data) is not None


def _end_of_last_part(stream: bytes, start: int) -> int:
    """Return where a tile part ends that reaches to the end marker; ValueError where there is none. ISO 15444-1 A.4.2.

    Its header may hold the bytes of an end marker, its compressed data cannot.
    """
    end = stream.find(END, _start_of_data(stream, start))
    if end < 0:
        raise ValueError("the last tile part does not say how long it is, and the end marker is missing")
    return end


def _start_of_data(stream: bytes, start: int) -> int:
    """Return where the compressed data of a tile part begins, with its marker; ValueError where there is none."""
    place = start + TILE_PART_HEADER_BYTES
    while (marker := stream[place : place + 2]) != START_OF_DATA:
        (length,) = struct.unpack_from(">H", stream, place + 2)
        if marker[0] != 0xFF or length < 2:
            raise ValueError("no marker where one must be")
        place += 2 + length
    return place
