"""A file that is cut anywhere is truncated or has all its pixels, the same from every source."""

import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.findings import InputError
from glam.reading import parse
from glam.reading.header import quiet_pydicom
from glam.reading.pixels import stored_pixels
from tests.samples.answers import error_of, pixels_of
from tests.samples.mammograms import ENCODERS, NATIVE, SYNTAXES, encoded, file_of, mammogram, noisy_values


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
            assert {error_of(source).code for source in sources_of(data[:end], tmp_path)} == {"truncated"}
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
        assert error_of(head + sequence[:kept]).code == "truncated", kept


def test_an_element_without_end_before_the_pixels_is_truncated() -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\0")
    private = b"\x29\0\x10\x10OB\0\0\xff\xff\xff\xff" + b"\1\2\3\4"
    assert error_of(data[:place] + private + data[place:]).code == "truncated"


def test_a_file_that_ends_within_an_element_is_truncated() -> None:
    data = file_of()
    place = data.index(b"\xe0\x7f\x10\x00OW")
    for end in range(place + 1, place + 12):
        assert error_of(data[:end]).code == "truncated"
