"""JPEG: an image of which compressed values are missing is refused, though its end marker is there."""

import itertools
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_decode
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.reading import jpeg
from glam.reading.read import read_view
from tests.samples.answers import refusal
from tests.samples.mammograms import ENCODERS, file_of, noisy_values

END = jpeg.END
FILLED_IN = [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1]
"""Syntaxes whose decoder fills what is missing and says nothing."""


def stream_of(syntax: str) -> bytes:
    return ENCODERS[syntax](noisy_values(syntax), 8 if syntax == uid.JPEGBaseline8Bit else 12)


def pixels_of(syntax: str, *fragments: bytes) -> np.ndarray:
    data = file_of(noisy_values(syntax), syntax, PixelData=encapsulate(list(fragments)))
    return read_view(data, FrameConfig()).pixels


def code_of(syntax: str, *fragments: bytes) -> str:
    return refusal(lambda: pixels_of(syntax, *fragments)).code


def with_restarts() -> bytes:
    stream = BytesIO()
    Image.fromarray(noisy_values(uid.JPEGBaseline8Bit)).save(stream, "JPEG", quality=95, restart_marker_blocks=6)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [*FILLED_IN, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless])
def test_a_stream_that_was_cut_and_closed_again_is_truncated(syntax: str) -> None:
    stream = stream_of(syntax)
    for lost in (2, 3, 5, 17, 100, len(stream) // 2):
        assert code_of(syntax, stream[: -2 - lost] + END) == "truncated", lost


@pytest.mark.parametrize("syntax", [*FILLED_IN, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless])
def test_a_lost_fragment_is_noticed_and_all_of_them_are_read(syntax: str) -> None:
    stream = stream_of(syntax)
    ends = [0, *range(600, len(stream), 400), len(stream)]
    fragments = [stream[start:end] for start, end in itertools.pairwise(ends)]
    np.testing.assert_array_equal(pixels_of(syntax, *fragments), pixels_of(syntax, stream))
    for lost in range(1, len(fragments)):
        assert code_of(syntax, *fragments[:lost], *fragments[lost + 1 :]) == "truncated", lost


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless])
def test_swapped_fragments_of_a_lossless_image_are_noticed(syntax: str) -> None:
    stream = stream_of(syntax)
    third = len(stream) // 3 & ~1
    head, *rest = stream[:third], stream[third : 2 * third], stream[2 * third : -2]
    assert code_of(syntax, head, *reversed(rest), END) == "truncated"


def test_a_lost_byte_that_leads_beyond_the_precision_of_a_lossless_stream_is_noticed() -> None:
    stream = stream_of(uid.JPEGLossless)
    start = jpeg.read_header(stream).data_start
    damaged = [stream[:place] + stream[place + 1 :] for place in range(start + 5, len(stream) - 20, 53)]
    peaks = [int(jpeg8_decode(data).max()) for data in damaged]
    beyond = [data for data, peak in zip(damaged, peaks, strict=True) if 2**12 <= peak < 2**15]
    assert len(beyond) >= 2  # as many as never lead below zero, which would show as more
    assert {code_of(uid.JPEGLossless, data) for data in beyond} == {"truncated"}


@pytest.mark.parametrize("bits", [10, 12, 15])
def test_the_largest_value_of_its_precision_belongs_to_a_lossless_stream(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64 * 48).astype(np.uint16).reshape(64, 48)
    header: dict[str, Any] = {"BitsStored": bits, "HighBit": bits - 1}
    stream = ENCODERS[uid.JPEGLosslessSV1](values, bits)
    data = file_of(values, uid.JPEGLosslessSV1, PixelData=encapsulate([stream]), **header)
    expected = read_view(file_of(values, **header), FrameConfig(voi="minmax")).pixels
    np.testing.assert_array_equal(read_view(data, FrameConfig(voi="minmax")).pixels, expected)


@pytest.mark.parametrize("syntax", FILLED_IN)
@pytest.mark.parametrize("lost", range(3, 9))
def test_zeros_in_place_of_the_last_bytes_are_no_values(syntax: str, lost: int) -> None:
    stream = stream_of(syntax)
    assert code_of(syntax, stream[:-lost] + bytes(lost)) == "truncated"
    assert code_of(syntax, stream[:-lost] + bytes(lost + 8)) == "truncated"


@pytest.mark.parametrize("syntax", FILLED_IN)
def test_a_comment_behind_the_scan_ends_it(syntax: str) -> None:
    stream = stream_of(syntax)
    comment = b"\xff\xfe\0\4ab"
    np.testing.assert_array_equal(pixels_of(syntax, stream[:-2] + comment + END), pixels_of(syntax, stream))
    assert code_of(syntax, stream[:-9] + comment + END) == "truncated"


def test_an_image_of_one_grey_ends_in_zeros_that_are_values() -> None:
    grey = np.zeros((64, 48), np.uint16)
    stream = ENCODERS[uid.JPEGLosslessSV1](grey, 12)
    data = file_of(grey, uid.JPEGLosslessSV1, PixelData=encapsulate([stream]))
    assert not read_view(data, FrameConfig()).pixels.any()


def test_values_missing_before_a_restart_marker_are_noticed() -> None:
    whole = with_restarts()
    expected = pixels_of(uid.JPEGBaseline8Bit, whole)
    for restart in range(0xD0, 0xD7):
        place = whole.index(bytes([0xFF, restart]))
        for lost in (2, 5, 20):
            assert code_of(uid.JPEGBaseline8Bit, whole[: place - lost] + whole[place:]) == "truncated", restart
    np.testing.assert_array_equal(pixels_of(uid.JPEGBaseline8Bit, whole[:-2]), expected)


def test_restart_markers_have_to_be_those_of_the_image_in_their_order() -> None:
    whole = with_restarts()
    places = [whole.index(bytes([0xFF, restart])) for restart in range(0xD0, 0xD4)]
    first, second = whole[places[0] : places[1]], whole[places[1] : places[2]]
    lost = whole[: places[0]] + whole[places[1] :]
    swapped = whole[: places[0]] + second + first + whole[places[2] :]
    assert code_of(uid.JPEGBaseline8Bit, lost) == "truncated"
    assert code_of(uid.JPEGBaseline8Bit, swapped) == "truncated"


def test_the_header_says_process_size_and_restarts() -> None:
    header = jpeg.read_header(with_restarts())
    assert (header.process, header.rows, header.cols, header.samples, header.bits) == ("dct", 64, 48, 1, 8)
    assert (header.restart_interval, header.num_restarts) == (6, 7)
    lossless = jpeg.read_header(stream_of(uid.JPEGLosslessSV1))
    assert (lossless.process, lossless.bits, lossless.num_restarts) == ("lossless", 12, 0)
    with pytest.raises(ValueError, match="no frame header"):
        jpeg.read_header(jpeg.START + END)


def test_a_probe_continues_every_interval() -> None:
    whole = with_restarts()
    header = jpeg.read_header(whole)
    start = header.data_start
    values = whole[start : jpeg.end_of_scan(whole, start, restart_interval=header.restart_interval)]
    probes = jpeg.continued(values, header.restart_interval, header.num_restarts)
    zeros, ones = (whole[:start] + continued + END for continued in probes)
    assert zeros.count(jpeg.ZEROS + b"\xff") == ones.count(jpeg.ONES + b"\xff") == 8
    expected = np.asarray(Image.open(BytesIO(whole)))
    for probe in (zeros, ones):
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(probe))), expected)
