"""What a file is read from: its bytes, its path or an open stream, and all of it in memory."""

from contextlib import AbstractContextManager, nullcontext
from io import SEEK_END, BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from glam.findings import InputError, input_error

Source = bytes | str | Path | BinaryIO
"""The content of a file, its path, or an open stream."""

MAX_BYTES = 160_000_000
"""Largest file that is read, inflated if it is deflated: the largest image uncompressed, and a long header."""
MAX_READS = 200_000
"""Two or three an element: pydicom takes seconds for so many, and minutes for those of a hostile file."""
CHUNK_BYTES = 1 << 18
"""So much of a stream is read at a time."""


class OwnBytes(bytearray):
    """The bytes of a file that nobody but its reader has: its pixels are made into display values where they lie."""


Content = bytes | bytearray
"""All bytes of a file."""


class ElementStream(RawIOBase):
    """The bytes of a data set as pydicom reads them: it says how many the last read returned, and is read in place.

    A BytesIO would copy a bytearray. Only so many reads are allowed as a header has need of.
    """

    def __init__(self, data: Content) -> None:
        self.data = data
        self.num_read = 0
        self._view = memoryview(data)
        self._place = 0
        self._num_reads = 0

    @property
    def file(self) -> BinaryIO:
        """Return this stream, as pydicom's functions are annotated to take it."""
        return cast("BinaryIO", self)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to so many bytes; OSError where there have been more elements than a header has."""
        self._num_reads += 1
        if self._num_reads > MAX_READS:
            raise OSError("more elements than a header has")
        end = None if size is None or size < 0 else self._place + size
        found = self._view[self._place : end].tobytes()
        self.num_read = len(found)
        self._place += len(found)
        return found

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, from the beginning, from here or from the end; ValueError where it lies before the first."""
        place = (0, self._place, len(self.data))[whence] + offset
        if place < 0:
            raise ValueError("a place before the first byte")
        self._place = place
        return place

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True


def content(source: Source | OwnBytes) -> bytes | OwnBytes:
    """Return all bytes of a source, from where a stream stands; `too_large` beyond the limit."""
    if isinstance(source, bytes | OwnBytes):
        if len(source) > MAX_BYTES:
            raise too_large("file", MAX_BYTES)
        return source
    with opened(source) as stream:
        num_bytes = _num_bytes_left(stream)
        if num_bytes > MAX_BYTES:
            raise too_large("file", MAX_BYTES)
        data = OwnBytes(num_bytes)
        num_read = _read_into(stream, data)
        del data[num_read:]
        while len(data) <= MAX_BYTES and (chunk := stream.read(CHUNK_BYTES)):  # there was more than it said
            data += chunk
    if len(data) > MAX_BYTES:
        raise too_large("file", MAX_BYTES)
    return data


def beginning_of(source: Source | OwnBytes, num_bytes: int) -> bytes:
    """Return the first bytes of a source, from where a stream stands; it is left there."""
    if isinstance(source, bytes | OwnBytes):
        return bytes(source[:num_bytes])
    with opened(source) as stream:
        start = stream.tell()
        beginning = stream.read(num_bytes)
        stream.seek(start)
    return beginning


def opened(source: Source) -> AbstractContextManager[BinaryIO]:
    """Return a stream over a source; one that was given is left open."""
    if isinstance(source, str | Path):
        return Path(source).open("rb")
    return nullcontext(BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)


def too_large(part: str, most_bytes: int) -> InputError:
    """Return the error of a file, or of what it inflates to, that has more bytes than a limit."""
    return input_error("too_large", part=part, limit=f"{most_bytes // 1_000_000} MB")


def _num_bytes_left(stream: BinaryIO) -> int:
    """Return how many bytes a stream says there are from where it stands; 0 where it cannot say."""
    if not stream.seekable():
        return 0
    start = stream.tell()
    num_bytes = stream.seek(0, SEEK_END) - start
    stream.seek(start)
    return max(num_bytes, 0)


def _read_into(stream: BinaryIO, data: OwnBytes) -> int:
    """Fill bytes from a stream, which may give them in parts; return how many came."""
    num_read = 0
    while num_read < len(data) and (chunk := stream.read(min(CHUNK_BYTES, len(data) - num_read))):
        data[num_read : num_read + len(chunk)] = chunk
        num_read += len(chunk)
    return num_read
