"""PNG, JPEG and TIFF: which pictures are read, how they are turned upright, and which are refused."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from glam.config import FrameConfig
from glam.reading.image_file import picture_format, stored_picture
from glam.reading.read import read_view
from glam.view import WHITE
from tests.samples.answers import error_of, finding_codes, refusal
from tests.samples.pictures import grey_values, picture_view, refused_code, saved


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_read_with_a_warning_and_without_millimetres(format: str) -> None:
    view = picture_view(saved(grey_values(), format))
    assert finding_codes(view) == ["not_dicom_picture", "no_spacing", "no_window"]
    assert (view.spacing_mm, view.is_mg, view.patient_id) == (None, False, "")
    assert view.provenance["transfer_syntax"] == format
    assert view.provenance["view"] == view.provenance["laterality"] == "request"
    assert view.pixels.shape == (120, 90)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_stay_sixteen(format: str) -> None:
    fine, coarse = picture_view(saved(grey_values(np.uint16), format)), picture_view(saved(grey_values(), format))
    assert len(np.unique(fine.pixels)) >= len(np.unique(coarse.pixels))
    low = (grey_values(np.uint16) >> 6).astype(np.uint16)  # of 1,024 steps, all below the 8-bit range's second one
    assert len(np.unique(picture_view(saved(low, format)).pixels)) > 40


def test_view_and_side_come_from_the_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "case7_R_MLO.png"
    path.write_bytes(saved(grey_values()))
    view = read_view(path, FrameConfig())
    assert (view.view, view.laterality, view.provenance["view"]) == ("MLO", "R", "file name")


def test_a_picture_that_nobody_names_is_refused() -> None:
    assert error_of(saved(grey_values())).code == "unknown_view"


def test_grey_in_colour_channels_is_grey_and_colour_is_not() -> None:
    grey = np.repeat(grey_values()[..., None], 3, axis=2)
    np.testing.assert_array_equal(picture_view(saved(grey)).pixels, picture_view(saved(grey_values())).pixels)
    tinted = grey.copy()
    tinted[50, 10, 0] += 9
    assert refused_code(saved(tinted)) == "not_monochrome"


def test_a_picture_cut_short_is_refused() -> None:
    data = saved(grey_values())
    assert refused_code(data[: len(data) // 2]) == "truncated"
    assert refused_code(data[:20]) == "truncated"


def test_a_picture_larger_than_the_limit_is_refused_before_it_is_decoded() -> None:
    assert refused_code(saved(Image.new("L", (9000, 8000)), compress_level=1)) == "too_large"


def test_several_pages_are_refused() -> None:
    page = Image.fromarray(grey_values())
    assert refused_code(saved(page, "TIFF", save_all=True, append_images=[page])) == "multi_frame"


def test_numbers_that_are_no_grey_values_are_refused() -> None:
    assert refused_code(saved(Image.fromarray(grey_values().astype(np.float32)), "TIFF")) == "unsupported_picture"


def test_a_negative_is_turned_and_told() -> None:
    view = picture_view(saved(255 - grey_values()))
    assert "inverted_tag" in finding_codes(view)
    assert view.pixels[0, -1] == 0
    assert view.pixels.max() == WHITE


def test_a_picture_is_known_by_its_first_bytes_and_the_stream_stays_where_it_was() -> None:
    stream = BytesIO(b"...." + saved(grey_values(), "JPEG"))
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
    return saved(np.ascontiguousarray(values), format, **options)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_shown_upright_as_its_exif_says(format: str, orientation: int) -> None:
    upright = picture_view(saved(grey_values()))
    view = picture_view(oriented(STORED_AS[orientation](grey_values()), format, orientation))
    assert view.pixels.shape == (120, 90)
    np.testing.assert_allclose(view.pixels / WHITE, upright.pixels / WHITE, atol=0.05 if format == "JPEG" else 0)
    assert view.provenance.get("upright") == (f"EXIF orientation {orientation}" if orientation > 1 else None)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_left_alone(orientation: int) -> None:
    view = picture_view(oriented(grey_values(), "PNG", orientation))
    np.testing.assert_array_equal(view.pixels, picture_view(saved(grey_values())).pixels)
    assert "upright" not in view.provenance


def test_a_big_tiff_is_a_tiff() -> None:
    view = picture_view(saved(grey_values(), "TIFF", big_tiff=True))
    np.testing.assert_array_equal(view.pixels, picture_view(saved(grey_values())).pixels)


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
    full, small = grey_values(), np.ascontiguousarray(grey_values()[::4, ::4])
    expected = picture_view(saved(full)).pixels
    np.testing.assert_array_equal(picture_view(pages((full, 0), (small, 1))).pixels, expected)
    np.testing.assert_array_equal(picture_view(pages((small, 1), (full, 0))).pixels, expected)
    assert refused_code(pages((full, 0), (small, 0))) == "multi_frame"
    assert refused_code(pages((small, 1), (small, 1))) == "multi_frame"


def test_an_animated_png_is_several_frames() -> None:
    frames = [Image.fromarray(grey_values()), Image.fromarray(grey_values()[::-1].copy())]
    assert refused_code(saved(frames[0], save_all=True, append_images=frames[1:])) == "multi_frame"


@pytest.mark.parametrize(("mode", "format"), [("CMYK", "JPEG"), ("1", "PNG"), ("1", "TIFF"), ("LAB", "TIFF")])
def test_other_pixel_formats_are_named_with_a_way_out_that_works(mode: str, format: str) -> None:
    picture = Image.fromarray(grey_values())
    other = picture.convert(mode) if mode != "LAB" else Image.merge("LAB", [picture] * 3)
    error = refusal(lambda: picture_view(saved(other, format)))
    assert error.code == "unsupported_picture"
    assert re.search(f"the kind {mode} .*save it as a grey-scale PNG", error.message)
    grey = saved(picture)  # the way out
    assert picture_view(grey).pixels.shape == (120, 90)


def test_a_grey_jpeg_is_read_without_its_end_marker_and_refused_where_values_are_missing() -> None:
    values = (grey_values() >> 4).astype(np.uint8) + np.random.default_rng(0).integers(0, 9, (120, 90), np.uint8)
    whole = saved(Image.fromarray(values), "JPEG")
    expected = stored_picture(whole).values
    for end in (len(whole) - 2, len(whole) - 1):
        np.testing.assert_array_equal(stored_picture(whole[:end]).values, expected)
        np.testing.assert_array_equal(stored_picture(whole[:end] + bytes(50)).values, expected)
    for lost in (3, 5, 20, 300):
        assert refused_code(whole[:-lost]) == refused_code(whole[:-lost] + whole[-2:]) == "truncated", lost


def test_a_lossless_jpeg_is_no_picture_that_is_read() -> None:
    stream = bytes(imagecodecs.jpeg8_encode(grey_values(np.uint16), lossless=True, bitspersample=16))
    assert refused_code(stream) == "unsupported_picture"
    np.testing.assert_array_equal(stored_picture(saved(grey_values())).values, grey_values())  # the way out
