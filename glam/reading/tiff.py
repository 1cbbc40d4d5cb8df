"""TIFF: how its values are compressed, and whether its strips or tiles are whole, which libtiff does not tell."""

import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from glam.findings import input_error
from glam.reading import jpeg
from glam.reading.jpeg_scans import whole_jpeg
from glam.reading.pillow import by_pillow
from glam.reading.pixels import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

Tags = Mapping[int, Any]
"""Of a page: numbers, bytes or text."""
MAX_PAGES = 16
"""More pages than these are no picture with its smaller copies."""
HEADER_BYTES, BIG_HEADER_BYTES = 8, 16
BIG = (b"II+\0", b"MM\0+")
"""First bytes of a TIFF of more than 4 GB, or as if it were."""

COMPRESSION, BITS, SAMPLES, ROWS_PER_STRIP, PLANAR, SAMPLE_FORMAT = 259, 258, 277, 278, 284, 339
STRIPS, TILES = (273, 279), (324, 325)
"""Places of strips or tiles, and their numbers of bytes."""
TILE_COLS, TILE_ROWS, JPEG_TABLES = 322, 323, 347
MAX_STRIP_BYTES = 8 * MAX_PIXELS
"""Of the largest image in four channels of 16 bits."""
ONE_AFTER_ANOTHER = 2
"""PlanarConfiguration of channels that are stored apart."""
SIGNED = 2
"""SampleFormat of whole numbers with a sign."""
JPEG, DEFLATES = 7, (8, 32946)
NOT_READ: Mapping[int, str] = {
    22610: "JPEG XR",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34933: "PNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Compressions that Pillow does not read; any other that it does not know has no name here."""


def check_compression(data: bytes) -> None:
    """Refuse a TIFF whose compression nothing here decodes: Pillow takes it for damage."""
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    for directory in by_pillow(lambda: list(islice(_directories(data), MAX_PAGES))):
        compression = number(directory, COMPRESSION, 1)
        if compression and compression not in COMPRESSION_INFO:  # 0 is damage
            name = NOT_READ.get(compression, "an unknown")
            raise input_error("unsupported_picture", kind=f"{name} compression within a TIFF")


def _directories(data: bytes) -> "Iterator[ImageFileDirectory_v2]":
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    stream = BytesIO(data)
    directory = ImageFileDirectory_v2(data[: BIG_HEADER_BYTES if data.startswith(BIG) else HEADER_BYTES])
    while directory.next:
        stream.seek(directory.next)
        directory.load(stream)
        yield directory


def check_strips(tags: Tags, data: bytes, size: tuple[int, int]) -> None:
    """Refuse a page of columns and rows as `truncated` where compressed values of a strip or tile are not whole.

    Deflated ones have to reach their end and its checksum; those of JPEG are decoded with two continuations. What is
    cut or changed within values of other compressions shows only where libtiff sees it.
    """
    compression = number(tags, COMPRESSION, 1)
    if compression in DEFLATES:
        most_bytes = _bytes_of_strip(tags, size)
        for strip in _strips(tags, data):
            _check_deflated(strip, most_bytes)
    elif compression == JPEG:
        tables = _tables(tags)
        for strip in _strips(tags, data):
            whole_jpeg(tables + strip.removeprefix(jpeg.START) if tables else strip)


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


def _bytes_of_strip(tags: Tags, size: tuple[int, int]) -> int:
    """Return how many bytes a strip or tile stands for, the last strip perhaps for fewer."""
    cols, rows = size
    if TILE_COLS in tags:
        cols, rows = number(tags, TILE_COLS, cols), number(tags, TILE_ROWS, rows)
    else:
        rows = min(rows, number(tags, ROWS_PER_STRIP, rows))
    samples = 1 if number(tags, PLANAR, 1) == ONE_AFTER_ANOTHER else number(tags, SAMPLES, 1)
    return min(rows * -(-cols * samples * number(tags, BITS, 8) // 8), MAX_STRIP_BYTES)


def _check_deflated(strip: bytes, most_bytes: int) -> None:
    """Refuse deflated values without their end and its checksum, or of more bytes than there is room for."""
    inflate = zlib.decompressobj()
    try:
        values = inflate.decompress(strip, most_bytes + 1)
    except zlib.error:
        raise input_error("truncated") from None
    if not inflate.eof or len(values) > most_bytes:
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
