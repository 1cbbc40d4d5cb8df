"""The codestream of a compressed image: what it says of itself, and where it ends.

All of it is read before a decoder sees the codestream: a decoder allocates what the codestream claims, and most of
them fill what a stream lacks with grey. What the pixels are is said by the codestream, not by the file's label.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydicom import uid

from glam.reading import jpeg, jpeg2000

Bytes = bytes | memoryview

RUN_LENGTHS_HEADER = struct.Struct("<16I")
"""Number of segments, then where each begins. PS3.5 G.5."""
MAX_FINAL_ZEROS = 2
"""So many zero bytes at the end of compressed data are its own; where a file breaks off, more are in place of data."""
LONGER = b"\x40" + jpeg.END
"""One byte more for a JPEG-LS stream, which may stand behind any other, and the end."""

PROCESSES: Mapping[str, str] = {
    uid.RLELossless: "run lengths",
    uid.JPEGBaseline8Bit: "dct",
    uid.JPEGExtended12Bit: "dct",
    uid.JPEGLossless: "lossless",
    uid.JPEGLosslessSV1: "lossless",
    uid.JPEGLSLossless: "jpeg_ls",
    uid.JPEGLSNearLossless: "jpeg_ls",
    uid.JPEG2000Lossless: "jpeg_2000",
    uid.JPEG2000: "jpeg_2000",
    uid.HTJ2KLossless: "high_throughput",
    uid.HTJ2KLosslessRPCL: "high_throughput",
    uid.HTJ2K: "high_throughput",
}
"""Transfer syntax -> what a codestream under it is."""


class Attempt(NamedTuple):
    """A stream to decode, and how its decoder shows whether the image was all in it.

    A decoder that fills what is missing must make the same image with two continuations: they go into the image as
    long as that needs values. One that takes neither a byte too few nor too many must refuse the stream with one more.
    """

    stream: bytes
    same: bytes | None = None
    """Has to give the same image."""
    refused: bytes | None = None
    """Has to be refused."""


class Codestream(NamedTuple):
    """A compressed image by its own word."""

    syntax: str
    """The transfer syntax that fits it; "" if none that is read here does."""
    rows: int
    cols: int
    samples: int
    bits: int
    """Of a sample."""
    is_lossy: bool
    """It cannot hold all that went into it."""
    attempts: tuple[Attempt, ...]
    """What to decode, in this order, until one gives an image."""
    is_followed: bool
    """Another image begins behind it."""


def codestream(data: bytes) -> Codestream | None:
    """Return what a frame says of itself, None for RLE and for no codestream; ValueError where it is damaged."""
    try:
        stream = jpeg2000.codestream(data)
        if stream.startswith(jpeg.START):
            return _jpeg(stream)
        return _jpeg2000(stream, data) if stream.startswith(jpeg2000.START) else None
    except struct.error:
        raise ValueError("the codestream's header is cut short") from None


def run_lengths(frame: bytes) -> tuple[Attempt, ...]:
    """Return a frame of run lengths as it is, then without zero bytes at its end that are none of its runs."""
    bare = frame.rstrip(b"\0")
    zeros = range(min(len(frame) - len(bare), MAX_FINAL_ZEROS + 1))
    return (Attempt(frame), *(Attempt(bare + bytes(kept)) for kept in zeros))


def is_run_lengths(frame: Bytes) -> bool:
    """Return whether a frame begins as RLE of 8 or 16 bits does."""
    return len(frame) > RUN_LENGTHS_HEADER.size and RUN_LENGTHS_HEADER.unpack_from(frame)[:2] in ((1, 64), (2, 64))


def check_run_lengths(stream: Bytes, *, segments: int) -> None:
    """Refuse an RLE frame, PS3.5 G.5, whose segments are not in order within it: decoders read where they say."""
    if len(stream) < RUN_LENGTHS_HEADER.size:
        raise ValueError("the header is cut short")
    count, *offsets = RUN_LENGTHS_HEADER.unpack_from(stream)
    used = offsets[:segments]
    if count != segments or used[0] != RUN_LENGTHS_HEADER.size or sorted(set(used)) != used or used[-1] >= len(stream):
        raise ValueError("the segments are not where their offsets say")


def _jpeg(stream: bytes) -> Codestream:
    """Read a JPEG or JPEG-LS stream."""
    header = jpeg.read_header(stream)
    syntaxes = {
        "dct": uid.JPEGBaseline8Bit if header.bits == 8 else uid.JPEGExtended12Bit,
        "lossless": uid.JPEGLosslessSV1,
        "jpeg_ls": uid.JPEGLSNearLossless if header.is_near_lossless else uid.JPEGLSLossless,
    }
    syntax = syntaxes.get(header.process or "", "")
    if header.samples != 1 or not syntax:
        attempts = []  # it is refused by its header
    elif header.process == "jpeg_ls":
        attempts = _attempts_of_jpeg_ls(stream, header)
    else:
        attempts = _attempts_of_jpeg(stream, header)
    is_lossy = header.process == "dct" or header.is_near_lossless
    is_followed = jpeg.is_followed(stream, header)
    return Codestream(
        syntax, header.rows, header.cols, header.samples, header.bits, is_lossy, tuple(attempts), is_followed
    )


def _attempts_of_jpeg(stream: bytes, header: jpeg.JpegHeader) -> Iterator[Attempt]:
    """Yield a stream up to the end of its scan, as it is, then without zeros that may be padding."""
    start = header.data_start
    end = jpeg.end_of_scan(stream, start, restart_interval=header.restart_interval)
    for values in jpeg.ends_of_values(stream[start:end], is_closed=end < len(stream)):
        zeros, ones = jpeg.continued(values, header.restart_interval, header.num_restarts)
        yield Attempt(stream[:start] + zeros + jpeg.END, same=stream[:start] + ones + jpeg.END)


def _attempts_of_jpeg_ls(stream: bytes, header: jpeg.JpegHeader) -> Iterator[Attempt]:
    """Yield a stream as it is, then without zeros before its end, which are not allowed; with the end that it lacks."""
    end = stream.find(jpeg.END, header.data_start)  # compressed values have no such bytes
    bare = stream[: end if end >= 0 else None].rstrip(b"\0")
    if end >= 0:
        yield Attempt(stream[:end] + jpeg.END)
        yield Attempt(bare + jpeg.END)
        return
    if bare.endswith(b"\xff"):  # half of the marker
        yield Attempt(bare + jpeg.END[1:], refused=bare + LONGER)
    yield Attempt(bare + jpeg.END, refused=bare + LONGER)


def _jpeg2000(stream: bytes, frame: bytes) -> Codestream:
    """Read a JPEG 2000 stream, and look behind its end in the frame, where it may lie in boxes."""
    header = jpeg2000.read_header(stream)
    end = jpeg2000.end_of_tiles(stream, header)
    behind = frame.find(jpeg2000.START) + end
    lossless, lossy = uid.JPEG2000Lossless, uid.JPEG2000
    if header.is_high_throughput:
        lossless, lossy = uid.HTJ2KLossless, uid.HTJ2K
    return Codestream(
        lossless if header.is_reversible else lossy,
        header.rows,
        header.cols,
        header.samples,
        header.bits,
        not header.is_reversible,
        (Attempt(stream[:end] + jpeg2000.END),),
        is_followed=frame.find(jpeg2000.START, behind) >= 0,
    )
