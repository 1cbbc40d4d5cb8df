"""Pixel data that is longer than the image: padding is left out, several frames and another geometry are refused."""

import struct
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, encapsulate_extended

from glam.config import FrameConfig
from glam.reading.decoders import ENCAPSULATED_NATIVE
from glam.reading.read import read_view
from tests.samples.answers import error_of, finding_codes, pixels_of
from tests.samples.mammograms import (
    ENCODERS,
    NATIVE,
    breast_values,
    encoded,
    file_of,
    mammogram,
    noisy_values,
    raw_element,
)

DELIMITER = b"\xfe\xff\xdd\xe0" + bytes(4)
COMPRESSED = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS]
UNCOMPRESSED = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in NATIVE]


def frames_of(syntax: str) -> list[np.ndarray]:
    """Three images of one size, each another one."""
    values = noisy_values(syntax)
    return [values, np.ascontiguousarray(values[::-1]), values // 2]


def streams_of(syntax: str) -> list[bytes]:
    return [ENCODERS[syntax](frame, 8 * frame.itemsize - 4 * (frame.itemsize - 1)) for frame in frames_of(syntax)]


def item(data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


def with_pixel_data(pixel_data: bytes, syntax: str = uid.ExplicitVRLittleEndian, **changes: Any) -> bytes:
    return file_of(noisy_values(syntax), syntax, PixelData=pixel_data, **changes)


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
@pytest.mark.parametrize("changes", [{}, {"NumberOfFrames": "1"}, {"NumberOfFrames": ""}], ids=str)
@pytest.mark.parametrize("count", [2, 3])
def test_values_of_several_frames_are_refused_and_read_from_files_of_their_own(
    syntax: str, changes: dict[str, str], count: int
) -> None:
    frames = frames_of(syntax)[:count]
    order = ">u2" if syntax == uid.ExplicitVRBigEndian else "<u2"
    data = b"".join(frame.astype(order).tobytes() for frame in frames)
    error = error_of(with_pixel_data(data, syntax, **changes))
    assert error.code == "multi_frame"
    assert f"length of {count} images" in error.message
    assert "one 2-D mammogram a file" in error.message
    for frame in frames:
        assert finding_codes(read_view(file_of(frame, syntax, **changes), FrameConfig())) == []


def test_frames_of_an_odd_number_of_bytes_are_counted_with_their_pad_byte() -> None:
    pixels = (breast_values(63, 47) >> 4).astype(np.uint8)
    data = pixels.tobytes()
    assert len(data) % 2
    for count in (2, 3):
        assert error_of(file_of(pixels, PixelData=data * count + bytes(count % 2))).code == "multi_frame"
    padded = read_view(file_of(pixels, PixelData=data + b"\0"), FrameConfig())
    assert finding_codes(padded) == []


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("changes", [{}, {"NumberOfFrames": "1"}], ids=str)
def test_compressed_frames_are_refused_with_and_without_an_offset_table(syntax: str, changes: dict[str, str]) -> None:
    streams = streams_of(syntax)
    extended, offsets, lengths = encapsulate_extended(streams)
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    files = (
        with_pixel_data(encapsulate(streams), syntax, **changes),
        with_pixel_data(encapsulate(streams, fragments_per_frame=2), syntax, **changes),
        with_pixel_data(encapsulate(streams, has_bot=False), syntax, **changes),
        with_pixel_data(extended, syntax, **tables, **changes),
        with_pixel_data(item(b"") + item(b"".join(streams)), syntax, **changes),
        with_pixel_data(item(bytes(4)) + item(streams[0]) + item(streams[1] + bytes(200)), syntax, **changes),
    )
    for number, data in enumerate(files):
        assert error_of(data).code == "multi_frame", number
    for frame, stream in zip(frames_of(syntax), streams, strict=True):
        np.testing.assert_array_equal(
            pixels_of(with_pixel_data(encapsulate([stream]), syntax, **changes)), pixels_of(file_of(frame, syntax))
        )


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_table_that_names_two_frames_is_refused_though_only_one_is_an_image(syntax: str) -> None:
    stream, *_ = streams_of(syntax)
    length = len(item(stream))
    tables = {"ExtendedOffsetTable": struct.pack("<QQ", 0, length)}
    for second in (item(bytes(40)), item(b"\1" * 40)):
        two = item(struct.pack("<II", 0, length)) + item(stream) + second
        assert error_of(with_pixel_data(two, syntax)).code == "multi_frame"
        assert error_of(with_pixel_data(item(b"") + item(stream) + second, syntax, **tables)).code == "multi_frame"


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_table_that_is_wrong_is_passed_over(syntax: str) -> None:
    """With the end of the frame as a second offset (dicom-rs did so), offsets from the table on, or of odd length."""
    frame, stream = frames_of(syntax)[0], streams_of(syntax)[0]
    end = len(item(stream))
    expected = pixels_of(file_of(frame, syntax))
    tables = {
        "end": struct.pack("<II", 0, end),
        "end without the fill byte": struct.pack("<II", 0, end - 1),
        "beyond the end": struct.pack("<II", 0, end + 1000),
        "from the table on": struct.pack("<II", 16, 16 + end),
        "odd length": bytes(6),
        "one offset and more": struct.pack("<IIH", 12, 0, 0),
    }
    for name, table in tables.items():
        data = with_pixel_data(item(table) + item(stream), syntax)
        np.testing.assert_array_equal(pixels_of(data), expected, err_msg=name)
        halves = item(stream[:80]) + item(stream[80:])
        np.testing.assert_array_equal(pixels_of(with_pixel_data(item(table) + halves, syntax)), expected, err_msg=name)
    extended = {"ExtendedOffsetTable": struct.pack("<QQ", 0, end)}
    data = with_pixel_data(item(b"") + item(stream), syntax, **extended)
    np.testing.assert_array_equal(pixels_of(data), expected)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_table_may_be_missing(syntax: str) -> None:
    frame, stream = frames_of(syntax)[0], streams_of(syntax)[0]
    expected = pixels_of(file_of(frame, syntax))
    for fragments in (item(stream), item(stream[:70]) + item(stream[70:])):
        np.testing.assert_array_equal(pixels_of(with_pixel_data(fragments, syntax)), expected)


@pytest.mark.parametrize("syntax", [syntax for syntax in ENCODERS if syntax != uid.RLELossless])
def test_a_table_that_lists_the_fragments_of_one_image_names_no_frames(syntax: str) -> None:
    stream, *_ = streams_of(syntax)
    parts = [item(stream[start : start + 200]) for start in range(0, len(stream), 200)]
    assert len(parts) > 2
    starts = [0, *accumulate(len(part) for part in parts[:-1])]
    listed = with_pixel_data(item(struct.pack(f"<{len(starts)}I", *starts)) + b"".join(parts), syntax)
    np.testing.assert_array_equal(pixels_of(listed), pixels_of(with_pixel_data(encapsulate([stream]), syntax)))


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_one_image_is_read_with_every_kind_of_table(syntax: str) -> None:
    stream, *_ = streams_of(syntax)
    expected = pixels_of(file_of(noisy_values(syntax), syntax))
    extended, offsets, lengths = encapsulate_extended([stream])
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    np.testing.assert_array_equal(pixels_of(with_pixel_data(extended, syntax, **tables)), expected)
    for table in (b"", bytes(4), bytes(8), struct.pack("<I", 8)):
        np.testing.assert_array_equal(pixels_of(with_pixel_data(item(table) + item(stream), syntax)), expected)


def test_uncompressed_frames_in_fragments_are_refused() -> None:
    frames = [frame.tobytes() for frame in frames_of(uid.ExplicitVRLittleEndian)]
    for pixel_data in (encapsulate(frames), encapsulate(frames, has_bot=False), item(b"") + item(b"".join(frames))):
        dataset = mammogram(None, uid.RLELossless, PixelData=pixel_data)
        assert error_of(encoded(dataset, ENCAPSULATED_NATIVE)).code == "multi_frame"


@pytest.mark.parametrize("written", [b"abc", b"0", b"1\\3", b"1\\1", b"-1", b"1.5", b"one", b"0.9"])
def test_a_number_of_frames_that_is_none_is_a_bad_value_and_may_be_left_out(written: bytes) -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless):
        dataset = mammogram(None, syntax)
        dataset["NumberOfFrames"] = raw_element("NumberOfFrames", written, "DS")
        error = error_of(encoded(dataset, syntax))
        assert (error.code, "NumberOfFrames" in error.message) == ("bad_value", True)
        del dataset["NumberOfFrames"]
        np.testing.assert_array_equal(pixels_of(encoded(dataset, syntax)), pixels_of(file_of(None, syntax)))


@pytest.mark.parametrize("written", [b"", b"1", b" 1", b"1.0", b"01", b"+1"])
def test_a_number_of_frames_that_is_one_or_empty_is_read(written: bytes) -> None:
    dataset = mammogram()
    dataset["NumberOfFrames"] = raw_element("NumberOfFrames", written, "DS")
    assert finding_codes(read_view(encoded(dataset), FrameConfig())) == []


@pytest.mark.parametrize("values", [breast_values(), noisy_values(uid.ExplicitVRLittleEndian)], ids=["clean", "noisy"])
@pytest.mark.parametrize(
    "changes",
    [
        {"Columns": 47},
        {"Columns": 46},
        {"Columns": 40},
        {"Columns": 24},
        {"Columns": 16},
        {"Rows": 63, "Columns": 47},
        {"Rows": 62, "Columns": 49},
        {"Rows": 20, "Columns": 96},
        {"Rows": 32, "Columns": 48, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    ],
    ids=str,
)
def test_rows_of_another_length_are_refused_and_read_with_the_right_header(
    values: np.ndarray, changes: dict[str, int]
) -> None:
    error = error_of(file_of(values, **changes))
    assert (error.code, "Columns or BitsAllocated" in error.message) == ("bad_value", True)
    right = dict(zip(("Rows", "Columns"), values.shape, strict=True)) | {
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
    }
    np.testing.assert_array_equal(pixels_of(file_of(values, **(changes | right))), pixels_of(file_of(values)))


@pytest.mark.parametrize("step", range(1, 41))
def test_a_sheared_image_is_refused_though_what_follows_it_is_black(step: int) -> None:
    values = breast_values(256, 192)
    values[200:] = 0
    assert error_of(file_of(values, Columns=192 - step)).code == "bad_value"


def test_colours_without_their_number_and_wide_words_are_refused() -> None:
    values = breast_values()
    assert error_of(file_of(values, PixelData=np.dstack([values] * 3).tobytes())).code == "bad_value"
    assert error_of(file_of(values, PixelData=values.astype("<u4").tobytes())).code == "bad_value"


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
@pytest.mark.parametrize(
    "padding",
    [bytes(2), bytes(64), bytes(128), bytes(500), bytes(4000), b"\xff" * 256, b"\x0f\x20" * 300, b"glam" * 20],
)
def test_padding_is_left_out_and_told(syntax: str, padding: bytes) -> None:
    for values in (breast_values(), noisy_values(syntax)):
        plain = file_of(values, syntax)
        data = values.astype(">u2" if syntax == uid.ExplicitVRBigEndian else "<u2").tobytes()
        view = read_view(file_of(values, syntax, PixelData=data + padding), FrameConfig())
        np.testing.assert_array_equal(view.pixels, pixels_of(plain))
        assert [(finding.code, finding.severity) for finding in view.findings] == [("excess_padding", "info")]


def test_more_than_a_row_that_is_no_padding_is_refused() -> None:
    values = noisy_values(uid.ExplicitVRLittleEndian)
    for num_rows in (1, 5, 30, 65):
        data = np.vstack([values, values[::-1], values])[: 64 + num_rows]
        error = error_of(file_of(values, PixelData=data.tobytes()))
        assert (error.code, f"{2 * 48 * num_rows} bytes" in error.message) == ("bad_value", True)


def test_values_of_undefined_length_end_at_their_delimiter() -> None:
    trailing = b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd"
    for syntax, delimiter in (
        (uid.ExplicitVRLittleEndian, DELIMITER),
        (uid.ExplicitVRBigEndian, b"\xff\xfe\xe0\xdd" + bytes(4)),
    ):
        data = file_of(None, syntax)
        place = data.index(b"\x7f\xe0\0\x10OW" if syntax == uid.ExplicitVRBigEndian else b"\xe0\x7f\x10\0OW") + 8
        undefined = data[:place] + b"\xff" * 4 + data[place + 4 :]
        for behind in (delimiter, delimiter + trailing, b""):
            view = read_view(undefined + behind, FrameConfig())
            np.testing.assert_array_equal(view.pixels, pixels_of(data))
            assert finding_codes(view) == []
        second = data[place + 4 :]
        assert error_of(undefined + second + delimiter + trailing).code == "multi_frame"
        assert finding_codes(read_view(undefined + bytes(40) + delimiter, FrameConfig())) == ["excess_padding"]


def test_half_a_word_of_swapped_bytes_is_missing() -> None:
    data = file_of((breast_values(63, 47) >> 4).astype(np.uint8), uid.ExplicitVRBigEndian)
    assert error_of(data[:-1]).code == "truncated"
