"""An element that a header has twice, with two values, is refused where it is read; pydicom keeps the last one."""

from collections.abc import Callable

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.answers import error_of
from tests.samples.mammograms import file_of

SYNTAXES = (ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian)
FileOf = Callable[..., bytes]


def with_second(data: bytes, element: bytes, second: bytes) -> bytes:
    """The file with a further element directly behind one."""
    assert data.count(element) == 1
    return data.replace(element, element + second)


def element(syntax: str, value: bytes, group: int = 0x20, number: int = 0x62, vr: bytes = b"CS") -> bytes:
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    tag = group.to_bytes(2, order) + number.to_bytes(2, order)
    if syntax == ImplicitVRLittleEndian:
        return tag + len(value).to_bytes(4, order) + value
    return tag + vr + len(value).to_bytes(2, order) + value


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("first", "second"), [(b"L ", b"R "), (b"L ", b""), (b"L ", b"B ")])
def test_a_side_that_stands_there_twice_is_refused(syntax: str, first: bytes, second: bytes) -> None:
    data = with_second(file_of(syntax=syntax), element(syntax, first), element(syntax, second))
    error = error_of(data)
    assert (error.code, "ImageLaterality" in error.message, "twice" in error.message) == ("bad_value", True, True)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_same_value_twice_is_one(syntax: str) -> None:
    view = read_view(with_second(file_of(syntax=syntax), element(syntax, b"L "), element(syntax, b"L ")), FrameConfig())
    assert (view.laterality, view.findings) == ("L", ())


def test_an_attribute_that_nothing_reads_may_stand_there_twice(file_of: FileOf) -> None:
    comments = [element(ExplicitVRLittleEndian, value, number=0x4000, vr=b"LT") for value in (b"AB", b"CD")]
    data = with_second(file_of(ImageComments="AB"), *comments)
    assert read_view(data, FrameConfig()).findings == ()
