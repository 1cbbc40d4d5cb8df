"""JPEG and JPEG-LS codestreams: the frame header, and where the image ends. ISO 10918-1 B, ISO 14495-1 C.

libjpeg fills what a stream lacks with grey and says nothing, so that the end has to be found without it.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

START = b"\xff\xd8"
END = b"\xff\xd9"
MARKER = re.compile(rb"\xff+([^\0\xff])")
"""Any number of fill bytes may stand before a marker: ISO 10918-1 B.1.1.2."""
ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers without a segment: TEM, the restarts, the start of the image."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
DEFINE_TABLES = (0xC4, 0xC8, 0xCC)
"""What lies among the numbers of frame headers and is none."""
JPEG_LS_FRAME = 0xF7
FRAMES = frozenset({*range(0xC0, 0xD0), JPEG_LS_FRAME}.difference(DEFINE_TABLES))
PROCESSES = {0xC0: "dct", 0xC1: "dct", 0xC3: "lossless", JPEG_LS_FRAME: "jpeg_ls"}
"""Frame header -> compression; the others, progressive and arithmetic ones, are not read."""

RESTARTS = range(0xD0, 0xD8)
CONTINUATION = bytes(range(0xFE, 0xBE, -1))
"""Compressed values that differ from zeros from the first bit on."""


class Segment(NamedTuple):
    """A marker and what belongs to it."""

    marker: int
    payload: bytes
    end: int
    """Place behind it."""


class Header(NamedTuple):
    """What a stream says of itself before its first scan."""

    process: str | None
    """None: one that is not read here."""
    rows: int
    cols: int
    samples: int
    bits: int
    is_near: bool
    """JPEG-LS: values may differ from what they were."""
    data_start: int
    """Where the compressed values begin."""


def header(stream: bytes) -> Header:
    """Read a stream up to its first scan; ValueError where it is damaged or cut before that."""
    frame: Segment | None = None
    for segment in _segments(stream):
        if segment.marker in FRAMES:
            frame = segment
        if segment.marker == START_OF_SCAN and frame is not None:
            bits, rows, cols, samples = struct.unpack_from(">BHHB", frame.payload)
            (near,) = struct.unpack_from("B", segment.payload, 1 + 2 * samples)
            is_near = frame.marker == JPEG_LS_FRAME and near > 0
            return Header(PROCESSES.get(frame.marker), rows, cols, samples, bits, is_near, segment.end)
    raise ValueError("no frame header, or no scan behind it")


def _segments(stream: bytes) -> Iterator[Segment]:
    """Yield the segments up to the first scan; ValueError where one is cut."""
    place = len(START)
    while found := MARKER.search(stream, place):
        marker, place = found[1][0], found.end()
        if marker == END_OF_IMAGE:
            return
        if marker in ALONE:
            continue
        length = int.from_bytes(stream[place : place + 2], "big")
        if length < 2 or place + length > len(stream):
            raise ValueError("a marker segment is cut short")
        yield Segment(marker, stream[place + 2 : place + length], place + length)
        place += length
        if marker == START_OF_SCAN:
            return


def continuations(stream: bytes) -> tuple[bytes, bytes]:
    """Return two continuations of a stream: where it still needs values, the image shows which of them it was given.

    The second has the restart markers in the order in which they are due: a decoder skips what comes before one.
    """
    places = {restart: stream.rfind(bytes([0xFF, restart])) for restart in RESTARTS}
    latest = max(places, key=lambda restart: places[restart])
    due = 0 if places[latest] < 0 else latest - RESTARTS[0] + 1
    order = (RESTARTS[(due + count) % len(RESTARTS)] for count in range(len(RESTARTS)))
    return bytes(len(CONTINUATION)), CONTINUATION + b"".join(bytes([0xFF, restart]) + CONTINUATION for restart in order)
