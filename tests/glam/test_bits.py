"""Stored values, padding and the bits that an image fills: each file against one that says the same by the standard."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from glam.config import FrameConfig
from glam.reading.bits import packed, words
from glam.reading.read import read_view
from glam.view import View
from tests.samples.answers import finding_codes
from tests.samples.mammograms import breast_values, encoded, mammogram

SIGNED = {"PixelRepresentation": 1, "WindowCenter": "0"}
WIDE = {"BitsStored": 16, "HighBit": 15, "WindowCenter": "32768", "WindowWidth": "65536"}
LARGE = breast_values(320, 200)


def view_of(
    pixels: np.ndarray, *padding: tuple[str, str, int], syntax: str = uid.ExplicitVRLittleEndian, **changes: Any
) -> View:
    """The View of a file; each padding is (keyword, VR, value)."""
    dataset = mammogram(pixels, syntax, **changes)
    for keyword, vr, value in padding:
        dataset.add_new(keyword, vr, value)
    return read_view(encoded(dataset, syntax), FrameConfig())


def test_an_attribute_is_the_same_words_in_every_vr_and_byte_order() -> None:
    dataset = Dataset()
    tag = Tag("LUTDescriptor")

    def put(vr: str | None, value: bytes, little: bool) -> list[int]:
        dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, vr is None, little)
        return words(dataset, "LUTDescriptor")

    expected = [4096, 63488, 16]
    little, big = (np.array(expected, order).tobytes() for order in ("<u2", ">u2"))
    assert all(put(vr, little, True) == expected for vr in (None, "US", "SS", "OW", "OB", "UN"))
    assert all(put(vr, big, False) == expected for vr in ("US", "SS", "OW", "UN"))
    assert put("OB", little, False) == expected
    assert put("SL", np.array([4096, -2048, 16], "<i4").tobytes(), True) == expected
    assert put("UL", np.array([4096, 63488, 16], ">u4").tobytes(), False) == expected
    assert put("IS", b"4096\\-2048\\16", True) == expected
    assert put("US", b"", True) == put("DS", b"x", True) == words(Dataset(), "LUTDescriptor") == []


def test_an_attribute_made_in_memory_is_the_same_words() -> None:
    dataset = Dataset()
    for vr, value in (("SS", [4096, -2048, 16]), ("US", [4096, 63488, 16]), ("OW", b"\0\x10\0\xf8\x10\0")):
        dataset.add_new("LUTDescriptor", vr, value)
        assert words(dataset, "LUTDescriptor") == [4096, 63488, 16]
    dataset.add_new("LUTData", "OW", b"\1\2\3")
    assert packed(dataset, "LUTData") == b"\1\2\3"
    dataset.add_new("LUTData", "US", 258)
    assert packed(dataset, "LUTData") == b"\2\1"


WRITTEN = (("SS", -2000), ("US", 63536), ("US", 2096))
"""-2000 as a number, as a word, and as the 12 bits that a pixel has."""
SPELLED = (*WRITTEN, ("SL", -2000), ("IS", -2000))


@pytest.mark.parametrize(
    ("syntax", "vr", "value"),
    [
        *((uid.ExplicitVRLittleEndian, *spelled) for spelled in SPELLED),
        *((uid.ExplicitVRBigEndian, *spelled) for spelled in SPELLED),
        *((uid.ImplicitVRLittleEndian, *written) for written in WRITTEN),
        (uid.ExplicitVRLittleEndian, "UN", b"\x30\xf8"),
        (uid.ExplicitVRBigEndian, "UN", b"\xf8\x30"),
    ],
)
def test_padding_of_signed_pixels_is_signed_whatever_its_vr(syntax: str, vr: str, value: Any) -> None:
    pixels = breast_values(peak=3900).astype(np.int16) - 1900
    control = view_of(pixels, **SIGNED)
    pixels[:5, :20] = -2000
    view = view_of(pixels, ("PixelPaddingValue", vr, value), syntax=syntax, **SIGNED)
    assert view.pixels[:5, :20].max() == 0
    np.testing.assert_array_equal(view.pixels[5:], control.pixels[5:])
    assert view.pixels[5:].min() > 0


@pytest.mark.parametrize(("vr", "value"), [("US", 40000), ("SS", 40000 - 65536)])
def test_padding_of_unsigned_pixels_has_no_sign_whatever_its_vr(vr: str, value: int) -> None:
    pixels = breast_values(peak=65535)
    pixels[:5] = 40000
    view = view_of(pixels, ("PixelPaddingValue", vr, value), **WIDE)
    assert view.pixels[:5].max() == 0
    np.testing.assert_array_equal(view.pixels[5:], pixels[5:])


@pytest.mark.parametrize("ends", [(-2000, -1950), (-1950, -2000)])
@pytest.mark.parametrize(("vr", "sign"), [("SS", 0), ("US", 65536)])
def test_a_range_of_padding_is_signed_and_in_either_order(ends: tuple[int, int], vr: str, sign: int) -> None:
    pixels = breast_values(peak=3900).astype(np.int16) - 1900
    control = view_of(pixels, **SIGNED)
    pixels[:5, :20], pixels[-5:, :20] = -1975, -1950
    padding = [
        (keyword, vr, end + sign)
        for keyword, end in zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), ends, strict=True)
    ]
    view = view_of(pixels, *padding, **SIGNED)
    assert view.pixels[:5, :20].max() == view.pixels[-5:, :20].max() == 0
    np.testing.assert_array_equal(view.pixels[5:-5], control.pixels[5:-5])


def test_padding_beyond_the_stored_bits_is_the_whole_word_and_no_value_below() -> None:
    pixels = breast_values()
    pixels[30:34, 5:9] = 63536 & 0xFFF
    control = view_of(pixels)
    pixels[:5, :20] = 63536
    view = view_of(pixels, ("PixelPaddingValue", "SS", -2000))
    assert view.pixels[:5, :20].max() == 0
    np.testing.assert_array_equal(view.pixels[5:], control.pixels[5:])
    assert view.pixels[30:34, 5:9].min() > 30000
    assert finding_codes(view) == []


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
@pytest.mark.parametrize("window", [{"WindowCenter": "8192", "WindowWidth": "16384"}, {"WindowCenter": None}])
@pytest.mark.parametrize("offset", [0, -8192])
def test_values_beyond_bits_stored_are_read_and_told(syntax: str, window: dict[str, Any], offset: int) -> None:
    pixels = (breast_values(320, 200, peak=16383).astype(np.int32) + offset).astype(np.int16 if offset else np.uint16)
    if offset and window["WindowCenter"]:
        window = window | {"WindowCenter": "0"}
    header = {**window, "PixelRepresentation": 1 if offset else 0}
    control = view_of(pixels, BitsStored=14, HighBit=13, **header)
    dataset = mammogram(pixels.view(np.uint16), syntax, **(header | {"BitsStored": 16}))
    dataset.BitsStored, dataset.HighBit = 12, 11
    view = read_view(encoded(dataset, syntax), FrameConfig())
    np.testing.assert_allclose(view.pixels.astype(int), control.pixels, atol=8)
    assert finding_codes(view) == ["bits_differ", *finding_codes(control)]


def test_padding_does_not_hide_values_beyond_bits_stored() -> None:
    pixels = breast_values(320, 200, peak=16383)
    pixels[pixels == 0] = 65535
    window = {"WindowCenter": "8192", "WindowWidth": "16384"}
    padding = ("PixelPaddingValue", "US", 65535)
    view, control = view_of(pixels, padding, **window), view_of(pixels, padding, BitsStored=14, HighBit=13, **window)
    np.testing.assert_array_equal(view.pixels, control.pixels)
    assert finding_codes(view) == ["bits_differ"]


def _stripes() -> np.ndarray:
    return (np.indices(LARGE.shape).sum(0) // 8 % 2 << 12).astype(np.uint16)


@pytest.mark.parametrize(
    "junk",
    [
        np.random.default_rng(0).integers(0, 16, LARGE.shape, np.uint16) << 12,
        _stripes(),
        np.where(LARGE > 0, 1 << 15, 0).astype(np.uint16),
        np.where(LARGE > 0, 1 << 12, 0).astype(np.uint16),
        np.full(LARGE.shape, 1 << 14, np.uint16),
    ],
    ids=["noise", "stripes", "breast in bit 15", "breast in bit 12", "everywhere"],
)
@pytest.mark.parametrize("representation", [0, 1])
def test_junk_above_the_high_bit_is_not_read(junk: np.ndarray, representation: int) -> None:
    sign = {"PixelRepresentation": representation, "WindowCenter": "0" if representation else "2048"}
    values = LARGE.astype(np.int32) - 2048 * representation & 0xFFF
    view, control = view_of((values | junk).astype(np.uint16), **sign), view_of(values.astype(np.uint16), **sign)
    np.testing.assert_array_equal(view.pixels, control.pixels)
    assert finding_codes(view) == finding_codes(control) == []


@pytest.mark.parametrize("offset", [0, -2048])
@pytest.mark.parametrize("bits", [{"BitsStored": 12, "HighBit": 15}, {"BitsStored": 16, "HighBit": 11}])
def test_low_values_under_another_high_bit_are_read_where_they_lie(offset: int, bits: dict[str, int]) -> None:
    pixels = (LARGE.astype(np.int32) + offset).astype(np.int16 if offset else np.uint16)
    sign = {"PixelRepresentation": 1, "WindowCenter": "0"} if offset else {}
    control = view_of(pixels, **sign)
    view = view_of(pixels, **sign, **bits)
    np.testing.assert_array_equal(view.pixels, control.pixels)
    assert finding_codes(view) == ["bits_differ"]


def test_values_that_lie_high_as_the_header_says_are_no_finding() -> None:
    for junk in (0, 0b1010):
        view = view_of(LARGE << 4 | junk, HighBit=15)
        np.testing.assert_array_equal(view.pixels, view_of(LARGE).pixels)
        assert finding_codes(view) == []


@pytest.mark.parametrize("said", ["Monochrome2 ", "monochrome2\0", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["identity ", "IDENTITY"])
def test_the_photometric_interpretation_may_be_in_any_case(said: str, shape: str) -> None:
    dataset = mammogram(LARGE)
    for keyword, value in (("PhotometricInterpretation", said), ("PresentationLUTShape", shape)):
        tag = Tag(keyword)
        content = value.encode() + b" " * (len(value) % 2)
        dataset._dict[tag] = RawDataElement(tag, "CS", len(content), content, 0, False, True)
    view = read_view(encoded(dataset), FrameConfig())
    np.testing.assert_array_equal(view.pixels, view_of(LARGE).pixels)
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    np.testing.assert_allclose(view_of(4095 - LARGE, **inverted).pixels.astype(int), view.pixels, atol=1)
