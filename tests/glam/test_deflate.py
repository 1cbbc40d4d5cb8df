"""Deflated data sets: damage that the length of what is inflated shows, and labels that say otherwise."""

import struct
import zlib

import numpy as np
import pytest
from pydicom import uid

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.answers import error_of, finding_codes, pixels_of
from tests.samples.mammograms import encoded, file_of, mammogram, noisy_values

DEFLATED = uid.DeflatedExplicitVRLittleEndian
PLAIN = uid.ExplicitVRLittleEndian


def parts(data: bytes) -> tuple[bytes, bytes]:
    """A file up to its data set, and the data set as it was written."""
    end = 144 + struct.unpack_from("<I", data, 140)[0]
    return data[:end], data[end:]


def deflated(dataset: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(dataset) + squeeze.flush()


def test_a_deflated_file_of_another_length_than_its_pixels_is_truncated() -> None:
    head, dataset = parts(file_of(noisy_values(PLAIN)))
    head = parts(file_of(noisy_values(PLAIN), DEFLATED))[0]
    np.testing.assert_array_equal(pixels_of(head + deflated(dataset)), pixels_of(file_of(noisy_values(PLAIN))))
    for behind in (b"\0", bytes(2), bytes(8), bytes(100), b"\1\2\3\4", dataset[-40:], b"\x10\0\x10\0LO\2\0ab"):
        assert error_of(head + deflated(dataset + behind)).code == "truncated", behind
    for lost in (1, 2, 8, 100):
        assert error_of(head + deflated(dataset[:-lost])).code == "truncated"


def test_elements_behind_the_pixels_of_a_deflated_file_are_read_over() -> None:
    head, dataset = parts(file_of(noisy_values(PLAIN)))
    head = parts(file_of(None, DEFLATED))[0]
    padding = b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\0\0\0\0"
    private = b"\xe1\x7f\x10\0LO\4\0ACME"
    for behind in (padding, private, private + padding):
        np.testing.assert_array_equal(pixels_of(head + deflated(dataset + behind)), noisy_display())


def noisy_display() -> np.ndarray:
    return pixels_of(file_of(noisy_values(PLAIN)))


def test_most_lost_bytes_of_a_deflated_file_are_noticed() -> None:
    """Those that keep the length are not: nothing in the file says what the values were."""
    data = file_of(noisy_values(DEFLATED), DEFLATED)
    expected = pixels_of(data)
    start = len(parts(data)[0])
    silent = 0
    for place in range(start, len(data), 13):
        damaged = data[:place] + data[place + 1 :]
        try:
            silent += not np.array_equal(pixels_of(damaged), expected)
        except ValueError as error:
            assert getattr(error, "code", "") in {"truncated", "bad_value"}, place  # noqa: PT017
    assert silent <= len(range(start, len(data), 13)) / 8


@pytest.mark.parametrize("written", [PLAIN, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_plain_data_set_under_the_label_deflated_is_read_and_told(written: str) -> None:
    view = read_view(parts(file_of(None, DEFLATED))[0] + parts(file_of(None, written))[1], FrameConfig())
    np.testing.assert_array_equal(view.pixels, pixels_of(file_of()))
    assert finding_codes(view) == ["syntax_differs"]
    assert view.provenance["transfer_syntax"] == uid.UID(written).name


@pytest.mark.parametrize("label", [PLAIN, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_deflated_data_set_under_a_plain_label_is_read_and_told(label: str) -> None:
    whole = parts(file_of(None, label))[0] + parts(file_of(None, DEFLATED))[1]
    view = read_view(whole, FrameConfig())
    np.testing.assert_array_equal(view.pixels, pixels_of(file_of()))
    assert finding_codes(view) == ["syntax_differs"]
    assert view.provenance["transfer_syntax"] == uid.UID(DEFLATED).name


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.RLELossless])
def test_compressed_pixels_in_a_deflated_data_set_are_read_and_told(syntax: str) -> None:
    compressed = file_of(None, syntax)
    for label in (syntax, DEFLATED):
        head = parts(encoded(mammogram(None, syntax), label) if label == syntax else file_of(None, DEFLATED))[0]
        view = read_view(head + deflated(parts(compressed)[1]), FrameConfig())
        np.testing.assert_array_equal(view.pixels, pixels_of(compressed))
        assert finding_codes(view) == ["syntax_differs"]


def test_a_deflated_data_set_that_is_cut_is_truncated_under_its_own_label() -> None:
    data = file_of(noisy_values(DEFLATED), DEFLATED)
    assert {error_of(data[:-lost]).code for lost in (1, 5, 100, 1000)} == {"truncated"}
