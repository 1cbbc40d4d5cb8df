"""Small files that ask for much: each is refused, or read, in the time and memory of an image."""

import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.image_file import picture_format
from glam.reading.read import read_view
from tests.samples.answers import pixels_of
from tests.samples.mammograms import breast_values, file_of
from tests.samples.own_memory import forget_peak, peak_bytes
from tests.samples.pictures import NAMED, picture_view, saved

GREY = (breast_values() >> 4).astype(np.uint8)
JPEG = saved(GREY, "JPEG", restart_marker_blocks=3)
PROGRESSIVE = saved(GREY, "JPEG", progressive=True)
FILL = b"\xff" * 300_000
END = b"\xff\xd9"
SECONDS = 10
"""Of processor time, a hundred times what each takes; before they were bounded they took minutes."""
MEGABYTES = 500


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


def in_dicom(stream: bytes) -> bytes:
    return file_of(GREY, uid.JPEGBaseline8Bit, PixelData=item(b"") + item(stream + b"\0" * (len(stream) % 2)))


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times more."""
    start, end = PROGRESSIVE.rindex(b"\xff\xda"), PROGRESSIVE.rindex(END)
    return PROGRESSIVE[:end] + PROGRESSIVE[start:end] * count + PROGRESSIVE[end:]


def tiff(values: bytes, **changes: Any) -> bytes:
    """A TIFF of one page of 64 rows and 48 columns, whose tags may be changed; a list is stored behind the tags.

    0 among places stands for the place of the values.
    """
    numbers = {"cols": 256, "rows": 257, "bits": 258, "compression": 259, "photometric": 262, "places": 273}
    numbers |= {"samples": 277, "strip_rows": 278, "lengths": 279, "tile_cols": 322, "tile_rows": 323}
    numbers |= {"tile_places": 324, "tile_lengths": 325}
    tags: dict[str, Any] = {"cols": 48, "rows": 64, "bits": 8, "compression": 1, "photometric": 1, "samples": 1}
    tags |= {"places": [0], "strip_rows": 64, "lengths": [len(values)]} if "tile_cols" not in changes else {}
    tags |= changes
    behind = 8 + 2 + 12 * len(tags) + 4
    start = behind + sum(4 * len(content) for content in tags.values() if isinstance(content, list))
    entries, lists = b"", b""
    for name, content in sorted(tags.items(), key=lambda each: numbers[each[0]]):
        places = (
            [(start if name.endswith("places") else 0) + each for each in content] if isinstance(content, list) else []
        )
        count, value = (len(places), behind + len(lists)) if len(places) > 1 else (1, places[0] if places else content)
        entries += struct.pack("<HHII", numbers[name], 4, count, value)
        lists += struct.pack(f"<{len(places)}I", *places)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + lists + values


def many_pages() -> bytes:
    page = struct.pack("<HHHII", 1, 256, 4, 1, 48)
    size = len(page) + 4
    return b"II*\0\x08\0\0\0" + b"".join(page + struct.pack("<I", 8 + size * number) for number in range(1, 30_000))


def tags_of_the_same_bytes() -> bytes:
    count, length = 1000, 2_000_000
    entries = b"".join(struct.pack("<HHII", 1000 + number, 7, length, 8) for number in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(length)


def many_numbers() -> bytes:
    entry = struct.pack("<HHII", 273, 4, 4_000_000, 8)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4 * 4_000_000)


def many_chunks() -> bytes:
    whole = saved(GREY)
    chunk = bytes(4) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    return whole[:33] + chunk * 400_000 + whole[33:]


def strips_of_one_large_jpeg() -> bytes:
    stream = saved(np.zeros((4000, 4000), np.uint8), "JPEG")
    return tiff(stream, compression=7, rows=300, strip_rows=1, places=[0] * 300, lengths=[len(stream)] * 300)


def strips_of_one_large_stream() -> bytes:
    deflated = zlib.compress(bytes(20_000_000))
    layout = {"rows": 8000, "cols": 8000, "strip_rows": 2_000_000}
    return tiff(deflated, compression=8, places=[0] * 300, lengths=[len(deflated)] * 300, **layout)


def enormous_tile() -> bytes:
    deflated = zlib.compress(bytes(100_000_000))
    tile = {"tile_cols": 65_520, "tile_rows": 65_520, "tile_places": [0], "tile_lengths": [len(deflated)]}
    return tiff(deflated, compression=8, **tile)


def longer_than_its_strip() -> bytes:
    deflated = zlib.compress(bytes(100_000_000))
    return tiff(deflated, compression=8)


def many_elements() -> bytes:
    whole = file_of(syntax=uid.ImplicitVRLittleEndian)
    place = whole.index(b"\xe0\x7f\x10\x00")
    elements = b"".join(
        struct.pack("<HHI", 0x29 + 2 * (number >> 16), number & 0xFFFF, 0) for number in range(4096, 400_000)
    )
    return whole[:place] + elements + whole[place:]


def many_items() -> bytes:
    whole = file_of(syntax=uid.ImplicitVRLittleEndian)
    place = whole.index(b"\xe0\x7f\x10\x00")
    items = item(b"") * 600_000
    return whole[:place] + struct.pack("<HHI", 0x54, 0x220, len(items)) + items + whole[place:]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "fill bytes before no marker": (lambda: b"\xff\xd8" + FILL + bytes(8), "truncated"),
    "the same in DICOM": (lambda: in_dicom(b"\xff\xd8" + FILL + bytes(8)), "truncated"),
    "fill bytes among values": (lambda: JPEG[:-2] + FILL + bytes(2) + END, "view"),
    "the same in DICOM ": (lambda: in_dicom(JPEG[:-2] + FILL + bytes(2) + END), "view"),
    "many scans": (lambda: with_scans(20_000), "unsupported_picture"),
    "many scans, and bytes behind them": (lambda: with_scans(400) + bytes(20_000_000), "unsupported_picture"),
    "many segments": (lambda: JPEG[:2] + b"\xff\xfe\0\2" * 1_000_000 + JPEG[2:], "truncated"),
    "many segments in DICOM": (lambda: in_dicom(JPEG[:2] + b"\xff\xfe\0\2" * 1_000_000 + JPEG[2:]), "truncated"),
    "many chunks": (many_chunks, "truncated"),
    "many pages": (many_pages, "multi_frame"),
    "tags of the same bytes": (tags_of_the_same_bytes, "truncated"),
    "many numbers": (many_numbers, "truncated"),
    "strips of one large JPEG": (strips_of_one_large_jpeg, "truncated"),
    "strips of one large stream": (strips_of_one_large_stream, "truncated"),
    "an enormous tile": (enormous_tile, "too_large"),
    "more than the strip has room for": (longer_than_its_strip, "truncated"),
    "many fragments": (lambda: file_of(GREY, uid.JPEGBaseline8Bit, PixelData=item(b"") * 2_000_000), "truncated"),
    "many elements": (many_elements, "truncated"),
    "many items": (many_items, "bad_value"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_small_file_asks_for_is_bounded(kind: str) -> None:
    make, expected = HOSTILE[kind]
    data = make()
    start, before = time.process_time(), forget_peak()
    try:
        read_view(data, FrameConfig(), **(NAMED if picture_format(data) else {}))
        code = "view"
    except InputError as error:
        code = error.code
    assert code == expected
    assert time.process_time() - start < SECONDS
    assert peak_bytes() - before < MEGABYTES << 20


def test_what_honest_encoders_write_stays_within_the_bounds() -> None:
    np.testing.assert_array_equal(
        picture_view(JPEG[:2] + b"\xff\xfe\0\2" * 3000 + JPEG[2:]).pixels, picture_view(JPEG).pixels
    )
    filled = JPEG.replace(b"\xff\xda", FILL[:99] + b"\xff\xda")
    for restart in range(0xD0, 0xD8):
        filled = filled.replace(bytes([0xFF, restart]), FILL[:9] + bytes([0xFF, restart]))
    assert len(filled) > len(JPEG) + 200
    np.testing.assert_array_equal(picture_view(filled[:-2] + FILL[:99] + END).pixels, picture_view(JPEG).pixels)
    np.testing.assert_array_equal(pixels_of(in_dicom(filled)), pixels_of(in_dicom(JPEG)))


def test_strips_that_a_page_does_not_need_are_not_looked_at() -> None:
    values = GREY.tobytes()
    deflated = zlib.compress(values)
    expected = picture_view(tiff(values)).pixels
    places, lengths = [0] + [len(deflated)] * 9, [len(deflated)] + [4] * 9
    np.testing.assert_array_equal(
        picture_view(tiff(deflated + b"junk", compression=8, places=places, lengths=lengths)).pixels, expected
    )
    padded = zlib.compress(values + bytes(48 * 16))  # all rows of the strip, of which the image has fewer
    np.testing.assert_array_equal(picture_view(tiff(padded, compression=8, strip_rows=80)).pixels, expected)
