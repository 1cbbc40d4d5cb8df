"""TIFF: whether its strips or tiles are whole, which libtiff does not tell."""

import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from glam.findings import input_error
from glam.reading import jpeg
from glam.reading.jpeg_scans import whole_jpeg
from glam.reading.pillow import by_pillow, too_large
from glam.reading.pixels import MAX_PIXELS

Tags = Mapping[int, Any]
"""Of a page: numbers, bytes or text."""
COMPRESSION, BITS, SAMPLES, ROWS_PER_STRIP, PLANAR, SAMPLE_FORMAT = 259, 258, 277, 278, 284, 339
STRIPS, TILES = (273, 279), (324, 325)
"""Places of strips or tiles, and their numbers of bytes."""
TILE_COLS, TILE_ROWS, JPEG_TABLES = 322, 323, 347
PIECE_BYTES = 16_384
"""So many are inflated at a time, to a thousand times as many."""
ONE_AFTER_ANOTHER = 2
"""PlanarConfiguration of channels that are stored apart."""
SIGNED = 2
"""SampleFormat of whole numbers with a sign."""
JPEG, DEFLATES = 7, (8, 32946)


class StripLayout(NamedTuple):
    """The strips or tiles of a page."""

    rows: int
    """As the file says; the last strip may have fewer, and the only one fewer or more than the image."""
    cols: int
    num_strips: int
    """Of those that make up the image; a file may name more."""
    num_bytes: int
    """Of a strip's values."""


def check_strips(tags: Tags, data: bytes, size: tuple[int, int]) -> None:
    """Refuse a page of columns and rows as `truncated` where compressed values of a strip or tile are not whole.

    Deflated ones have to reach their end and its checksum; those of JPEG are decoded with two continuations. What is
    cut or changed within values of other compressions shows only where libtiff sees it.
    """
    compression, layout = number(tags, COMPRESSION, 1), _layout(tags, size)
    if layout.rows * layout.cols > MAX_PIXELS:
        raise too_large()
    strips = islice(_strips(tags, data), layout.num_strips)
    if compression in DEFLATES:
        for strip in strips:
            _check_deflated(strip, layout.num_bytes)
    elif compression == JPEG:
        tables = _tables(tags)
        for strip in strips:
            stream = tables + strip.removeprefix(jpeg.START) if tables else strip
            whole_jpeg(stream, max_pixels=layout.rows * layout.cols)


def number(tags: Tags, tag: int, absent: int) -> int:
    """Return a number of a page's tags, the largest of several; what is no number counts as absent."""
    return max(_numbers(tags, tag), default=absent)


def _numbers(tags: Tags, tag: int) -> list[int]:
    content = by_pillow(lambda: tags.get(tag, ()))
    values = content if isinstance(content, tuple) else (content,)
    return [value for value in values if isinstance(value, int) and value >= 0]


def _strips(tags: Tags, data: bytes) -> Iterator[bytes]:
    """Yield the compressed values of each strip, or of each tile."""
    places, lengths = (_numbers(tags, tag) for tag in (TILES if TILES[0] in tags else STRIPS))
    for place, length in zip(places, lengths, strict=False):
        yield data[place : place + length]


def _layout(tags: Tags, size: tuple[int, int]) -> StripLayout:
    """Return the layout of a page of columns and rows."""
    num_cols, num_rows = size
    if TILES[0] in tags:
        cols, rows = max(1, number(tags, TILE_COLS, num_cols)), max(1, number(tags, TILE_ROWS, num_rows))
    else:
        cols, rows = num_cols, max(1, number(tags, ROWS_PER_STRIP, num_rows))
        if rows > max(num_rows, MAX_PIXELS // num_cols):  # all rows, written as the largest number
            rows = num_rows
    num_strips, samples = -(-num_cols // cols) * -(-num_rows // rows), number(tags, SAMPLES, 1)
    if number(tags, PLANAR, 1) == ONE_AFTER_ANOTHER:
        num_strips, samples = num_strips * samples, 1
    return StripLayout(rows, cols, num_strips, rows * -(-cols * samples * number(tags, BITS, 8) // 8))


def _check_deflated(strip: bytes, most_bytes: int) -> None:
    """Refuse deflated values without their end and its checksum, or of more bytes than there is room for."""
    inflate, num_bytes = zlib.decompressobj(), 0
    for place in range(0, len(strip), PIECE_BYTES):
        try:
            num_bytes += len(inflate.decompress(strip[place : place + PIECE_BYTES]))
        except zlib.error:
            raise input_error("truncated") from None
        if inflate.eof or num_bytes > most_bytes:
            break
    if not inflate.eof or num_bytes > most_bytes:
        raise input_error("truncated")


def _tables(tags: Tags) -> bytes:
    """Return the tables that all JPEG strips share, a stream without its end; nothing where each strip has its own."""
    content = by_pillow(lambda: tags.get(JPEG_TABLES))
    if content is None:
        return b""
    tables = content.rstrip(b"\0") if isinstance(content, bytes) else b""
    if not tables.endswith(jpeg.END):
        raise input_error("truncated")
    return tables.removesuffix(jpeg.END)
