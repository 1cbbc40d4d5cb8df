"""JPEG 2000: where the last tile ends, by the lengths of tile parts."""

import struct

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading import jpeg2000
from glam.reading.read import read_view
from tests.samples.answers import refusal
from tests.samples.mammograms import ENCODERS, file_of, noisy_values

TILE_PART = b"\xff\x90\0\x0a"


NOISY = noisy_values(uid.JPEG2000Lossless)
STREAM = ENCODERS[uid.JPEG2000Lossless](NOISY, 12)


def pixels_of(stream: bytes) -> np.ndarray:
    data = file_of(NOISY, uid.JPEG2000Lossless, PixelData=encapsulate([stream]))
    return read_view(data, FrameConfig()).pixels


def code_of(stream: bytes) -> str:
    return refusal(lambda: pixels_of(stream)).code


def with_comment(text: bytes, *, is_length_known: bool) -> bytes:
    """The stream with a comment in the header of its one tile part, whose length is written or not."""
    start = STREAM.index(TILE_PART)
    comment = b"\xff\x64" + struct.pack(">HH", len(text) + 4, 1) + text
    length = len(STREAM) - 2 - start + len(comment)
    part = TILE_PART + struct.pack(">HIBB", 0, length if is_length_known else 0, 0, 1) + comment
    return STREAM[:start] + part + STREAM[start + 12 :]


@pytest.mark.parametrize("is_length_known", [True, False])
def test_the_bytes_of_an_end_marker_in_the_header_of_a_tile_part_end_nothing(is_length_known: bool) -> None:
    stream = with_comment(b"\xff\xd9 and \xff\xd9", is_length_known=is_length_known)
    np.testing.assert_array_equal(pixels_of(stream), pixels_of(STREAM))
    assert code_of(stream[:-20]) == "truncated"


def test_the_length_of_a_tile_part_may_look_like_an_end_marker() -> None:
    start = STREAM.index(TILE_PART)
    missing = 0xFFD9 - (len(STREAM) - 2 - start) - 6
    stream = with_comment(bytes(missing), is_length_known=True)
    assert stream[stream.index(TILE_PART) :][6:10] == b"\0\0\xff\xd9"
    np.testing.assert_array_equal(pixels_of(stream), pixels_of(STREAM))


@pytest.mark.parametrize("lost", range(3, 12))
def test_zeros_in_place_of_the_last_bytes_are_no_data(lost: int) -> None:
    for tail in (bytes(lost), bytes(lost + 1), bytes(lost + 8)):
        assert code_of(STREAM[:-lost] + tail) == "truncated"
    broken_off = file_of(NOISY, uid.JPEG2000Lossless, PixelData=encapsulate([STREAM]))[: -8 - lost - len(STREAM) % 2]
    with pytest.raises(InputError, match="cut short"):
        read_view(broken_off + bytes(9 + lost), FrameConfig())


def test_zeros_in_place_of_the_end_marker_alone_are_read() -> None:
    for tail in (b"", b"\xff", b"\0\0", b"\xff\0", bytes(40)):
        np.testing.assert_array_equal(pixels_of(STREAM[:-2] + tail), pixels_of(STREAM))


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.99])
def test_what_a_broken_copy_was_filled_up_with_is_no_data(kept: float) -> None:
    """The filling reaches to the end of the tile part, or over the end marker and the delimiter."""
    start = int(kept * len(STREAM))
    for fill in (b"\xff", b" ", b"\xcc", b"\x55"):
        assert code_of(STREAM[:start] + fill * (len(STREAM) - 2 - start)) == "truncated", fill
        assert code_of(STREAM[:start] + fill * (len(STREAM) - start)) == "truncated", fill
        data = file_of(NOISY, uid.JPEG2000Lossless, PixelData=encapsulate([STREAM]))
        with pytest.raises(InputError, match="cut short"):
            read_view(data[: start - len(STREAM)] + fill * (len(STREAM) - start), FrameConfig())


def test_other_data_over_the_end_of_a_stream_is_noticed() -> None:
    junk = np.random.default_rng(1).bytes(len(STREAM))
    for start in range(300, len(STREAM), 400):
        assert code_of(STREAM[:start] + junk[start:]) == "truncated", start
    for behind in (b"\x07\x01", b"\xfe\xff", b"\xff\xff", b"\xff\x01", b"\0\0\0\x09"):
        assert code_of(STREAM[:-2] + behind) == "truncated", behind


def test_a_marker_within_compressed_data_shows_that_it_is_none() -> None:
    middle = len(STREAM) // 2
    assert code_of(STREAM[:middle] + b"\xff\xc5" + STREAM[middle + 2 : -2]) == "truncated"


def test_packets_without_data_may_end_a_stream() -> None:
    """An image of one grey ends in them: bytes of 0x80."""
    flat = np.full((64, 48), 7, np.uint16)
    stream = ENCODERS[uid.JPEG2000Lossless](flat, 12)
    header = jpeg2000.read_header(stream)
    assert stream[-4:-2] == b"\x80\x80"
    assert jpeg2000.end_of_tiles(stream[:-2], header) == len(stream) - 2


def test_an_end_marker_within_the_length_of_a_tile_part_shows_lost_bytes() -> None:
    for lost in range(1, 9):
        assert code_of(STREAM[: -2 - lost] + STREAM[-2:]) == "truncated", lost
        assert code_of(STREAM[:-400] + STREAM[-400 + lost :]) == "truncated", lost


def test_the_header_says_size_bits_and_wavelets() -> None:
    header = jpeg2000.read_header(STREAM)
    assert (header.rows, header.cols, header.samples, header.bits) == (64, 48, 1, 12)
    assert (header.num_tiles, header.is_reversible, header.is_high_throughput) == (1, True, False)
    assert jpeg2000.end_of_tiles(STREAM, header) == len(STREAM) - 2
    with pytest.raises(ValueError, match="cut short"):
        jpeg2000.end_of_tiles(STREAM[:-9], header)
