"""Files, bytes and streams -> data sets: what is read, what is refused, and how much of it is held in memory."""

import tracemalloc
import warnings
import zlib
from io import BytesIO, RawIOBase
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading import deflate
from glam.reading.read import read_view
from tests.samples.answers import error_of, pixels_of
from tests.samples.mammograms import SECRET, breast_values, encoded, file_of, mammogram

HEADER_BYTES = 132


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
        assert error_of(other).code == "not_dicom"
    assert error_of(data[: len(data) // 2]).code == "truncated"


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
    monkeypatch.setattr(deflate, "MAX_BYTES", 1_000_000)
    bomb = deflated(bytes(500_000_000))
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    error = error_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.code == "too_large"
    assert error.message.startswith("the inflated data set is too large, over 1 MB: send ")
    assert peak < 10_000_000


def test_a_deflated_file_that_is_cut_short_or_damaged_is_truncated() -> None:
    data = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    assert error_of(data[:-20]).code == "truncated"
    assert error_of(deflated(b"")[:-2] + b"\xff\xff\xff\xff").code == "truncated"


def test_a_file_over_the_byte_limit_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = file_of()
    (tmp_path / "image.dcm").write_bytes(data)
    monkeypatch.setattr("glam.reading.source.MAX_BYTES", len(data) - 1)
    for source in (data, BytesIO(data), tmp_path / "image.dcm"):
        with pytest.raises(InputError, match="the file is too large, over 0 MB"):
            read_view(source, FrameConfig())
    monkeypatch.setattr("glam.reading.source.MAX_BYTES", len(data))
    assert read_view(data, FrameConfig()).view == "CC"


def test_nesting_without_end_is_a_damaged_file() -> None:
    head = encoded(mammogram(PixelData=None))
    sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert error_of(head + sequence * 3000).code == "truncated"


def test_an_implicit_file_with_an_overlong_identifier_raises_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing it warns
        data = file_of(None, uid.ImplicitVRLittleEndian, PatientID=SECRET * 20, StudyInstanceUID="not a uid")
    assert read_view(data, FrameConfig()).patient_id == SECRET * 20


def test_the_values_are_those_of_the_file() -> None:
    assert np.array_equal(read_view(file_of(), FrameConfig()).pixels > 0, breast_values() > 0)


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


def test_a_deflated_data_set_may_have_the_header_of_zlib() -> None:
    data = file_of(None, uid.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(data[140:144], "little")
    with_header = data[:start] + zlib.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    np.testing.assert_array_equal(pixels_of(with_header), pixels_of(data))
    assert error_of(with_header[:-30]).code == "truncated"
