"""What the pixel data is decides how it is read; the label of the file, the byte order and boxes around it do not."""

import struct
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.reading.read import read_view
from glam.view import View
from tests.samples.answers import error_of, finding_codes
from tests.samples.mammograms import ENCODERS, breast_values, encoded, file_of, mammogram

PLAIN = b"1.2.840.10008.1.2.1\0"
ENCAPSULATED_NATIVE = "1.2.840.10008.1.2.1.98"
STREAMS = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in ENCODERS]


def relabelled(data: bytes, old: str, new: str) -> bytes:
    """A file that names another transfer syntax, its pixels and everything else as they were."""
    before, after = (text.encode() + b"\0" * (len(text) % 2) for text in (old, new))
    place = data.index(b"\2\0\x10\0UI")
    assert data[place + 8 :].startswith(before)
    length = struct.unpack_from("<I", data, 140)[0] + len(after) - len(before)
    meta = data[:140] + struct.pack("<I", length) + data[144 : place + 6]
    return meta + struct.pack("<H", len(after)) + after + data[place + 8 + len(before) :]


def view_of(data: bytes) -> View:
    return read_view(data, FrameConfig())


def sample(syntax: str) -> tuple[np.ndarray, bytes]:
    pixels = breast_values()
    pixels = (pixels >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else pixels
    return pixels, file_of(pixels, syntax)


@pytest.mark.parametrize("syntax", STREAMS)
@pytest.mark.parametrize("label", [uid.ExplicitVRLittleEndian, uid.JPEGLossless, uid.JPEGBaseline8Bit, uid.JPEG2000])
def test_a_wrong_label_is_told_and_the_pixels_are_followed(syntax: str, label: str) -> None:
    _, data = sample(syntax)
    true, view = view_of(data), view_of(relabelled(data, syntax, label))
    np.testing.assert_array_equal(view.pixels, true.pixels)
    same_process = {syntax, label} <= {uid.JPEGLossless, uid.JPEGLosslessSV1} or {syntax, label} <= {
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
    }
    if syntax == label or same_process or {syntax, label} == {uid.JPEG2000, uid.JPEG2000Lossless}:
        assert "syntax_differs" not in finding_codes(view)
    else:
        assert "syntax_differs" in finding_codes(view)
        assert view.provenance["transfer_syntax"] != uid.UID(label).name
        assert view.provenance["decoder"] == true.provenance["decoder"]


@pytest.mark.parametrize("label", ENCODERS)
@pytest.mark.parametrize("shape", [(64, 48), (63, 47)])
def test_uncompressed_pixels_under_any_label_are_read(label: str, shape: tuple[int, int]) -> None:
    pixels = (breast_values(*shape) >> 4).astype(np.uint8)
    data = file_of(pixels)
    view = view_of(relabelled(data, uid.ExplicitVRLittleEndian, label))
    np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    assert "syntax_differs" in finding_codes(view)
    assert view.provenance["transfer_syntax"] == "Explicit VR Little Endian"


def test_uncompressed_pixels_under_another_label_are_truncated_where_cut_and_refused_where_too_many() -> None:
    data = relabelled(file_of(), uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless)
    assert error_of(data[:-3]).code == "truncated"
    longer = file_of(None, PixelData=breast_values().tobytes() + bytes(100))
    error = error_of(relabelled(longer, uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless))
    assert (error.code, "TransferSyntaxUID" in error.message) == ("bad_value", True)


@pytest.mark.parametrize("syntax", STREAMS)
def test_zeros_from_the_head_of_compressed_pixels_on_are_truncated(syntax: str) -> None:
    pixels, data = sample(syntax)
    head = data.rindex(b"\xe0\x7f\x10\x00OB")
    for end in range(head + 12, head + 40):
        for num_bytes in (len(data) - end, pixels.nbytes + 4096):
            assert error_of(data[:end] + bytes(num_bytes)).code == "truncated", (end - head, num_bytes)


def test_uncompressed_values_in_fragments_are_read() -> None:
    pixels = breast_values()
    fragments = file_of(pixels, uid.RLELossless, PixelData=encapsulate([pixels.tobytes()], fragments_per_frame=2))
    view = view_of(relabelled(fragments, uid.RLELossless, ENCAPSULATED_NATIVE))
    np.testing.assert_array_equal(view.pixels, view_of(file_of(pixels)).pixels)
    assert view.provenance["transfer_syntax"] == uid.UID(ENCAPSULATED_NATIVE).name
    assert "syntax_differs" not in finding_codes(view)
    cut = file_of(pixels, uid.RLELossless, PixelData=encapsulate([pixels.tobytes()[:-2]]))
    assert error_of(relabelled(cut, uid.RLELossless, ENCAPSULATED_NATIVE)).code == "truncated"


@pytest.mark.parametrize("syntax", [uid.ExplicitVRBigEndian, uid.ExplicitVRLittleEndian])
def test_a_label_filled_up_with_a_blank_is_the_same_label(syntax: str) -> None:
    data = file_of(None, syntax)
    filled_up = data.replace(syntax.encode() + b"\0", syntax.encode() + b" ", 1)
    assert filled_up != data
    np.testing.assert_array_equal(view_of(filled_up).pixels, view_of(data).pixels)
    assert finding_codes(view_of(filled_up)) == []


@pytest.mark.parametrize("written", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("label", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_how_a_header_is_written_decides_how_it_is_read(written: str, label: str) -> None:
    data = file_of(None, written)
    view = view_of(relabelled(data, written, label))
    np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    assert ("syntax_differs" in finding_codes(view)) == (
        uid.ExplicitVRBigEndian in {written, label} and written != label
    )


@pytest.mark.parametrize("syntax", STREAMS)
def test_compressed_pixels_under_the_label_of_uncompressed_fragments_are_read_and_told(syntax: str) -> None:
    _, data = sample(syntax)
    view = view_of(relabelled(data, syntax, ENCAPSULATED_NATIVE))
    np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    assert finding_codes(view).count("syntax_differs") == 1


@pytest.mark.parametrize("syntax", STREAMS)
def test_compressed_pixels_without_fragments_under_a_plain_label_are_read_and_told(syntax: str) -> None:
    pixels, data = sample(syntax)
    stream = ENCODERS[syntax](pixels, 8 * pixels.dtype.itemsize if pixels.dtype == np.uint8 else 12)
    view = view_of(file_of(pixels, PixelData=stream + b"\0" * (len(stream) % 2)))
    np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    assert "syntax_differs" in finding_codes(view)


def test_uncompressed_fragments_under_the_label_of_run_lengths_are_read_and_told() -> None:
    pixels = breast_values()
    view = view_of(file_of(pixels, uid.RLELossless, PixelData=encapsulate([pixels.tobytes()])))
    np.testing.assert_array_equal(view.pixels, view_of(file_of(pixels)).pixels)
    assert finding_codes(view) == ["syntax_differs"]


FOREIGN = {b"\x89PNG\r\n\x1a\n": "a PNG file", b"II*\0": "a TIFF file", b"\xff\x0a": "JPEG XL", b"GIF89a": "a GIF file"}


@pytest.mark.parametrize("start", FOREIGN)
@pytest.mark.parametrize("label", [uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGBaseline8Bit, ENCAPSULATED_NATIVE])
def test_another_file_in_place_of_pixel_data_is_named_and_not_called_damage(start: bytes, label: str) -> None:
    pixels, _ = sample(uid.JPEGBaseline8Bit)
    data = file_of(pixels, uid.JPEGBaseline8Bit, PixelData=encapsulate([start + bytes(range(200))]))
    error = error_of(relabelled(data, uid.JPEGBaseline8Bit, label))
    assert (error.code, FOREIGN[start] in error.message) == ("unsupported_syntax", True)
    view_of(file_of(pixels))  # the way out: uncompressed


@pytest.mark.parametrize("said", ["MONOCHROME", "MONOCHROME3", "GREY", ["MONOCHROME2", "MONOCHROME1"]])
def test_a_photometric_interpretation_that_is_none_is_not_called_colour(said: Any) -> None:
    error = error_of(file_of(None, PhotometricInterpretation=said))
    assert (error.code, "PhotometricInterpretation" in error.message) == ("bad_value", True)
    assert error_of(file_of(None, PhotometricInterpretation="YBR_FULL")).code == "not_monochrome"


def boxed(stream: bytes, *, length: int | None = None, extended: bool = False) -> bytes:
    """A JP2 file by hand: signature, type, an empty header, and the codestream in its box."""
    size = len(stream) + 8 if length is None else length
    start = struct.pack(">I4sQ", 1, b"jp2c", size + 8) if extended else struct.pack(">I4s", size, b"jp2c")
    kind = struct.pack(">I4s4sI4s", 20, b"ftyp", b"jp2 ", 0, b"jp2 ")
    return b"\0\0\0\x0cjP  \r\n\x87\n" + kind + struct.pack(">I4s", 8, b"jp2h") + start + stream


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.HTJ2KLossless])
def test_the_boxes_of_a_jp2_file_are_taken_off(syntax: str) -> None:
    pixels, data = sample(syntax)
    stream = ENCODERS[syntax](pixels, 12)
    whole = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="JP2", bitspersample=12))
    trailing = boxed(stream) + struct.pack(">I4s", 12, b"uuid") + bytes(4)
    for boxes in (whole, boxed(stream), boxed(stream, length=0), boxed(stream, extended=True), trailing):
        view = view_of(file_of(pixels, syntax, PixelData=encapsulate([boxes])))
        np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    cut = boxed(stream)[: len(boxed(stream)) // 2]
    assert error_of(file_of(pixels, syntax, PixelData=encapsulate([cut]))).code == "truncated"
    empty = boxed(stream)[:40] + struct.pack(">I4s", 8, b"free")
    assert error_of(file_of(pixels, syntax, PixelData=encapsulate([empty]))).code == "truncated"


def test_a_codestream_without_fragments_around_it_is_read() -> None:
    pixels, data = sample(uid.JPEGLosslessSV1)
    stream = ENCODERS[uid.JPEGLosslessSV1](pixels, 12)
    bare = relabelled(file_of(pixels, PixelData=stream), uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1)
    np.testing.assert_array_equal(view_of(bare).pixels, view_of(data).pixels)


def test_values_of_undefined_length_are_read_as_far_as_they_go() -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\0OW") + 8
    undefined = data[:place] + b"\xff" * 4 + data[place + 4 :] + b"\xfe\xff\xdd\xe0\0\0\0\0"
    np.testing.assert_array_equal(view_of(undefined).pixels, view_of(data).pixels)
    assert error_of(undefined[:-20]).code == "truncated"


@pytest.mark.parametrize("vr", [b"OB", b"UN", b"US"])
def test_the_vr_of_the_pixels_does_not_matter(vr: bytes) -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\0OW")
    length = data[place + 6 : place + 12] if vr != b"US" else data[place + 8 : place + 10]
    written = data[: place + 4] + vr + length + data[place + 12 :]
    np.testing.assert_array_equal(view_of(written).pixels, view_of(data).pixels)


def test_the_command_set_of_a_message_before_the_data_set_is_passed_over() -> None:
    data = file_of()
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    command = struct.pack("<HHII", 0, 0, 4, 10) + struct.pack("<HHIH", 0, 0x100, 2, 1)
    np.testing.assert_array_equal(view_of(data[:start] + command + data[start:]).pixels, view_of(data).pixels)


def test_an_icon_with_fragments_of_its_own_is_not_taken_for_the_image() -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.add_new(0x7FE00010, "OB", encapsulate([ENCODERS[uid.JPEGBaseline8Bit](np.zeros((8, 8), np.uint8), 8)]))
    icon["PixelData"].is_undefined_length = True
    _, plain = sample(uid.JPEGLosslessSV1)
    for undefined in (False, True):
        dataset = mammogram(None, uid.JPEGLosslessSV1, IconImageSequence=[icon])
        dataset["IconImageSequence"].is_undefined_length = undefined
        data = encoded(dataset, uid.JPEGLosslessSV1)
        np.testing.assert_array_equal(view_of(data).pixels, view_of(plain).pixels)


def test_lossy_is_told_once_by_the_codestream_whatever_the_header_says() -> None:
    pixels = breast_values()
    narrow = (pixels >> 4).astype(np.uint8)
    near = bytes(imagecodecs.jpegls_encode(pixels, level=3))
    wavelets = bytes(imagecodecs.jpeg2k_encode(pixels, level=40, reversible=False, codecformat="J2K"))
    whole = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="J2K"))
    cases: list[tuple[np.ndarray, str, dict[str, Any], bool]] = [
        (narrow, uid.JPEGBaseline8Bit, {}, True),
        (pixels, uid.JPEGExtended12Bit, {}, True),
        (pixels, uid.JPEGLSNearLossless, {"PixelData": encapsulate([near])}, True),
        (pixels, uid.JPEGLSNearLossless, {}, False),
        (pixels, uid.JPEG2000, {"PixelData": encapsulate([wavelets])}, True),
        (pixels, uid.JPEG2000, {"PixelData": encapsulate([whole])}, False),
        (pixels, uid.JPEGLosslessSV1, {}, False),
    ]
    for values, syntax, changes, is_lossy in cases:
        for said in (None, "00", "01"):
            view = view_of(file_of(values, syntax, LossyImageCompression=said, **changes))
            assert finding_codes(view).count("lossy") == (is_lossy or said == "01"), (syntax, said)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG"])
def test_a_file_that_is_dicom_behind_a_picture_in_its_preamble_is_dicom(kind: str) -> None:
    stream = BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, kind)
    preamble = stream.getvalue()[:128].ljust(128, b"\0")
    view = view_of(preamble + file_of()[128:])
    np.testing.assert_array_equal(view.pixels, view_of(file_of()).pixels)
    assert (view.is_mg, view.patient_id) == (True, "SECRET")


def test_a_bare_data_set_of_compressed_pixels_is_read() -> None:
    data = file_of(None, uid.JPEGLSLossless)
    bare = data[144 + struct.unpack_from("<I", data, 140)[0] :]
    view = view_of(bare)
    np.testing.assert_array_equal(view.pixels, view_of(data).pixels)
    assert finding_codes(view) == ["no_preamble"]


def test_the_reason_of_a_file_without_an_image_is_told_before_its_view() -> None:
    assert error_of(file_of(None, PixelData=None, ViewPosition=None)).code == "truncated"
    assert error_of(file_of(None, PixelData=None, Modality=None, SOPClassUID="1.2.3")).code == "truncated"


def test_the_height_of_a_jpeg_behind_its_values_is_refused_by_name() -> None:
    pixels, _ = sample(uid.JPEGBaseline8Bit)
    stream = ENCODERS[uid.JPEGBaseline8Bit](pixels, 8)
    place = stream.index(b"\xff\xc0") + 5
    behind = b"\xff\xdc\0\4" + struct.pack(">H", 64)
    late = stream[:place] + bytes(2) + stream[place + 2 : -2] + behind + stream[-2:]
    error = error_of(file_of(pixels, uid.JPEGBaseline8Bit, PixelData=encapsulate([late])))
    assert error.code == "unsupported_syntax"
    assert "DNL" in error.message
    assert "send it uncompressed" in error.message
    told_twice = file_of(pixels, uid.JPEGBaseline8Bit, PixelData=encapsulate([stream[:-2] + behind + stream[-2:]]))
    expected = view_of(file_of(pixels, uid.JPEGBaseline8Bit)).pixels
    np.testing.assert_array_equal(view_of(told_twice).pixels, expected)
