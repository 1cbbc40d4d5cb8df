"""Files that end too early or too late: read where nothing of the image is missing, `truncated` where something is."""

import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.header import quiet_pydicom
from glam.reading.parse import parse
from glam.reading.pixels import stored_pixels
from glam.reading.read import read_view
from tests.samples.mammograms import ENCODERS, NATIVE, SYNTAXES, breast_values, encoded, file_of, mammogram

DELIMITER_BYTES = 8
COMPRESSED = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS]
WITH_END = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS if syntax != uid.RLELossless]
EVERY = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in SYNTAXES]


def noisy(syntax: str) -> np.ndarray:
    """A breast with noise in it, and around it: no byte of the last ones can be guessed."""
    values = breast_values().astype(int) + np.random.default_rng(0).integers(0, 60, (64, 48))
    pixels = np.clip(values, 0, 4095).astype(np.uint16)
    return (pixels >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else pixels


def stream_of(syntax: str) -> bytes:
    return ENCODERS[syntax](noisy(syntax), 8 if syntax == uid.JPEGBaseline8Bit else 12)


def with_stream(syntax: str, stream: bytes, **changes: Any) -> bytes:
    return file_of(noisy(syntax), syntax, PixelData=encapsulate([stream]), **changes)


def pixels_of(source: Any) -> np.ndarray:
    return read_view(source, FrameConfig()).pixels


def code_of(source: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_view(source, FrameConfig())
    return caught.value.code


def outcome(source: Any) -> tuple[str, np.ndarray | None]:
    """The code of the error, or the pixels."""
    try:
        return "", pixels_of(source)
    except InputError as error:
        return error.code, None


def sources_of(data: bytes, folder: Path) -> Iterator[Any]:
    """The same bytes as path, as text, in memory, and in streams of every usual kind."""
    path = folder / "image.dcm"
    path.write_bytes(data)
    yield from (path, str(path), data, bytearray(data), memoryview(data), BytesIO(data))
    with tempfile.TemporaryFile() as on_disk, tempfile.SpooledTemporaryFile(max_size=10**9) as spooled:
        for stream in (on_disk, spooled):
            stream.write(data)
            stream.seek(0)
            yield stream
    with path.open("rb") as stream:
        yield stream


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize(
    "tail", [b"", b"\xfe\xff\xdd\xe0", b"\xfe\xff", bytes(8), bytes(3000), b"\xfe\xff\xdd\xe0\0\0"]
)
def test_a_compressed_file_is_read_without_its_delimiter_and_with_half_of_it_or_zeros(syntax: str, tail: bytes) -> None:
    data = file_of(noisy(syntax), syntax)
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


@pytest.mark.parametrize("syntax", EVERY)
def test_a_file_cut_anywhere_is_truncated_or_has_all_its_pixels(syntax: str) -> None:
    data = file_of(noisy(syntax), syntax)
    expected, is_native = pixels_of(data), syntax in NATIVE
    near_the_end = range(max(200, len(data) - 40), len(data))
    for end in (*range(140, len(data), len(data) // 60), *near_the_end):
        code, pixels = outcome(data[:end])
        if pixels is None:
            assert code == "truncated", end
        else:
            assert not is_native or end >= len(data) - 1
            np.testing.assert_array_equal(pixels, expected, err_msg=str(end))


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_copy_that_broke_off_and_was_filled_up_with_zeros_is_truncated(syntax: str) -> None:
    data = file_of(noisy(syntax), syntax)
    for share in (0.3, 0.5, 0.9, 0.99):
        end = int(share * len(data))
        assert code_of(data[:end] + bytes(len(data) - end)) == "truncated", share


def test_a_cut_has_the_same_code_from_every_source(tmp_path: Path) -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.DeflatedExplicitVRLittleEndian):
        data = file_of(noisy(syntax), syntax)
        for end in (300, len(data) // 2, int(0.9 * len(data)), int(0.99 * len(data))):
            assert {code_of(source) for source in sources_of(data[:end], tmp_path)} == {"truncated"}
        whole = [pixels_of(source) for source in sources_of(data, tmp_path)]
        assert all(np.array_equal(pixels, whole[0]) for pixels in whole)


def small_file(syntax: str) -> bytes:
    """A whole file of 8 x 8 pixels; a compressed one has a basic offset table."""
    pixels = noisy(syntax)[24:32, :8]
    if syntax in NATIVE:
        return file_of(pixels, syntax)
    stream = ENCODERS[syntax](pixels, 8 * pixels.dtype.itemsize if syntax == uid.JPEGBaseline8Bit else 12)
    return file_of(pixels, syntax, PixelData=encapsulate([stream], has_bot=True))


def stored_of(data: bytes) -> np.ndarray:
    with quiet_pydicom():
        return stored_pixels(parse(data)).values


def without_preamble(data: bytes, *, with_meta: bool) -> bytes:
    return data[132:] if with_meta else data[144 + int.from_bytes(data[140:144], "little") :]


CUT_SYNTAXES = (*NATIVE, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.RLELossless)
CUT = [(syntax, start) for syntax in CUT_SYNTAXES for start in ("preamble", "meta")]
BARE = [(syntax, "data set") for syntax in NATIVE[:3]]


@pytest.mark.parametrize(("syntax", "start"), [*CUT, *BARE])
def test_a_file_cut_at_any_byte_is_truncated(syntax: str, start: str) -> None:
    whole = small_file(syntax)
    data = whole if start == "preamble" else without_preamble(whole, with_meta=start == "meta")
    expected = stored_of(data)
    first_bytes = 132 if start == "preamble" else 8
    for end in range(len(data)):
        code, _ = outcome(data[:end])
        if code in ("", "no_breast"):  # so small an image shows no breast; what counts is its pixels
            np.testing.assert_array_equal(stored_of(data[:end]), expected, err_msg=str(end))
        else:
            assert code == "truncated" or (code == "not_dicom" and end < first_bytes), end


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1"])
def test_a_whole_report_or_presentation_state_has_no_pixel_data(sop_class: str) -> None:
    no_image = {"Rows": None, "Columns": None, "BitsAllocated": None, "PixelData": None}
    assert code_of(file_of(None, SOPClassUID=sop_class, Modality="SR", **no_image)) == "no_pixel_data"


def test_an_image_without_pixel_data_names_both_reasons() -> None:
    with pytest.raises(InputError, match="cut short, or was written without an image") as caught:
        read_view(file_of(None, PixelData=None), FrameConfig())
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("undefined", [False, True])
def test_a_file_that_ends_within_a_sequence_is_truncated(undefined: bool) -> None:
    head = encoded(mammogram(PixelData=None, **{"Rows": None, "Columns": None}))
    item = b"\x08\x00\x00\x01SH\4\0CODE"
    length = b"\xff" * 4 if undefined else (len(item) + 8).to_bytes(4, "little")
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b""
    sequence = b"\x54\0\x20\2SQ\0\0" + length + b"\xfe\xff\0\xe0" + len(item).to_bytes(4, "little") + item + end
    for kept in range(1, len(sequence) + 1):
        assert code_of(head + sequence[:kept]) == "truncated", kept


def test_an_element_without_end_before_the_pixels_is_truncated() -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\0")
    private = b"\x29\0\x10\x10OB\0\0\xff\xff\xff\xff" + b"\1\2\3\4"
    assert code_of(data[:place] + private + data[place:]) == "truncated"


def test_restart_markers_do_not_hide_a_cut() -> None:
    """libjpeg goes on at the next restart, so that a stream may end just before one."""
    stream = BytesIO()
    Image.fromarray(noisy(uid.JPEGBaseline8Bit)).save(stream, "JPEG", quality=95, restart_marker_blocks=6)
    whole = stream.getvalue()
    expected = pixels_of(with_stream(uid.JPEGBaseline8Bit, whole))
    np.testing.assert_array_equal(pixels_of(with_stream(uid.JPEGBaseline8Bit, whole[:-2])), expected)
    for restart in range(0xD0, 0xD7):
        place = whole.index(bytes([0xFF, restart]))
        for end in (place, place + 1, place + 2):
            assert code_of(with_stream(uid.JPEGBaseline8Bit, whole[:end])) == "truncated", (restart, end - place)


def test_a_missing_tile_is_a_cut() -> None:
    stream = BytesIO()
    Image.fromarray(noisy(uid.JPEGBaseline8Bit)).save(stream, "JPEG2000", no_jp2=True, tile_size=(32, 32))
    whole = stream.getvalue()

    def file_with(stream: bytes) -> bytes:
        return file_of(noisy(uid.JPEGBaseline8Bit), uid.JPEG2000, PixelData=encapsulate([stream]))

    np.testing.assert_array_equal(pixels_of(file_with(whole[:-2])), pixels_of(file_with(whole)))
    assert code_of(file_with(whole[: whole.rindex(b"\xff\x90\0\x0a")])) == "truncated"


def test_a_tile_of_unknown_length_needs_the_end_marker() -> None:
    stream = bytearray(stream_of(uid.JPEG2000Lossless))
    length = stream.index(b"\xff\x90\0\x0a") + 6
    expected = pixels_of(with_stream(uid.JPEG2000Lossless, bytes(stream)))
    stream[length : length + 4] = bytes(4)
    np.testing.assert_array_equal(pixels_of(with_stream(uid.JPEG2000Lossless, bytes(stream))), expected)
    assert code_of(with_stream(uid.JPEG2000Lossless, bytes(stream[:-2]))) == "truncated"


def test_the_pad_byte_of_an_odd_number_of_pixels_may_be_missing() -> None:
    pixels = (breast_values(63, 47) >> 4).astype(np.uint8)
    data = file_of(pixels)
    assert len(pixels.tobytes()) % 2
    np.testing.assert_array_equal(pixels_of(data[:-1]), pixels_of(data))
    assert code_of(data[:-2]) == "truncated"


def test_a_deflated_data_set_may_have_the_header_of_zlib() -> None:
    import zlib

    data = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(data[140:144], "little")
    with_header = data[:start] + zlib.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    np.testing.assert_array_equal(pixels_of(with_header), pixels_of(data))
    assert code_of(with_header[:-30]) == "truncated"
