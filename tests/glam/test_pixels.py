import tracemalloc
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.reading.read import read_view
from glam.view import WHITE
from tests.samples.answers import error_of
from tests.samples.mammograms import breast_values, encoded, file_of, mammogram


def layout(bits: int, *, allocated: int = 16, high_bit: int | None = None, signed: bool = False) -> dict[str, Any]:
    """A window over all values of so many bits, and how they lie in a word."""
    centre = 0 if signed else 2 ** (bits - 1)
    words = {"BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1 if high_bit is None else high_bit}
    return words | {"PixelRepresentation": int(signed), "WindowCenter": str(centre), "WindowWidth": str(2**bits)}


@pytest.mark.parametrize("bits", range(8, 17))
def test_every_depth_is_spread_from_black_to_white(bits: int) -> None:
    pixels = breast_values(peak=2**bits - 1)
    view = read_view(file_of(pixels, **layout(bits)), FrameConfig())
    np.testing.assert_allclose(view.pixels / WHITE, pixels / (2**bits - 1), atol=1 / WHITE)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_signed_values_go_from_the_smallest_to_the_largest(bits: int) -> None:
    pixels = breast_values(peak=2**bits - 1)
    signed = (pixels.astype(np.int32) - 2 ** (bits - 1)).astype(np.int16)
    view = read_view(file_of(signed, **layout(bits, signed=True)), FrameConfig())
    np.testing.assert_allclose(view.pixels / WHITE, pixels / (2**bits - 1), atol=1 / WHITE)


def test_bits_below_and_above_the_stored_ones_are_not_read() -> None:
    pixels = breast_values()
    shifted = pixels << 4 | 0b1010
    high = pixels | 0b1010 << 12
    expected = read_view(file_of(pixels), FrameConfig()).pixels
    np.testing.assert_array_equal(
        read_view(file_of(shifted, **layout(12, high_bit=15)), FrameConfig()).pixels, expected
    )
    np.testing.assert_array_equal(read_view(file_of(high, **layout(12)), FrameConfig()).pixels, expected)


def test_signed_values_are_read_from_the_high_bit_down() -> None:
    pixels = breast_values()
    signed = ((pixels.astype(np.int32) - 2048) & 0xFFF).astype(np.uint16) << 2
    view = read_view(file_of(signed, **layout(12, high_bit=13, signed=True)), FrameConfig())
    np.testing.assert_array_equal(view.pixels, read_view(file_of(pixels), FrameConfig()).pixels)


def test_an_eight_bit_image_is_read() -> None:
    pixels = (breast_values() >> 4).astype(np.uint8)
    np.testing.assert_allclose(read_view(file_of(pixels), FrameConfig()).pixels / WHITE, pixels / 255, atol=1e-6)


def test_what_follows_the_pixels_is_padding() -> None:
    pixels = breast_values()
    data = pixels.tobytes() + b"\xff" * 64
    np.testing.assert_array_equal(
        read_view(file_of(pixels, PixelData=data), FrameConfig()).pixels,
        read_view(file_of(pixels), FrameConfig()).pixels,
    )


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("truncated", {"PixelData": None}),
        ("truncated", {"PixelData": breast_values().tobytes()[:-2]}),
        ("truncated", {"PixelData": b""}),
        ("truncated", {"PixelData": b"\0\0"}),
        ("truncated", {"Rows": 65}),
        ("truncated", {"BitsAllocated": 16, "PixelData": (breast_values() >> 4).astype(np.uint8).tobytes()}),
        ("too_large", {"Rows": 9000, "Columns": 9000}),
        ("too_large", {"Rows": 65_535, "Columns": 977}),
        ("not_monochrome", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("not_monochrome", {"PhotometricInterpretation": "PALETTE COLOR"}),
        ("bad_value", {"PhotometricInterpretation": None}),
        ("bad_value", {"Rows": 0}),
        ("bad_value", {"Columns": 0}),
        ("bad_value", {"Columns": None}),
        ("bad_value", {"BitsAllocated": 32}),
        ("bad_value", {"BitsAllocated": 12}),
        ("bad_value", {"BitsAllocated": None}),
        ("bad_value", {"BitsStored": 17}),
        ("bad_value", {"BitsStored": 0}),
        ("bad_value", {"HighBit": 16}),
        ("bad_value", {"HighBit": 3}),
        ("bad_value", {"PixelRepresentation": 2}),
    ],
)
def test_an_unusable_image_has_its_code(code: str, changes: dict[str, Any]) -> None:
    assert error_of(file_of(None, **changes)).code == code


@pytest.mark.parametrize("keyword", ["BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"])
def test_what_the_header_leaves_out_is_the_usual(keyword: str) -> None:
    full = file_of(None, BitsStored=16, HighBit=15)
    changes = {"BitsStored": 16, "HighBit": 15} | {keyword: None}
    np.testing.assert_array_equal(
        read_view(file_of(None, **changes), FrameConfig()).pixels, read_view(full, FrameConfig()).pixels
    )


def test_a_syntax_without_a_decoder_is_named() -> None:
    error = error_of(encoded(mammogram(PixelData=encapsulate([b"\0\0"])), uid.MPEG2MPML))
    assert (error.code, error.status) == ("unsupported_syntax", 415)
    assert "MPEG2" in error.message
    assert "codecs" not in error.message


def test_a_syntax_in_no_table_is_not_quoted() -> None:
    private = b"1.2.840.99999.1.7\0"
    error = error_of(file_of().replace(b"1.2.840.10008.1.2.1\0", private + b"\0\0"))
    assert error.code == "unsupported_syntax"
    assert "99999" not in error.message


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    data = file_of(None, Rows=65000, Columns=65000)
    read_view(file_of(), FrameConfig())  # what is imported on the way
    tracemalloc.start()
    code = error_of(data).code
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == "too_large"
    assert peak < 1_000_000


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1"])
def test_a_whole_report_or_presentation_state_has_no_pixel_data(sop_class: str) -> None:
    no_image = {"Rows": None, "Columns": None, "BitsAllocated": None, "PixelData": None}
    assert error_of(file_of(None, SOPClassUID=sop_class, Modality="SR", **no_image)).code == "no_pixel_data"


def test_an_image_without_pixel_data_names_both_reasons() -> None:
    error = error_of(file_of(None, PixelData=None))
    assert error.code == "truncated"
    assert "cut short, or was written without an image" in error.message


def test_the_pad_byte_of_an_odd_number_of_pixels_may_be_missing() -> None:
    pixels = (breast_values(63, 47) >> 4).astype(np.uint8)
    data = file_of(pixels)
    assert len(pixels.tobytes()) % 2
    np.testing.assert_array_equal(read_view(data[:-1], FrameConfig()).pixels, read_view(data, FrameConfig()).pixels)
    assert error_of(data[:-2]).code == "truncated"
