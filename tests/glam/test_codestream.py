"""Codestreams and their fragments: read where nothing of the image is missing, `truncated` where something is."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.reading.codestream import (
    PROCESSES,
    Attempt,
    check_run_lengths,
    codestream,
    is_run_lengths,
    run_lengths,
)
from glam.reading.fragments import DELIMITER, ITEM, joined_fragments
from glam.reading.read import read_view
from tests.samples.answers import error_of, pixels_of
from tests.samples.mammograms import ENCODERS, breast_values, file_of, noisy_values

DELIMITER_BYTES = 8
TABLE = b"\xfe\xff\x00\xe0" + bytes(4)
"""An offset table with nothing in it."""
COMPRESSED = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS]
WITH_END = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS if syntax != uid.RLELossless]


def stream_of(syntax: str) -> bytes:
    return ENCODERS[syntax](noisy_values(syntax), 8 if syntax == uid.JPEGBaseline8Bit else 12)


def with_stream(syntax: str, stream: bytes, **changes: Any) -> bytes:
    return file_of(noisy_values(syntax), syntax, PixelData=encapsulate([stream]), **changes)


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize(
    "tail", [b"", b"\xfe\xff\xdd\xe0", b"\xfe\xff", bytes(8), bytes(3000), b"\xfe\xff\xdd\xe0\0\0"]
)
def test_a_compressed_file_is_read_without_its_delimiter_and_with_half_of_it_or_zeros(syntax: str, tail: bytes) -> None:
    data = file_of(noisy_values(syntax), syntax)
    np.testing.assert_array_equal(pixels_of(data[:-DELIMITER_BYTES] + tail), pixels_of(data))


@pytest.mark.parametrize("syntax", WITH_END)
@pytest.mark.parametrize("kept", [0, 1])
def test_a_codestream_is_read_without_its_end_marker(syntax: str, kept: int) -> None:
    stream = stream_of(syntax)
    assert stream.endswith(b"\xff\xd9")
    expected = pixels_of(with_stream(syntax, stream))
    np.testing.assert_array_equal(pixels_of(with_stream(syntax, stream[: len(stream) - 2 + kept])), expected)
    np.testing.assert_array_equal(pixels_of(with_stream(syntax, stream[:-2] + bytes(200))), expected)


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("tail", [bytes(4), bytes(200), bytes(5000)], ids=len)
def test_zeros_behind_the_end_of_a_codestream_are_padding(syntax: str, tail: bytes) -> None:
    stream = stream_of(syntax)
    np.testing.assert_array_equal(pixels_of(with_stream(syntax, stream + tail)), pixels_of(with_stream(syntax, stream)))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLSLossless])
def test_fill_bytes_may_stand_before_any_marker(syntax: str) -> None:
    stream = stream_of(syntax)
    frame = next(
        stream.index(marker) for marker in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc3", b"\xff\xf7") if marker in stream
    )
    filled = stream[:frame] + b"\xff" * 5 + stream[frame:-2] + b"\xff" * 3 + stream[-2:]
    np.testing.assert_array_equal(pixels_of(with_stream(syntax, filled)), pixels_of(with_stream(syntax, stream)))


def test_a_zero_before_the_end_of_a_jpeg_ls_stream_is_left_out() -> None:
    stream = stream_of(uid.JPEGLSLossless)
    odd = stream[:-2] + b"\0" + stream[-2:]
    np.testing.assert_array_equal(
        pixels_of(with_stream(uid.JPEGLSLossless, odd)), pixels_of(with_stream(uid.JPEGLSLossless, stream))
    )


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_copy_that_broke_off_and_was_filled_up_with_zeros_is_truncated(syntax: str) -> None:
    data = file_of(noisy_values(syntax), syntax)
    for share in (0.3, 0.5, 0.9, 0.99):
        end = int(share * len(data))
        assert error_of(data[:end] + bytes(len(data) - end)).code == "truncated", share


def test_restart_markers_do_not_hide_a_cut() -> None:
    """libjpeg goes on at the next restart, so that a stream may end just before one."""
    stream = BytesIO()
    Image.fromarray(noisy_values(uid.JPEGBaseline8Bit)).save(stream, "JPEG", quality=95, restart_marker_blocks=6)
    whole = stream.getvalue()
    expected = pixels_of(with_stream(uid.JPEGBaseline8Bit, whole))
    np.testing.assert_array_equal(pixels_of(with_stream(uid.JPEGBaseline8Bit, whole[:-2])), expected)
    for restart in range(0xD0, 0xD7):
        place = whole.index(bytes([0xFF, restart]))
        for end in (place, place + 1, place + 2):
            assert error_of(with_stream(uid.JPEGBaseline8Bit, whole[:end])).code == "truncated", (restart, end - place)


def test_a_missing_tile_is_a_cut() -> None:
    stream = BytesIO()
    Image.fromarray(noisy_values(uid.JPEGBaseline8Bit)).save(stream, "JPEG2000", no_jp2=True, tile_size=(32, 32))
    whole = stream.getvalue()

    def file_with(stream: bytes) -> bytes:
        return file_of(noisy_values(uid.JPEGBaseline8Bit), uid.JPEG2000, PixelData=encapsulate([stream]))

    np.testing.assert_array_equal(pixels_of(file_with(whole[:-2])), pixels_of(file_with(whole)))
    assert error_of(file_with(whole[: whole.rindex(b"\xff\x90\0\x0a")])).code == "truncated"


def test_a_tile_of_unknown_length_needs_the_end_marker() -> None:
    stream = bytearray(stream_of(uid.JPEG2000Lossless))
    length = stream.index(b"\xff\x90\0\x0a") + 6
    expected = pixels_of(with_stream(uid.JPEG2000Lossless, bytes(stream)))
    stream[length : length + 4] = bytes(4)
    np.testing.assert_array_equal(pixels_of(with_stream(uid.JPEG2000Lossless, bytes(stream))), expected)
    assert error_of(with_stream(uid.JPEG2000Lossless, bytes(stream[:-2]))).code == "truncated"


def item(data: bytes, fill: bytes = b"") -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data + fill


def test_fragments_are_joined_as_far_as_they_are_there() -> None:
    whole = encapsulate([b"\1\2\3\4"]) + DELIMITER + bytes(4)
    assert joined_fragments(whole)[:2] == (b"\1\2\3\4", True)
    assert joined_fragments(whole[:-8]) == joined_fragments(whole[:-8] + bytes(100))
    assert joined_fragments(whole[:-8])[:2] == (b"\1\2\3\4", False)
    assert joined_fragments(whole[:-10])[:2] == (b"\1\2", False)
    with pytest.raises(ValueError, match="empty"):
        joined_fragments(b"")


def test_an_offset_table_may_be_missing_and_a_fragment_may_have_an_odd_length() -> None:
    assert joined_fragments(item(b"\1\2\3\4\5\6") + item(b"\7")).data == b"\1\2\3\4\5\6\7"
    for table in (bytes(4), struct.pack("<I", 77), struct.pack("<III", 0, 100, 200)):  # right, wrong, of each fragment
        assert joined_fragments(item(table) + item(b"\1\2\3") + item(b"\4")).data == b"\1\2\3\4"
    assert joined_fragments(TABLE + item(b"\1\2\3", b"\0") + item(b"\4", b"\0")).data == b"\1\2\3\4"


def test_a_fragment_that_reaches_into_what_follows_it_ends_there() -> None:
    """Bytes of it are lost, and its length is as it was."""
    for behind in (item(b"\5\6"), DELIMITER + bytes(4), DELIMITER):
        rest = b"\5\6" if behind.startswith(ITEM) else b""
        for lost in range(1, 4):
            data = TABLE + item(b"\1\2\3\4")[:-lost] + behind
            assert joined_fragments(data).data == b"\1\2\3\4"[: 4 - lost] + rest, (behind, lost)
            assert joined_fragments(data).is_closed == behind.startswith(DELIMITER)
            assert joined_fragments(data).has_lost_bytes
    within = b"\1\2" + DELIMITER + bytes(4)
    assert joined_fragments(TABLE + item(within) + DELIMITER)[:2] == (within, True)
    assert joined_fragments(TABLE + item(within + b"\3"))[:2] == (within + b"\3", False)


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("lost", range(1, 13))
def test_bytes_lost_before_the_delimiter_are_no_part_of_it(syntax: str, lost: int) -> None:
    data = file_of(noisy_values(syntax), syntax)
    padding = len(data[:-DELIMITER_BYTES]) - len(data[:-DELIMITER_BYTES].rstrip(b"\0"))
    damaged = data[: -DELIMITER_BYTES - lost] + data[-DELIMITER_BYTES:]
    is_whole = lost <= padding + (0 if syntax == uid.RLELossless else 2)  # padding and the end marker
    if is_whole:
        np.testing.assert_array_equal(pixels_of(damaged), pixels_of(data))
    else:
        assert error_of(damaged).code == "truncated"


def test_the_last_byte_of_a_small_image_in_run_lengths_is_missed() -> None:
    pixels = np.random.default_rng(0).integers(1, 4096, (24, 20)).astype(np.uint16)
    data = file_of(pixels, uid.RLELossless)
    for lost in range(1, 9):
        assert error_of(data[: -DELIMITER_BYTES - lost] + data[-DELIMITER_BYTES:]).code == "truncated", lost


def test_zeros_at_the_end_are_dropped_where_the_file_broke_off() -> None:
    assert joined_fragments(TABLE + item(b"\1" + bytes(9)) + DELIMITER).compressed == b"\1" + bytes(9)
    assert joined_fragments(TABLE + item(b"\1" + bytes(9)) + bytes(8)).compressed == b"\1\0\0"


def test_a_codestream_says_its_size_and_its_syntax() -> None:
    for syntax, encode in ENCODERS.items():
        bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
        stream = codestream(encode(noisy_values(syntax), bits))
        if syntax == uid.RLELossless:
            assert stream is None
            continue
        assert stream is not None
        assert PROCESSES[stream.syntax] == PROCESSES[syntax]
        assert (stream.rows, stream.cols, stream.samples) == (64, 48, 1)
        assert bits <= stream.bits <= 16
        assert stream.is_lossy == (syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit))


def test_a_frame_in_several_fragments_is_one_frame() -> None:
    pixels = breast_values()
    stream = ENCODERS[uid.JPEG2000Lossless](pixels, 12)
    split = file_of(pixels, uid.JPEG2000Lossless, PixelData=encapsulate([stream], fragments_per_frame=3))
    np.testing.assert_array_equal(
        read_view(split, FrameConfig()).pixels, read_view(file_of(pixels), FrameConfig()).pixels
    )


def segments(*offsets: int, count: int, size: int) -> bytes:
    """A header of run lengths, PS3.5 G.5, and so many bytes of segments."""
    return struct.pack("<16I", count, *offsets, *[0] * (15 - len(offsets))) + b"\1" * (size - 64)


def test_run_lengths_are_told_by_their_header() -> None:
    assert is_run_lengths(segments(64, count=1, size=70))
    assert is_run_lengths(segments(64, 68, count=2, size=70))
    assert not is_run_lengths(segments(64, count=3, size=70))
    assert not is_run_lengths(segments(60, count=1, size=70))
    assert not is_run_lengths(segments(64, count=1, size=64))


def test_segments_of_run_lengths_lie_in_order_within_the_frame() -> None:
    check_run_lengths(segments(64, 68, count=2, size=70), segments=2)
    for offsets in ((68, 64), (64, 64), (64, 70), (60, 68)):
        with pytest.raises(ValueError, match="not where their offsets say"):
            check_run_lengths(segments(*offsets, count=2, size=70), segments=2)
    with pytest.raises(ValueError, match="not where their offsets say"):
        check_run_lengths(segments(64, count=1, size=70), segments=2)
    with pytest.raises(ValueError, match="cut short"):
        check_run_lengths(bytes(63), segments=1)


def test_run_lengths_are_tried_as_they_are_then_without_the_zeros_behind_them() -> None:
    assert run_lengths(b"\1\2") == (Attempt(b"\1\2"),)
    assert run_lengths(b"\1\0") == (Attempt(b"\1\0"), Attempt(b"\1"))
    assert run_lengths(b"\1" + bytes(9)) == (
        Attempt(b"\1" + bytes(9)),
        *(Attempt(b"\1" + bytes(kept)) for kept in (0, 1, 2)),
    )


def test_a_codestream_whose_header_is_cut_is_damaged_and_other_bytes_are_none() -> None:
    assert codestream(b"") is None
    assert codestream(b"\1\2\3\4") is None
    for stream in (b"\xff\xd8\xff\xc0\0\x0b", b"\xff\x4f\xff\x51\0\x29"):
        with pytest.raises(ValueError, match=r"cut short|no frame header"):
            codestream(stream)


def test_run_lengths_that_lost_any_byte_are_refused() -> None:
    pixels = noisy_values(uid.RLELossless)
    data = file_of(pixels, uid.RLELossless)
    start = data.rindex(b"\xfe\xff\0\xe0") + 8
    for place in (*range(start, len(data) - 8, 5), *range(len(data) - 140, len(data) - 8)):
        assert error_of(data[:place] + data[place + 1 :]).code == "truncated", place
