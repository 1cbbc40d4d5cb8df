import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.image_file import picture_format, stored_picture
from glam.reading.read import read_view
from glam.view import WHITE, View
from tests.samples.answers import error_of, finding_codes, refusal


def breast_values(dtype: type = np.uint8) -> np.ndarray:
    y, x = np.mgrid[:120, :90]
    inside = (x / 60) ** 2 + ((y - 60) / 50) ** 2 < 1
    largest = np.iinfo(dtype).max
    return np.where(inside, largest * (0.3 + 0.006 * x), 0).astype(dtype)


def encoded(values: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(stream, format, **options)
    return stream.getvalue()


def view_of(data: bytes, **given: str) -> View:
    return read_view(data, FrameConfig(), **{"view": "CC", "laterality": "L", **given})  # type: ignore[arg-type]


def code_of(data: bytes) -> str:
    return refusal(lambda: view_of(data)).code


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_read_with_a_warning_and_without_millimetres(format: str) -> None:
    view = view_of(encoded(breast_values(), format))
    assert finding_codes(view) == ["not_dicom_picture", "no_spacing", "no_window"]
    assert (view.spacing_mm, view.is_mg, view.patient_id) == (None, False, "")
    assert view.provenance["transfer_syntax"] == format
    assert view.provenance["view"] == view.provenance["laterality"] == "request"
    assert view.pixels.shape == (120, 90)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_stay_sixteen(format: str) -> None:
    fine, coarse = view_of(encoded(breast_values(np.uint16), format)), view_of(encoded(breast_values(), format))
    assert len(np.unique(fine.pixels)) >= len(np.unique(coarse.pixels))
    low = (breast_values(np.uint16) >> 6).astype(np.uint16)  # of 1,024 steps, all below the 8-bit range's second one
    assert len(np.unique(view_of(encoded(low, format)).pixels)) > 40


def test_view_and_side_come_from_the_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "case7_R_MLO.png"
    path.write_bytes(encoded(breast_values()))
    view = read_view(path, FrameConfig())
    assert (view.view, view.laterality, view.provenance["view"]) == ("MLO", "R", "file name")


def test_a_picture_that_nobody_names_is_refused() -> None:
    assert error_of(encoded(breast_values())).code == "unknown_view"


def test_grey_in_colour_channels_is_grey_and_colour_is_not() -> None:
    grey = np.repeat(breast_values()[..., None], 3, axis=2)
    np.testing.assert_array_equal(view_of(encoded(grey)).pixels, view_of(encoded(breast_values())).pixels)
    tinted = grey.copy()
    tinted[50, 10, 0] += 9
    assert code_of(encoded(tinted)) == "not_monochrome"


def test_a_picture_cut_short_is_refused() -> None:
    data = encoded(breast_values())
    assert code_of(data[: len(data) // 2]) == "truncated"
    assert code_of(data[:20]) == "truncated"


def test_a_picture_larger_than_the_limit_is_refused_before_it_is_decoded() -> None:
    assert code_of(encoded(Image.new("L", (9000, 8000)), compress_level=1)) == "too_large"


def test_several_pages_are_refused() -> None:
    page = Image.fromarray(breast_values())
    assert code_of(encoded(page, "TIFF", save_all=True, append_images=[page])) == "multi_frame"


def test_numbers_that_are_no_grey_values_are_refused() -> None:
    assert code_of(encoded(Image.fromarray(breast_values().astype(np.float32)), "TIFF")) == "unsupported_picture"


def test_a_negative_is_turned_and_told() -> None:
    view = view_of(encoded(255 - breast_values()))
    assert "inverted_tag" in finding_codes(view)
    assert view.pixels[0, -1] == 0
    assert view.pixels.max() == WHITE


def test_a_picture_is_known_by_its_first_bytes_and_the_stream_stays_where_it_was() -> None:
    stream = BytesIO(b"...." + encoded(breast_values(), "JPEG"))
    stream.seek(4)
    assert picture_format(stream) == "JPEG"
    assert stream.tell() == 4
    assert picture_format(b"GIF89a") is None
    assert picture_format(b"") is None


STORED_AS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: np.rot90(upright, 2),
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).T,
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF orientation -> how an upright picture lies in the file."""


def oriented(values: np.ndarray, format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"tiffinfo": {274: orientation}} if format == "TIFF" else {"exif": exif}
    if format == "JPEG":
        options |= {"quality": 98}
    return encoded(np.ascontiguousarray(values), format, **options)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_shown_upright_as_its_exif_says(format: str, orientation: int) -> None:
    upright = view_of(encoded(breast_values()))
    view = view_of(oriented(STORED_AS[orientation](breast_values()), format, orientation))
    assert view.pixels.shape == (120, 90)
    np.testing.assert_allclose(view.pixels / WHITE, upright.pixels / WHITE, atol=0.05 if format == "JPEG" else 0)
    assert view.provenance.get("upright") == (f"EXIF orientation {orientation}" if orientation > 1 else None)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_left_alone(orientation: int) -> None:
    view = view_of(oriented(breast_values(), "PNG", orientation))
    np.testing.assert_array_equal(view.pixels, view_of(encoded(breast_values())).pixels)
    assert "upright" not in view.provenance


def fine_values() -> np.ndarray:
    """12 bits in 16: what is left of them in 8 bits is a handful of levels."""
    return (breast_values(np.uint16) >> 4).astype(np.uint16)


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
    opaque, expected = np.full_like(grey, 65535), view_of(encoded(grey)).pixels
    assert len(np.unique(expected)) > 30
    for data in (
        png16(np.dstack([grey] * 3), 2),
        png16(np.dstack([grey, opaque]), 4),
        png16(np.dstack([grey] * 3 + [opaque]), 6),
        tiff16(np.dstack([grey] * 3)),
        tiff16(np.dstack([grey] * 3 + [opaque])),
    ):
        view = view_of(data)
        np.testing.assert_array_equal(view.pixels, expected)
        assert view.provenance["decoder"] == "opencv"
    tinted = np.dstack([grey] * 3)
    tinted[50, 10, 0] += 1
    assert code_of(png16(tinted, 2)) == "not_monochrome"


def test_a_cut_picture_of_sixteen_bits_in_channels_is_truncated() -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (120, 90)).astype(np.uint16)
    for data in (png16(np.dstack([noise] * 3), 2), png16(np.dstack([noise] * 2), 4), tiff16(np.dstack([noise] * 3))):
        for share in (0.1, 0.5, 0.9):
            assert code_of(data[: int(share * len(data))]) in {"truncated", "unsupported_picture"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_transparent_is_background(dtype: type) -> None:
    grey, largest = breast_values(dtype), np.iinfo(dtype).max
    alpha = np.where(grey > 0, largest, 0).astype(dtype)
    shown = np.where(grey > 0, grey, largest).astype(dtype)  # white under it
    expected = view_of(encoded(grey)).pixels
    if dtype is np.uint8:
        files = [encoded(np.dstack([shown, alpha])), encoded(np.dstack([shown] * 3 + [alpha]))]
    else:
        files = [png16(np.dstack([shown, alpha]), 4), png16(np.dstack([shown] * 3 + [alpha]), 6)]
    for data in files:
        view = view_of(data)
        np.testing.assert_array_equal(view.pixels, expected)
        assert "inverted_tag" not in finding_codes(view)


def test_a_transparent_colour_of_a_palette_or_of_grey_values_is_background() -> None:
    grey = np.minimum(breast_values(), 250)
    shown = np.where(grey > 0, grey, 255).astype(np.uint8)
    expected = view_of(encoded(grey)).pixels
    palette = Image.fromarray(shown, "L").convert("P")
    for data in (encoded(palette, transparency=255), encoded(Image.fromarray(shown), transparency=255)):
        np.testing.assert_array_equal(view_of(data).pixels, expected)
    wide = np.where(fine_values() > 0, fine_values(), 65535).astype(np.uint16)
    key = struct.pack(">I4sH", 2, b"tRNS", 65535)
    data = png16(wide[..., None], 0, key + struct.pack(">I", zlib.crc32(key[4:])))
    np.testing.assert_array_equal(view_of(data).pixels, view_of(encoded(fine_values())).pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_without_a_word(dtype: type) -> None:
    grey = breast_values(dtype)
    negative = (np.iinfo(dtype).max - grey).astype(dtype)
    data = encoded(negative if dtype is np.uint16 else grey, "TIFF", tiffinfo={262: 0})
    if dtype is np.uint8:  # Pillow writes what it is given under any label
        stored = np.asarray(Image.open(BytesIO(data)))
        data = encoded(grey if (stored == grey).all() else negative, "TIFF", tiffinfo={262: 0})
    view = view_of(data)
    np.testing.assert_array_equal(view.pixels, view_of(encoded(grey, "TIFF")).pixels)
    assert "inverted_tag" not in finding_codes(view)


def test_a_big_tiff_is_a_tiff() -> None:
    view = view_of(encoded(breast_values(), "TIFF", big_tiff=True))
    np.testing.assert_array_equal(view.pixels, view_of(encoded(breast_values())).pixels)


def pages(*kinds: tuple[np.ndarray, int]) -> bytes:
    """A TIFF of pages, each with its NewSubfileType."""
    stream = BytesIO()
    images = []
    for values, kind in kinds:
        image = Image.fromarray(values)
        image.encoderinfo = {"tiffinfo": {254: kind}}
        images.append(image)
    first, *others = images
    first.save(stream, "TIFF", save_all=True, append_images=others, tiffinfo={254: kinds[0][1]})
    return stream.getvalue()


def test_a_smaller_copy_in_a_tiff_is_no_second_page() -> None:
    full, small = breast_values(), np.ascontiguousarray(breast_values()[::4, ::4])
    expected = view_of(encoded(full)).pixels
    np.testing.assert_array_equal(view_of(pages((full, 0), (small, 1))).pixels, expected)
    np.testing.assert_array_equal(view_of(pages((small, 1), (full, 0))).pixels, expected)
    assert code_of(pages((full, 0), (small, 0))) == "multi_frame"
    assert code_of(pages((small, 1), (small, 1))) == "multi_frame"


def test_an_animated_png_is_several_frames() -> None:
    frames = [Image.fromarray(breast_values()), Image.fromarray(breast_values()[::-1].copy())]
    assert code_of(encoded(frames[0], save_all=True, append_images=frames[1:])) == "multi_frame"


@pytest.mark.parametrize(("mode", "format"), [("CMYK", "JPEG"), ("1", "PNG"), ("1", "TIFF"), ("LAB", "TIFF")])
def test_other_pixel_formats_are_named_with_a_way_out_that_works(mode: str, format: str) -> None:
    picture = Image.fromarray(breast_values())
    other = picture.convert(mode) if mode != "LAB" else Image.merge("LAB", [picture] * 3)
    with pytest.raises(InputError, match=f"the kind {mode} .*save it as a grey-scale PNG") as caught:
        view_of(encoded(other, format))
    assert caught.value.code == "unsupported_picture"
    grey = encoded(picture)  # the way out
    assert view_of(grey).pixels.shape == (120, 90)


def test_a_grey_jpeg_is_read_without_its_end_marker_and_refused_where_values_are_missing() -> None:
    values = (breast_values() >> 4).astype(np.uint8) + np.random.default_rng(0).integers(0, 9, (120, 90), np.uint8)
    whole = encoded(Image.fromarray(values), "JPEG")
    expected = stored_picture(whole).values
    for end in (len(whole) - 2, len(whole) - 1):
        np.testing.assert_array_equal(stored_picture(whole[:end]).values, expected)
        np.testing.assert_array_equal(stored_picture(whole[:end] + bytes(50)).values, expected)
    for lost in (3, 5, 20, 300):
        assert code_of(whole[:-lost]) == code_of(whole[:-lost] + whole[-2:]) == "truncated", lost


def test_a_lossless_jpeg_is_no_picture_that_is_read() -> None:
    stream = bytes(imagecodecs.jpeg8_encode(breast_values(np.uint16), lossless=True, bitspersample=16))
    assert code_of(stream) == "unsupported_picture"
    np.testing.assert_array_equal(stored_picture(encoded(breast_values())).values, breast_values())  # the way out
