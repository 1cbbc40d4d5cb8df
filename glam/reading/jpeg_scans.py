"""JPEG pictures of one or several components, sequential or progressive: whether all of an image is in their scans.

As in glam/reading/jpeg.py a stream is decoded with two continuations, here of every scan. A progressive image whose
last scans are missing shows nothing of that: its scans have to bring every coefficient to its last bit. ISO 10918-1 G.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.findings import InputError, input_error
from glam.reading import jpeg
from glam.reading.pillow import by_pillow, opened_picture
from glam.reading.pixels import MAX_PIXELS

SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
ARITHMETIC = (0xC9, 0xCA)
"""Frame headers whose streams need no last bytes, zeros being read in their place: nothing can be proved of them."""
COEFFICIENTS = 64
"""Of a block."""
MAX_COMPONENTS = 3
"""Of grey values or colours."""
MAX_SCANS = 32
"""Of a progressive image: encoders write 3 to 12. Each costs the time of a whole image, however few bytes it has."""


class Component(NamedTuple):
    """A colour of the image, and by how many values it takes part in the smallest unit that is coded."""

    number: int
    horizontal: int
    vertical: int


class Frame(NamedTuple):
    """The frame header."""

    marker: int
    bits: int
    rows: int
    cols: int
    components: tuple[Component, ...]

    def num_units(self, numbers: tuple[int, ...]) -> int:
        """Return how many coded units a scan of these components has. ISO 10918-1 A.2."""
        most_wide = max(each.horizontal for each in self.components)
        most_high = max(each.vertical for each in self.components)
        if len(numbers) > 1:
            return -(-self.cols // (jpeg.BLOCK * most_wide)) * -(-self.rows // (jpeg.BLOCK * most_high))
        first = next(iter(numbers))
        single = next(each for each in self.components if each.number == first)
        cols, rows = -(-self.cols * single.horizontal // most_wide), -(-self.rows * single.vertical // most_high)
        return -(-cols // jpeg.BLOCK) * -(-rows // jpeg.BLOCK)


class Scan(NamedTuple):
    """Coded values of some components."""

    start: int
    """Of the values in the stream."""
    end: int
    numbers: tuple[int, ...]
    """Of its components."""
    coefficients: slice
    last_bit: int
    """The lowest bit of the coefficients that is known after this scan."""
    restart_interval: int


def whole_jpeg(data: bytes, *, max_pixels: int | None = None) -> bytes:
    """Return a JPEG that Pillow reads to its end, which may be missing; `truncated` where values of it are.

    It is so, too, where there are more pixels than there is room for. What has four components or more, and what is
    too large, is left for Pillow to judge.
    """
    try:
        frame, scans = _read(data)
    except ValueError:
        raise input_error("truncated") from None
    if max_pixels is not None and frame.rows * frame.cols > max_pixels:
        raise input_error("truncated")
    if not frame.rows:  # libjpeg does not read it: ISO 10918-1 B.2.5
        raise input_error("unsupported_picture", kind="their height behind their values (DNL)")
    if len(scans) > MAX_SCANS:
        raise input_error("unsupported_picture", kind=f"more than {MAX_SCANS} scans in a JPEG")
    if frame.marker in ARITHMETIC or not _is_checked(frame):
        return data
    if frame.marker not in (*SEQUENTIAL, PROGRESSIVE) or frame.bits != 8:
        raise input_error("unsupported_picture", kind="lossless or 12-bit JPEG")
    try:
        _check_complete(frame, scans)
        candidates = list(_probes(data, frame, scans))
    except ValueError:
        raise input_error("truncated") from None
    whole = next((probes.zeros for probes in candidates if _same_values(*probes)), None)
    if whole is None:
        raise input_error("truncated")
    return whole


def _is_checked(frame: Frame) -> bool:
    return 0 < len(frame.components) <= MAX_COMPONENTS and 0 < frame.rows * frame.cols <= MAX_PIXELS


def _same_values(zeros: bytes, ones: bytes) -> bool:
    """Return whether Pillow makes the same image of both streams."""
    try:
        return np.array_equal(_values(zeros), _values(ones))
    except InputError:
        return False


def _values(stream: bytes) -> NDArray[np.uint8]:
    return by_pillow(lambda: np.asarray(opened_picture(stream, "JPEG")))


def _read(stream: bytes) -> tuple[Frame, list[Scan]]:
    """Return the frame and its scans; ValueError where the stream is damaged or cut before its first scan."""
    frame, scans, restart_interval = None, list[Scan](), 0
    try:
        for segment in jpeg.segments(stream):
            if segment.marker in jpeg.FRAMES and frame is None:
                frame = _frame(segment)
            elif segment.marker == jpeg.RESTART_INTERVAL:
                (restart_interval,) = struct.unpack_from(">H", segment.payload)
            elif segment.marker == jpeg.START_OF_SCAN:
                end = jpeg.end_of_scan(stream, segment.end, restart_interval=restart_interval)
                scans.append(_scan(segment, end, restart_interval))
                if len(scans) > MAX_SCANS or (frame is not None and frame.marker == jpeg.JPEG_LS_FRAME):
                    break  # its values hold what are markers in those of JPEG
    except struct.error:
        raise ValueError("a marker segment is cut short") from None
    if frame is None or not scans:
        raise ValueError("no frame header, or no scan behind it")
    return frame, scans


def _frame(segment: jpeg.Segment) -> Frame:
    bits, rows, cols, count = struct.unpack_from(">BHHB", segment.payload)
    triples = [struct.unpack_from("BB", segment.payload, 6 + 3 * index) for index in range(count)]
    components = tuple(Component(number, factors >> 4, factors & 0xF) for number, factors in triples)
    if not all(each.horizontal and each.vertical for each in components):
        raise ValueError("a component without values")
    return Frame(segment.marker, bits, rows, cols, components)


def _scan(segment: jpeg.Segment, end: int, restart_interval: int) -> Scan:
    (count,) = struct.unpack_from("B", segment.payload)
    first, last, bits = struct.unpack_from("BBB", segment.payload, 1 + 2 * count)
    numbers = tuple(segment.payload[1 : 1 + 2 * count : 2])
    return Scan(segment.end, end, numbers, slice(first, last + 1), bits & 0xF, restart_interval)


def _check_complete(frame: Frame, scans: list[Scan]) -> None:
    """Raise ValueError where a component has no scan, or coefficients of a progressive image lack their last bits."""
    missing = {each.number: np.full(COEFFICIENTS, True) for each in frame.components}
    for scan in scans:
        if not scan.numbers or not missing.keys() >= set(scan.numbers):
            raise ValueError("a scan of components that the image does not have")
        for number in scan.numbers:
            if frame.marker == PROGRESSIVE:
                missing[number][scan.coefficients] = scan.last_bit > 0
            else:
                missing[number][:] = False
    if any(each.any() for each in missing.values()):
        raise ValueError("the last scans are missing")


def _probes(stream: bytes, frame: Frame, scans: list[Scan]) -> Iterator[jpeg.ProbePair]:
    """Yield the stream with two continuations of every scan, its last one taken with and without zeros at its end."""
    *earlier, last = scans
    zeros, ones, place = b"", b"", 0
    for scan in earlier:
        probes = jpeg.continued(stream[scan.start : scan.end], scan.restart_interval, _num_restarts(frame, scan))
        zeros += stream[place : scan.start] + probes.zeros
        ones += stream[place : scan.start] + probes.ones
        place = scan.end
    head = stream[place : last.start]
    for values in jpeg.ends_of_values(stream[last.start : last.end], is_closed=last.end < len(stream)):
        probes = jpeg.continued(values, last.restart_interval, _num_restarts(frame, last))
        yield jpeg.ProbePair(zeros + head + probes.zeros + jpeg.END, ones + head + probes.ones + jpeg.END)


def _num_restarts(frame: Frame, scan: Scan) -> int:
    units = frame.num_units(scan.numbers)
    return -(-units // scan.restart_interval) - 1 if scan.restart_interval else 0
