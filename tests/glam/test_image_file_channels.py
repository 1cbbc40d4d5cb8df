"""Channels of 16 bits, transparency and white as zero: grey values all the same."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from glam.reading.image_file import stored_picture
from tests.samples.answers import finding_codes, refusal
from tests.samples.pictures import grey_values, picture_view, refused_code, saved


def fine_values() -> np.ndarray:
    """12 bits in 16: what is left of them in 8 bits is a handful of levels."""
    return (grey_values(np.uint16) >> 4).astype(np.uint16)


def png16(channels: np.ndarray, colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG of 16 bits by hand: (rows, cols, channel), grey and alpha is colour type 4."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, cols = channels.shape[:2]
    head = struct.pack(">IIBBBBB", cols, rows, 16, colour_type, 0, 0, 0)
    lines = zlib.compress(b"".join(b"\0" + line.astype(">u2").tobytes() for line in channels))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def tiff16(values: np.ndarray) -> bytes:
    return cv2.imencode(".tif", values)[1].tobytes()


def test_sixteen_bits_in_several_channels_stay_sixteen() -> None:
    grey = fine_values()
    opaque, expected = np.full_like(grey, 65535), picture_view(saved(grey)).pixels
    assert len(np.unique(expected)) > 30
    for data in (
        png16(np.dstack([grey] * 3), 2),
        png16(np.dstack([grey, opaque]), 4),
        png16(np.dstack([grey] * 3 + [opaque]), 6),
        tiff16(np.dstack([grey] * 3)),
        tiff16(np.dstack([grey] * 3 + [opaque])),
    ):
        view = picture_view(data)
        np.testing.assert_array_equal(view.pixels, expected)
        assert view.provenance["decoder"] == "opencv"
    tinted = np.dstack([grey] * 3)
    tinted[50, 10, 0] += 1
    assert refused_code(png16(tinted, 2)) == "not_monochrome"


def test_a_cut_picture_of_sixteen_bits_in_channels_is_truncated() -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (120, 90)).astype(np.uint16)
    for data in (png16(np.dstack([noise] * 3), 2), png16(np.dstack([noise] * 2), 4), tiff16(np.dstack([noise] * 3))):
        for share in (0.1, 0.5, 0.9):
            assert refused_code(data[: int(share * len(data))]) in {"truncated", "unsupported_picture"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_transparent_is_background(dtype: type) -> None:
    grey, largest = grey_values(dtype), np.iinfo(dtype).max
    alpha = np.where(grey > 0, largest, 0).astype(dtype)
    shown = np.where(grey > 0, grey, largest).astype(dtype)  # white under it
    expected = picture_view(saved(grey)).pixels
    if dtype is np.uint8:
        files = [saved(np.dstack([shown, alpha])), saved(np.dstack([shown] * 3 + [alpha]))]
    else:
        files = [png16(np.dstack([shown, alpha]), 4), png16(np.dstack([shown] * 3 + [alpha]), 6)]
    for data in files:
        view = picture_view(data)
        np.testing.assert_array_equal(view.pixels, expected)
        assert "inverted_tag" not in finding_codes(view)


def test_a_transparent_colour_of_a_palette_or_of_grey_values_is_background() -> None:
    grey = np.minimum(grey_values(), 250)
    shown = np.where(grey > 0, grey, 255).astype(np.uint8)
    expected = picture_view(saved(grey)).pixels
    palette = Image.fromarray(shown, "L").convert("P")
    for data in (saved(palette, transparency=255), saved(Image.fromarray(shown), transparency=255)):
        np.testing.assert_array_equal(picture_view(data).pixels, expected)
    wide = np.where(fine_values() > 0, fine_values(), 65535).astype(np.uint16)
    key = struct.pack(">I4sH", 2, b"tRNS", 65535)
    data = png16(wide[..., None], 0, key + struct.pack(">I", zlib.crc32(key[4:])))
    np.testing.assert_array_equal(picture_view(data).pixels, picture_view(saved(fine_values())).pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_without_a_word(dtype: type) -> None:
    grey = grey_values(dtype)
    negative = (np.iinfo(dtype).max - grey).astype(dtype)
    data = saved(negative if dtype is np.uint16 else grey, "TIFF", tiffinfo={262: 0})
    if dtype is np.uint8:  # Pillow writes what it is given under any label
        stored = np.asarray(Image.open(BytesIO(data)))
        data = saved(grey if (stored == grey).all() else negative, "TIFF", tiffinfo={262: 0})
    view = picture_view(data)
    np.testing.assert_array_equal(view.pixels, picture_view(saved(grey, "TIFF")).pixels)
    assert "inverted_tag" not in finding_codes(view)


def tiff_by_hand(values: np.ndarray, tags: dict[int, int]) -> bytes:
    """A TIFF of one strip without compression; `tags` of one short number each."""
    strip = values.tobytes()
    bits = values.dtype.itemsize * 8
    usual = {256: values.shape[-1], 257: values.shape[-2], 258: bits, 259: 1, 262: 1, 277: 1, 273: 8, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in sorted({**usual, **tags}.items()))
    start = struct.pack("<4sI", b"II*\0", 8 + len(strip))
    return start + strip + struct.pack("<H", len(entries) // 12) + entries + bytes(4)


def test_a_tiff_of_eight_bits_with_a_sign_is_read_with_it() -> None:
    grey = grey_values()
    signed = (grey.astype(int) - 128).astype(np.int8)
    np.testing.assert_array_equal(stored_picture(tiff_by_hand(signed, {339: 2})).values, grey)
    np.testing.assert_array_equal(stored_picture(tiff_by_hand(grey, {339: 1})).values, grey)
    np.testing.assert_array_equal(picture_view(tiff_by_hand(signed, {339: 2})).pixels, picture_view(saved(grey)).pixels)


def test_channels_of_sixteen_bits_one_after_another_are_named_and_not_called_colour() -> None:
    grey = fine_values()
    data = planar_tiff(np.stack([grey] * 3))
    error = refusal(lambda: picture_view(data))
    assert error.code == "unsupported_picture"
    assert "stored one after another" in error.message
    assert picture_view(saved(grey)).pixels.shape == grey.shape  # the way out


def planar_tiff(channels: np.ndarray) -> bytes:
    """A TIFF of three planes of 16 bits, each a strip of its own."""
    planes = [plane.tobytes() for plane in channels]
    rows, cols = channels.shape[1:]
    behind = 8 + sum(map(len, planes))
    lists = {258: (3, "H", [16] * 3), 273: (4, "I", [8 + place * len(planes[0]) for place in range(3)])}
    lists |= {279: (4, "I", [len(plane) for plane in planes])}
    numbers = {256: cols, 257: rows, 259: 1, 262: 2, 277: 3, 278: rows, 284: 2}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, number) for tag, number in numbers.items()}
    stored = b""
    for tag, (kind, letter, items) in lists.items():
        entries[tag] = struct.pack("<HHII", tag, kind, 3, behind + len(stored))
        stored += struct.pack(f"<3{letter}", *items).ljust(12, b"\0")
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return struct.pack("<4sI", b"II*\0", behind + len(stored)) + b"".join(planes) + stored + directory


COMPRESSIONS = {34712: "JPEG 2000", 50002: "JPEG XL", 52546: "JPEG XL", 34887: "LERC", 34933: "PNG", 22610: "JPEG XR"}


@pytest.mark.parametrize("compression", [*COMPRESSIONS, 61234])
def test_a_compression_that_is_not_read_is_named_and_not_called_damage(compression: int) -> None:
    error = refusal(lambda: picture_view(tiff_by_hand(grey_values(), {259: compression})))
    assert error.code == "unsupported_picture"
    name = COMPRESSIONS.get(compression, "an unknown")
    assert f"{name} compression within a TIFF" in error.message
    assert picture_view(saved(grey_values())).pixels.shape == (120, 90)  # the way out: a PNG
