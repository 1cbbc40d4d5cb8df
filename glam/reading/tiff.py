"""TIFF: whether its strips or tiles are whole, which libtiff does not tell."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from glam.findings import input_error
from glam.reading import jpeg
from glam.reading.deflate import inflated_size
from glam.reading.jpeg_scans import whole_jpeg
from glam.reading.pillow import by_pillow, too_large
from glam.reading.pixels import MAX_PIXELS

Tags = Mapping[int, Any]
"""Of a page: numbers, bytes or text."""
COLS, ROWS = 256, 257
COMPRESSION, BITS, SAMPLES, ROWS_PER_STRIP, PLANAR, SAMPLE_FORMAT = 259, 258, 277, 278, 284, 339
STRIPS, TILES = (273, 279), (324, 325)
"""Places of strips or tiles, and their numbers of bytes."""
TILE_COLS, TILE_ROWS, JPEG_TABLES = 322, 323, 347
ONE_AFTER_ANOTHER = 2
"""PlanarConfiguration of channels that are stored apart."""
SIGNED = 2
"""SampleFormat of whole numbers with a sign."""
OLD_JPEG, JPEG, DEFLATES = 6, 7, (8, 32946)
"""The old kind may have its place in another tag."""


class StripLayout(NamedTuple):
    """The strips or tiles of a page."""

    rows: int
    """As the file says; the last strip may have fewer, and the only one fewer or more than the image."""
    cols: int
    num_strips: int
    """Of those that make up the image; a file may name more."""
    num_bytes: int
    """Of a strip's values."""


def check_strips(tags: Tags, data: bytes) -> None:
    """Refuse a page as `truncated` where strips or tiles are missing, or their values not whole.

    Deflated ones have to reach their end and its checksum; those of JPEG are decoded with two continuations. What is
    cut or changed within values of other compressions shows only where libtiff sees it.
    """
    compression, layout = number(tags, COMPRESSION, 1), _layout(tags)
    if layout.rows * layout.cols > MAX_PIXELS:
        raise too_large()
    places, lengths = (_numbers(tags, tag) for tag in (TILES if TILES[0] in tags else STRIPS))
    is_checked = compression == JPEG or compression in DEFLATES
    fewest = min(len(places), len(lengths)) if is_checked else len(places)
    if fewest < layout.num_strips and compression != OLD_JPEG:  # Pillow leaves black what they should hold
        raise input_error("truncated")
    tables = _tables(tags) if compression == JPEG else b""
    for place, length in zip(places[: layout.num_strips], lengths, strict=False):
        strip = data[place : place + length]
        if compression in DEFLATES:
            _check_deflated(strip, layout.num_bytes)
        elif compression == JPEG:
            stream = tables + strip.removeprefix(jpeg.START) if tables else strip
            whole_jpeg(stream, max_pixels=layout.rows * layout.cols)


def number(tags: Tags, tag: int, absent: int) -> int:
    """Return a number of a page's tags, the largest of several; what is no number counts as absent."""
    return max(_numbers(tags, tag), default=absent)


def _numbers(tags: Tags, tag: int) -> list[int]:
    content = by_pillow(lambda: tags.get(tag, ()))
    values = content if isinstance(content, tuple) else (content,)
    return [value for value in values if isinstance(value, int) and value >= 0]


def _layout(tags: Tags) -> StripLayout:
    """Return the layout of a page, as it is stored: Pillow gives the size of one that is turned upright."""
    num_cols, num_rows = max(1, number(tags, COLS, 1)), max(1, number(tags, ROWS, 1))
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
    try:
        values = inflated_size([strip], most_bytes)
    except zlib.error:
        raise input_error("truncated") from None
    if not values.is_whole or values.num_bytes > most_bytes:
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
