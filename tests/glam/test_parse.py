import tempfile
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading import parse
from glam.reading.header import quiet_pydicom
from glam.reading.pixels import stored_pixels
from glam.reading.read import read_view
from tests.samples.mammograms import (
    ENCODERS,
    NATIVE,
    SECRET,
    SYNTAXES,
    breast_values,
    encoded,
    file_of,
    mammogram,
    noisy_values,
)

HEADER_BYTES = 132


def code_of(data: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_view(data, FrameConfig())
    assert SECRET not in str(caught.value)
    return caught.value.code


def deflated(content: bytes) -> bytes:
    """A file whose data set is `content`, deflated."""
    whole = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    meta = whole[: 132 + 12 + int.from_bytes(whole[140:144], "little")]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta + squeeze.compress(content) + squeeze.flush()


def test_bytes_path_and_stream_give_the_same_view(tmp_path: Path) -> None:
    data = file_of()
    path = tmp_path / "image.dcm"
    path.write_bytes(data)
    with path.open("rb") as stream:
        views = [
            read_view(data, FrameConfig()),
            read_view(path, FrameConfig()),
            read_view(stream, FrameConfig()),
            read_view(BytesIO(data), FrameConfig()),
        ]
    for view in views[1:]:
        np.testing.assert_array_equal(view.pixels, views[0].pixels)
        assert (view.provenance, view.findings) == (views[0].provenance, views[0].findings)


def test_what_is_no_dicom_is_told_from_what_is_broken() -> None:
    data = file_of()
    for other in (b"", b"GIF89a" + bytes(300), b"\x08", b"PK\x03\x04" * 100, bytes(400)):
        assert code_of(other) == "not_dicom"
    assert code_of(data[: len(data) // 2]) == "truncated"


@pytest.mark.parametrize("start", [HEADER_BYTES, None], ids=["with file meta", "without"])
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_file_without_its_preamble_is_read_and_told(syntax: str, start: int | None) -> None:
    data = file_of(None, syntax)
    if start is None:
        start = HEADER_BYTES + 12 + int.from_bytes(data[140:144], "little")
    view, whole = read_view(data[start:], FrameConfig()), read_view(data, FrameConfig())
    np.testing.assert_array_equal(view.pixels, whole.pixels)
    assert [finding.code for finding in view.findings] == ["no_preamble"]
    assert whole.findings == ()


def test_a_bomb_is_too_large_and_never_inflated_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "MAX_BYTES", 1_000_000)
    bomb = deflated(bytes(500_000_000))
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    code = code_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == "too_large"
    assert peak < 10_000_000


def test_a_deflated_file_that_is_cut_short_or_damaged_is_truncated() -> None:
    data = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    assert code_of(data[:-20]) == "truncated"
    assert code_of(deflated(b"")[:-2] + b"\xff\xff\xff\xff") == "truncated"


def test_a_file_over_the_byte_limit_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = file_of()
    (tmp_path / "image.dcm").write_bytes(data)
    monkeypatch.setattr(parse, "MAX_BYTES", len(data) - 1)
    for source in (data, BytesIO(data), tmp_path / "image.dcm"):
        with pytest.raises(InputError, match="the limit is"):
            read_view(source, FrameConfig())
    monkeypatch.setattr(parse, "MAX_BYTES", len(data))
    assert read_view(data, FrameConfig()).view == "CC"


def test_nesting_without_end_is_a_damaged_file() -> None:
    head = encoded(mammogram(PixelData=None))
    sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert code_of(head + sequence * 3000) == "truncated"


def test_an_implicit_file_with_an_overlong_identifier_raises_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing it warns
        data = file_of(None, uid.ImplicitVRLittleEndian, PatientID=SECRET * 20, StudyInstanceUID="not a uid")
    assert read_view(data, FrameConfig()).patient_id == SECRET * 20


def test_the_values_are_those_of_the_file() -> None:
    assert np.array_equal(read_view(file_of(), FrameConfig()).pixels > 0, breast_values() > 0)


def test_a_file_that_ends_within_an_element_is_truncated() -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\x00OW")
    for end in range(place + 1, place + 12):
        assert code_of(data[:end]) == "truncated"


class Drip(RawIOBase):
    """A raw stream that hands out a few bytes at a time, as a pipe or a socket without a buffer does."""

    def __init__(self, data: bytes) -> None:
        self.rest = BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.rest.read(min(size, 1000))


def test_a_raw_stream_that_reads_in_parts_is_read_whole() -> None:
    data = file_of()
    assert len(data) > 1000
    dripped = read_view(Drip(data), FrameConfig())  # type: ignore[arg-type]
    np.testing.assert_array_equal(dripped.pixels, read_view(data, FrameConfig()).pixels)


def test_a_stream_that_cannot_be_rewound_is_read() -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError("a pipe has no places")

        def tell(self) -> int:
            raise OSError("a pipe has no places")

    expected = read_view(file_of(), FrameConfig()).pixels
    assert np.array_equal(read_view(Pipe(file_of()), FrameConfig()).pixels, expected)


def pixels_of(source: Any) -> np.ndarray:
    return read_view(source, FrameConfig()).pixels


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


EVERY = [pytest.param(syntax, id=uid.UID(syntax).name) for syntax in SYNTAXES]


@pytest.mark.parametrize("syntax", EVERY)
def test_a_file_cut_anywhere_is_truncated_or_has_all_its_pixels(syntax: str) -> None:
    data = file_of(noisy_values(syntax), syntax)
    expected, is_native = pixels_of(data), syntax in NATIVE
    near_the_end = range(max(200, len(data) - 40), len(data))
    for end in (*range(140, len(data), len(data) // 60), *near_the_end):
        code, pixels = outcome(data[:end])
        if pixels is None:
            assert code == "truncated", end
        else:
            assert not is_native or end >= len(data) - 1
            np.testing.assert_array_equal(pixels, expected, err_msg=str(end))


def test_a_cut_has_the_same_code_from_every_source(tmp_path: Path) -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.DeflatedExplicitVRLittleEndian):
        data = file_of(noisy_values(syntax), syntax)
        for end in (300, len(data) // 2, int(0.9 * len(data)), int(0.99 * len(data))):
            assert {code_of(source) for source in sources_of(data[:end], tmp_path)} == {"truncated"}
        whole = [pixels_of(source) for source in sources_of(data, tmp_path)]
        assert all(np.array_equal(pixels, whole[0]) for pixels in whole)


def small_file(syntax: str) -> bytes:
    """A whole file of 8 x 8 pixels; a compressed one has a basic offset table."""
    pixels = noisy_values(syntax)[24:32, :8]
    if syntax in NATIVE:
        return file_of(pixels, syntax)
    stream = ENCODERS[syntax](pixels, 8 * pixels.dtype.itemsize if syntax == uid.JPEGBaseline8Bit else 12)
    return file_of(pixels, syntax, PixelData=encapsulate([stream], has_bot=True))


def stored_of(data: bytes) -> np.ndarray:
    with quiet_pydicom():
        return stored_pixels(parse.parse(data)).values


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


def test_a_deflated_data_set_may_have_the_header_of_zlib() -> None:
    import zlib

    data = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(data[140:144], "little")
    with_header = data[:start] + zlib.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    np.testing.assert_array_equal(pixels_of(with_header), pixels_of(data))
    assert code_of(with_header[:-30]) == "truncated"
