"""TIFF: its pages and the size of their tags, before Pillow reads them, which takes what they say. TIFF 6.0, section 2.

A few kilobytes can say that thousands of tags have the same megabytes as their value, or hold thousands of pages.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from glam.findings import input_error

MAX_PAGES = 16
"""More pages than these are no picture with its smaller copies."""
MAX_TAGS = 4096
"""Of a page; pictures have 10 to 100."""
MAX_NUMBERS = 1_000_000
"""Of a tag: the largest image has 250,000 tiles of 16 x 16 pixels. Text and other bytes may be longer."""
COMPRESSION = 259
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
SHORT = 3
BYTES_OF = {1: 1, 2: 1, SHORT: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type of a tag -> bytes of one value."""


class Form(NamedTuple):
    """How the numbers of a file are written."""

    num_tags: struct.Struct
    """Number of the tags of a page."""
    tag: struct.Struct
    """Number, type, count of values; then the value, or where it is."""
    place: struct.Struct
    """Of a page or a value; a value that is no longer stands in its stead."""


class Tag(NamedTuple):
    """What a page says of a tag."""

    number: int
    kind: int
    num_values: int
    value: bytes
    """Or its place in the file."""


FORMS: Mapping[bytes, Form] = {
    start: Form(*(struct.Struct(order + letters) for letters in kinds))
    for start, order, kinds in (
        (b"II*\0", "<", ("H", "HHI4s", "I")),
        (b"MM\0*", ">", ("H", "HHI4s", "I")),
        (b"II+\0", "<", ("Q", "HHQ8s", "Q")),
    )
}
"""First bytes -> form."""
BIG_ENDIAN_BIG_TIFF = b"MM\0+"
"""Which Pillow takes for an ordinary one."""


def check_pages(data: bytes) -> None:
    """Refuse a TIFF of many pages, one whose tags are longer than the file, and one of a compression that is not read.

    Pillow takes the last for damage.
    """
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    if data.startswith(BIG_ENDIAN_BIG_TIFF):
        raise input_error("unsupported_picture", kind="the byte order of a big-endian BigTIFF")
    form, budget = FORMS[data[:4]], len(data)
    for number, page in enumerate(_pages(data, form)):
        if number == MAX_PAGES:
            raise input_error("multi_frame")
        budget -= sum(length for tag in page if (length := _length(tag)) > form.place.size)
        if budget < 0 or any(tag.num_values > MAX_NUMBERS and BYTES_OF.get(tag.kind, 1) > 1 for tag in page):
            raise input_error("truncated")
        compression = next((_number(tag, form) for tag in page if tag.number == COMPRESSION), 1)
        if compression and compression not in COMPRESSION_INFO:  # 0 is damage
            name = NOT_READ.get(compression, "an unknown")
            raise input_error("unsupported_picture", kind=f"{name} compression within a TIFF")


def _pages(data: bytes, form: Form) -> Iterator[list[Tag]]:
    """Yield the tags of each page; `truncated` where one is cut."""
    seen = {0}
    place = _place(data, form.place.size, form)  # behind the first 4 or 8 bytes
    while place not in seen:
        seen.add(place)
        start = place + form.num_tags.size
        if start > len(data):
            raise input_error("truncated")
        (count,) = form.num_tags.unpack_from(data, place)
        end = start + count * form.tag.size
        if count > MAX_TAGS or end > len(data):
            raise input_error("truncated")
        yield [Tag(*values) for values in form.tag.iter_unpack(data[start:end])]
        place = _place(data, end, form)


def _place(data: bytes, start: int, form: Form) -> int:
    """Return a place in the file that is written at `start`; 0, which stands for none, where the file ends there."""
    return form.place.unpack_from(data, start)[0] if start + form.place.size <= len(data) else 0


def _length(tag: Tag) -> int:
    return tag.num_values * BYTES_OF.get(tag.kind, 0)


def _number(tag: Tag, form: Form) -> int:
    """Return the number that stands in a tag."""
    order = "little" if form.place.format.startswith("<") else "big"
    return int.from_bytes(tag.value[: 2 if tag.kind == SHORT else 4], order)
