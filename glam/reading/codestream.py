"""Encapsulated pixel data: the one frame out of its fragments, what its codestream says of itself, and where it ends.

All of it is read before a decoder sees the codestream: a decoder allocates what the codestream claims, and most of
them fill what a stream lacks with grey. What the pixels are is said by the codestream, not by the file's label.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydicom import uid

from glam.reading import jpeg, jpeg2000

Bytes = bytes | memoryview

ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
TAG_BYTES = 8
"""Of an item's or the delimiter's tag and length."""
MAX_FRAGMENTS = 100_000
"""Of the largest file in pieces of 1,600 bytes; writers use far longer ones."""
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


class Fragments(NamedTuple):
    """The items of encapsulated pixel data. PS3.5 A.4."""

    offsets: tuple[int, ...]
    """The basic offset table: where frames begin, from the first fragment on; empty: it says nothing, or is missing."""
    parts: tuple[memoryview, ...]
    starts: tuple[int, ...]
    """Where their items begin, from the first on."""
    is_closed: bool
    """The delimiter stands behind them."""
    has_lost_bytes: bool
    """A fragment is shorter than it says, by what stands behind it."""


class JoinedFragments(NamedTuple):
    """The bytes of one image out of its fragments."""

    data: bytes
    is_closed: bool
    """The delimiter stands behind the fragments: the file did not break off within them."""
    has_lost_bytes: bool = False
    """A fragment is shorter than it says, by what stands behind it."""

    @property
    def compressed(self) -> bytes:
        """The bytes without the zeros that a copy which broke off was filled up with."""
        bare = self.data.rstrip(b"\0")
        return self.data if self.is_closed else self.data[: len(bare) + MAX_FINAL_ZEROS]


def fragments_of(data: Bytes) -> Fragments:
    """Return the fragments of encapsulated pixel data; the delimiter may be missing, and the last one cut."""
    view, place, has_lost_bytes = memoryview(data), 0, False
    items, starts = list[memoryview](), list[int]()
    while view[place : place + 4] == ITEM and place + 8 <= len(view):
        if len(items) > MAX_FRAGMENTS:
            raise ValueError("more fragments than any image has")
        starts.append(place)
        length = int.from_bytes(view[place + 4 : place + 8], "little")
        start, end = place + 8, min(place + 8 + length, len(view))
        place = _next_tag(view, start, end)
        has_lost_bytes = has_lost_bytes or place < end
        items.append(view[start : min(place, end)])
    has_table = _begins_with_table(items)
    offsets = _offsets(items[0]) if has_table else ()
    parts = tuple(items[has_table:])
    is_closed = view[place : place + 4] == DELIMITER
    return Fragments(
        offsets, parts, tuple(start - starts[has_table] for start in starts[has_table:]), is_closed, has_lost_bytes
    )


def _begins_with_table(items: Sequence[memoryview]) -> bool:
    """Return whether the first of several items is the offset table, which may be missing, or wrong.

    The first frame's offset is 0. A table that says otherwise is known by the image that begins behind it.
    """
    if not items or len(items[0]) <= 4 or items[0][:4] == bytes(4):
        return bool(items)
    return len(items) > 1 and _begins_an_image(items[1]) and not _begins_an_image(items[0])


def _begins_an_image(fragment: memoryview) -> bool:
    return bytes(fragment[:8]).startswith((jpeg.START, jpeg2000.START, jpeg2000.BOXES)) or is_run_lengths(fragment)


def _offsets(table: memoryview) -> tuple[int, ...]:
    return struct.unpack(f"<{len(table) // 4}I", table) if len(table) % 4 == 0 and table[:4] == bytes(4) else ()


def joined_fragments(data: Bytes) -> JoinedFragments:
    """Return the frame in encapsulated pixel data, without the offset table; ValueError: it is empty.

    Whether the image is whole is for its codestream to say.
    """
    fragments = fragments_of(data)
    frame = b"".join(fragments.parts)
    if not frame:
        raise ValueError("the encapsulated pixel data is empty")
    return JoinedFragments(frame, fragments.is_closed, fragments.has_lost_bytes)


def _next_tag(view: memoryview, start: int, end: int) -> int:
    """Return where the next item or the delimiter begins behind a fragment from `start` to `end`; `end` if none does.

    It begins a byte later behind an odd length without the byte that fills it up, and before the end of the fragment
    where bytes of that are lost: its length then reaches into what follows it.
    """
    for place in (end, end + 1, *range(end - 1, max(start, end - TAG_BYTES) - 1, -1)):
        tag = view[place : place + TAG_BYTES].tobytes()
        is_item = tag[: len(ITEM)] == ITEM
        if is_item or (tag[: len(DELIMITER)] == DELIMITER and (place >= end or not any(tag[len(DELIMITER) :]))):
            return place
    return end


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
