"""JPEG and JPEG-LS codestreams: the header, and streams that show whether all of an image is in them.

ISO 10918-1 B, ISO 14495-1 C. libjpeg fills what a stream lacks with grey and says nothing. Whether it lacked something
is seen by giving it more than the image needs, in two ways: what differs then has been made of what was added.
"""

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

START = b"\xff\xd8"
END = b"\xff\xd9"
FILL = b"\xff"
"""Any number of these may stand before a marker: ISO 10918-1 B.1.1.2."""
MARKER = re.compile(rb"\xff([^\0\xff])")
"""The last byte of 255 and the number; with those before it, a long run of them would be searched again from each."""
SEGMENT = re.compile(rb"\xff([^\0\x01\xff\xd0-\xd8])")
"""A marker that a segment follows, save the end: not TEM, the restarts and the start of the image."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
DEFINE_TABLES = (0xC4, 0xC8, 0xCC)
"""What lies among the numbers of frame headers and is none."""
JPEG_LS_FRAME = 0xF7
FRAMES = frozenset({*range(0xC0, 0xD0), JPEG_LS_FRAME}.difference(DEFINE_TABLES))
RESTART_INTERVAL = 0xDD
PROCESSES = {0xC0: "dct", 0xC1: "dct", 0xC3: "lossless", JPEG_LS_FRAME: "jpeg_ls"}
"""Frame header -> compression; the others, progressive and arithmetic ones, are not read."""

MAX_SEGMENTS = 10_000
"""Of a stream; 2,500 of the longest fill the largest file that is read."""
BLOCK = 8
"""Rows and columns of values that the discrete cosine transform takes at once."""
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
MARKER_BUT_RESTART = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")
ZEROS = bytes(64)
ONES = bytes(range(0xFE, 0xBE, -1))
"""Compressed values that differ from zeros from the first bit on."""


class Segment(NamedTuple):
    """A marker and what belongs to it."""

    marker: int
    payload: bytes
    end: int
    """Place behind it."""


class JpegHeader(NamedTuple):
    """What a stream says of itself before its first scan."""

    process: str | None
    """None: one that is not read here."""
    rows: int
    cols: int
    samples: int
    bits: int
    is_near_lossless: bool
    """JPEG-LS: values may differ from what they were."""
    data_start: int
    """Where the compressed values begin."""
    restart_interval: int
    """Blocks, or values of lossless JPEG, between two restart markers; 0: there are none."""

    @property
    def num_restarts(self) -> int:
        """Restart markers within the image."""
        side = BLOCK if self.process == "dct" else 1
        num_blocks = -(-self.rows // side) * -(-self.cols // side)
        return -(-num_blocks // self.restart_interval) - 1 if self.restart_interval else 0


class ProbePair(NamedTuple):
    """A stream with two continuations: they give the same image where it is whole."""

    zeros: bytes
    ones: bytes


def is_followed(stream: bytes, header: JpegHeader) -> bool:
    """Return whether another image begins behind a stream's header; compressed values have no such bytes."""
    place = stream.find(START + b"\xff", header.data_start)
    try:
        return place >= 0 and read_header(stream[place:]).data_start > 0
    except (ValueError, struct.error):
        return False


def read_header(stream: bytes) -> JpegHeader:
    """Read a stream up to its first scan; ValueError where it is damaged or cut before that."""
    frame: Segment | None = None
    restart_interval = 0
    for segment in segments(stream):
        if segment.marker in FRAMES:
            frame = segment
        if segment.marker == RESTART_INTERVAL:
            (restart_interval,) = struct.unpack_from(">H", segment.payload)
        if segment.marker == START_OF_SCAN and frame is not None:
            bits, rows, cols, samples = struct.unpack_from(">BHHB", frame.payload)
            (largest_error,) = struct.unpack_from("B", segment.payload, 1 + 2 * samples)  # NEAR of JPEG-LS
            return JpegHeader(
                PROCESSES.get(frame.marker),
                rows,
                cols,
                samples,
                bits,
                is_near_lossless=frame.marker == JPEG_LS_FRAME and largest_error > 0,
                data_start=segment.end,
                restart_interval=restart_interval,
            )
    raise ValueError("no frame header, or no scan behind it")


def segments(stream: bytes) -> Iterator[Segment]:
    """Yield the segments, with compressed values behind those that start a scan; ValueError where one is cut."""
    place, num_segments = len(START), 0
    while match := SEGMENT.search(stream, place):
        marker, place = match[1][0], match.end()
        if marker == END_OF_IMAGE:
            return
        length = int.from_bytes(stream[place : place + 2], "big")
        num_segments += 1
        if length < 2 or place + length > len(stream) or num_segments > MAX_SEGMENTS:
            raise ValueError("a marker segment is cut short, or there are more than any image has")
        yield Segment(marker, stream[place + 2 : place + length], place + length)
        place += length


def end_of_scan(stream: bytes, start: int, *, restart_interval: int) -> int:
    """Return where the values from `start` on end: before the first marker that is no restart, else with the stream."""
    marker = (MARKER_BUT_RESTART if restart_interval else MARKER).search(stream, start)
    return start + len(stream[start : marker.start()].rstrip(FILL)) if marker else len(stream)


def ends_of_values(values: bytes, *, is_closed: bool) -> list[bytes]:
    """Return the values of a scan as they are, then without zeros at their end that may be padding.

    Where no marker follows them (`is_closed`: one does), zeros may stand in place of values, and do not count; the one
    that follows a value of 255 does, where the image needs it.
    """
    bare = values.rstrip(b"\0")
    if is_closed:
        return [values] if values == bare else [values, bare]
    halved = bare.removesuffix(b"\xff")  # half of a marker
    return [halved] if halved == bare else [halved, bare + b"\0"]


def continued(values: bytes, restart_interval: int, num_restarts: int) -> ProbePair:
    """Return the values of a scan with two continuations of every interval.

    A decoder skips what it does not need before a restart marker. ValueError where the restart markers are not those
    of the image, in their order.
    """
    if not restart_interval:
        return ProbePair(values + ZEROS, values + ONES)
    markers = islice(RESTART.finditer(values), num_restarts + 2)
    restarts = [marker[1][0] & 7 for marker in markers]
    in_order = [count % 8 for count in range(len(restarts))]
    if restarts != in_order or len(restarts) not in (num_restarts, num_restarts + 1):
        raise ValueError("restart markers are missing or not in their order")
    return ProbePair(_with_continuations(values, ZEROS), _with_continuations(values, ONES))


def _with_continuations(values: bytes, continuation: bytes) -> bytes:
    """Return values with a continuation before each restart marker and at the end."""
    *closed, last = RESTART.split(values)  # the values of an interval and the number of its marker in turn
    joined = [
        closed[place].rstrip(FILL) + continuation + FILL + closed[place + 1] for place in range(0, len(closed), 2)
    ]
    return b"".join(joined) + last + continuation
