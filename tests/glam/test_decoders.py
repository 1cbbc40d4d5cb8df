import struct
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading import decoders
from glam.reading.read import read_view
from glam.view import WHITE
from tests.samples.answers import error_of
from tests.samples.mammograms import ENCODERS, NATIVE, breast_values, file_of

LOSSY = {uid.JPEGBaseline8Bit: 0.035, uid.JPEGExtended12Bit: 0.02}
JPEG2000 = (uid.JPEG2000, uid.HTJ2K)
TABLE = b"\xfe\xff\x00\xe0" + bytes(4)
"""An offset table with nothing in it."""


def pixels_for(syntax: str) -> np.ndarray:
    pixels = breast_values()
    return (pixels >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else pixels


def with_stream(syntax: str, stream: bytes, **changes: Any) -> bytes:
    return file_of(pixels_for(syntax), syntax, PixelData=encapsulate([stream]), **changes)


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: uid.UID(syntax).name)
def test_a_compressed_file_gives_the_pixels_of_an_uncompressed_one(syntax: str) -> None:
    pixels = pixels_for(syntax)
    view, plain = read_view(file_of(pixels, syntax), FrameConfig()), read_view(file_of(pixels), FrameConfig())
    np.testing.assert_allclose(view.pixels, plain.pixels, atol=LOSSY.get(syntax, 0) * WHITE)
    assert view.provenance["transfer_syntax"] == uid.UID(syntax).name
    assert view.provenance["decoder"] == f"imagecodecs {decoders.CODECS[syntax].imagecodecs}"


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: uid.UID(syntax).name)
@pytest.mark.parametrize("eight_bit", [False, True])
def test_every_uncompressed_syntax_gives_the_same_pixels(syntax: str, eight_bit: bool) -> None:
    pixels = pixels_for(uid.JPEGBaseline8Bit if eight_bit else syntax)
    view = read_view(file_of(pixels, syntax), FrameConfig())
    np.testing.assert_allclose(view.pixels / WHITE, pixels / (255 if eight_bit else 4095), atol=1 / WHITE)
    assert view.provenance["decoder"] == "native"


OTHERS = [(syntax, plugin) for syntax, codec in decoders.CODECS.items() for plugin in codec.plugins]


@pytest.mark.parametrize(("syntax", "plugin"), OTHERS, ids=str)
def test_every_decoder_behind_imagecodecs_gives_the_same_pixels(
    syntax: str, plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = pixels_for(syntax)
    expected = read_view(file_of(pixels, syntax), FrameConfig()).pixels
    monkeypatch.setattr(decoders, "decoder_of", lambda _: plugin)
    view = read_view(file_of(pixels, syntax), FrameConfig())
    np.testing.assert_allclose(view.pixels, expected, atol=257 if syntax in LOSSY else 0)
    assert view.provenance["decoder"] == plugin


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: uid.UID(syntax).name)
@pytest.mark.parametrize("share", [0.97, 0.5, 0.1])
def test_a_codestream_that_is_cut_short_is_truncated_and_never_zeros(syntax: str, share: float) -> None:
    stream = ENCODERS[syntax](pixels_for(syntax), 8 if syntax == uid.JPEGBaseline8Bit else 12)
    assert error_of(with_stream(syntax, stream[: int(share * len(stream))])).code == "truncated"


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: uid.UID(syntax).name)
def test_empty_fragments_are_truncated(syntax: str) -> None:
    for data in (TABLE, TABLE + b"\xfe\xff\x00\xe0" + bytes(4)):
        assert error_of(file_of(pixels_for(syntax), syntax, PixelData=data)).code == "truncated"


@pytest.mark.parametrize("syntax", [name for name in ENCODERS if name != uid.RLELossless])
def test_a_codestream_of_another_size_than_the_header_is_not_decoded(syntax: str) -> None:
    big = pixels_for(syntax)
    stream = ENCODERS[syntax](np.vstack([big, big]), 8 if syntax == uid.JPEGBaseline8Bit else 12)
    assert error_of(with_stream(syntax, stream)).code == "bad_value"


@pytest.mark.parametrize("syntax", JPEG2000)
def test_a_codestream_that_claims_gigapixels_is_refused_by_its_header(syntax: str) -> None:
    stream = bytearray(ENCODERS[syntax](pixels_for(syntax), 12))
    stream[8:16] = stream[24:32] = (60_000).to_bytes(4, "big") * 2  # the image and its one tile
    assert error_of(with_stream(syntax, bytes(stream))).code == "bad_value"


@pytest.mark.parametrize("syntax", JPEG2000)
def test_more_tiles_than_the_standard_allows_are_damage(syntax: str) -> None:
    stream = bytearray(ENCODERS[syntax](pixels_for(syntax), 12))
    stream[24:32] = (0).to_bytes(4, "big") * 2
    assert error_of(with_stream(syntax, bytes(stream))).code == "truncated"


def test_a_colour_codestream_is_not_monochrome() -> None:
    import imagecodecs

    colour = np.repeat((breast_values() >> 4).astype(np.uint8)[..., None], 3, axis=2)
    assert error_of(with_stream(uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(colour))).code == "not_monochrome"


def test_a_progressive_jpeg_is_named_and_not_read() -> None:
    stream = ENCODERS[uid.JPEGBaseline8Bit](pixels_for(uid.JPEGBaseline8Bit), 8)
    with pytest.raises(
        InputError, match="no decoder here for progressive or arithmetic JPEG: send it uncompressed"
    ) as caught:
        read_view(with_stream(uid.JPEGBaseline8Bit, stream.replace(b"\xff\xc0", b"\xff\xc2")), FrameConfig())
    assert caught.value.code == "unsupported_syntax"


def test_signed_values_survive_jpeg_2000_and_jpeg_ls() -> None:
    signed = (breast_values().astype(np.int32) - 2048).astype(np.int16)
    header = {"PixelRepresentation": 1, "RescaleSlope": "1", "RescaleIntercept": "2048"}
    expected = read_view(file_of(breast_values()), FrameConfig()).pixels
    as_unsigned = (signed.astype(np.int32) & 0xFFF).astype(np.uint16)
    for syntax, pixels in ((uid.JPEG2000Lossless, signed), (uid.JPEGLSLossless, as_unsigned), (uid.HTJ2K, signed)):
        np.testing.assert_array_equal(read_view(file_of(pixels, syntax, **header), FrameConfig()).pixels, expected)


def test_every_syntax_is_missing_its_extra_where_nothing_decodes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "decoder_of", lambda _: None)
    with pytest.raises(InputError, match=r"JPEG-LS Lossless Image Compression: pip install .*codecs"):
        read_view(file_of(None, uid.JPEGLSLossless), FrameConfig())


def test_pydicom_decodes_run_lengths_where_imagecodecs_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "find_spec", lambda _: None)
    assert decoders.decoder_of(uid.RLELossless) == "pydicom"
    assert decoders.decoder_of(uid.JPEG2000Lossless) == "pylibjpeg"
    assert decoders.decoder_of(uid.JPEGLosslessSV1) == "gdcm"


def run_lengths(first: bytes, second: bytes, *, offsets: tuple[int, int] | None = None, count: int = 2) -> bytes:
    """A frame of two segments of runs."""
    first += b"\x80" * (len(first) % 2)  # does nothing
    table = (64, 64 + len(first)) if offsets is None else offsets
    return struct.pack("<16I", count, *table, *[0] * 13) + first + second


RUN = bytes([257 - 128, 7])  # 128 times 7
WHOLE = RUN * (64 * 48 // 128)


@pytest.mark.parametrize(
    "stream",
    [
        run_lengths(WHOLE, WHOLE, offsets=(64, 0x3CE03FA)),
        run_lengths(WHOLE, WHOLE, offsets=(2**31, 64)),
        run_lengths(WHOLE, WHOLE, offsets=(64, 64)),
        run_lengths(WHOLE, WHOLE, offsets=(0, 64)),
        run_lengths(WHOLE, WHOLE, count=1),
        run_lengths(WHOLE, WHOLE, count=2**31),
        run_lengths(WHOLE + RUN, WHOLE),
        run_lengths(WHOLE, WHOLE + RUN),
        run_lengths(WHOLE[:-2], WHOLE),
        run_lengths(WHOLE, WHOLE[:-2]),
        run_lengths(WHOLE, RUN * 100_000),
        b"\2\0\0\0",
    ],
)
def test_run_lengths_that_do_not_fill_the_image_are_truncated(stream: bytes) -> None:
    read_view(with_stream(uid.RLELossless, run_lengths(WHOLE, WHOLE)), FrameConfig(voi="header"))
    assert error_of(with_stream(uid.RLELossless, stream)).code == "truncated"
