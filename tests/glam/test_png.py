"""PNG whose chunks are right by their checksums, and whose pixels are not."""

import struct
import zlib

import numpy as np

from glam.findings import InputError
from glam.reading.image_file import stored_picture
from tests.samples.pictures import grey_values

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def noisy() -> np.ndarray:
    """Grey values of which none can be guessed."""
    noise = np.random.default_rng(0).integers(0, 12, (120, 90))
    return (grey_values() // 10 * 9 + noise).astype(np.uint8)


def outcome(data: bytes) -> np.ndarray | str:
    try:
        return stored_picture(data).values
    except InputError as error:
        return error.code


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(*pixels: bytes, interlaced: bool = False) -> bytes:
    """A PNG of 120 rows and 90 columns of 8 bits whose chunks, right by their checksums, hold such pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 120, 8, 0, 0, 0, interlaced))
    return SIGNATURE + header + b"".join(png_chunk(b"IDAT", part) for part in pixels) + PNG_END


PNG_END = png_chunk(b"IEND", b"")
FILTERED = b"".join(b"\0" + row.tobytes() for row in noisy())


def flushed(values: bytes) -> list[bytes]:
    """A deflated stream in parts of which each can be inflated for itself, as encoders on several threads write it."""
    deflate = zlib.compressobj()
    parts = [
        deflate.compress(values[k : k + 910]) + deflate.flush(zlib.Z_FULL_FLUSH) for k in range(0, len(values), 910)
    ]
    return [*parts, deflate.flush()]


def test_whole_chunks_of_a_png_that_are_lost_or_exchanged_are_damage() -> None:
    parts = flushed(FILTERED)
    np.testing.assert_array_equal(stored_picture(png_of(*parts)).values, noisy())
    for place in range(len(parts) - 1):
        assert outcome(png_of(*parts[:place], *parts[place + 1 :])) == "truncated"
        if place:
            assert (
                outcome(png_of(*parts[: place - 1], parts[place], parts[place - 1], *parts[place + 1 :])) == "truncated"
            )


def test_a_png_needs_every_row_and_the_checksum_of_its_pixels() -> None:
    """Pillow leaves black what is missing."""
    deflated = zlib.compress(FILTERED)
    for pixels in (
        zlib.compress(FILTERED[:-91]),
        zlib.compress(FILTERED[:-1]),
        deflated[:-4],
        deflated[:-1] + b"\0",
        b"",
    ):
        assert outcome(png_of(pixels)) == "truncated"
    single = [deflated[place : place + 1] for place in range(len(deflated))]
    for parts in ([deflated], single, [deflated[:50], b"", deflated[50:]], [zlib.compress(FILTERED + bytes(910))]):
        np.testing.assert_array_equal(stored_picture(png_of(*parts)).values, noisy())


def test_an_interlaced_png_is_read_whole_and_not_without_its_last_part() -> None:
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [noisy()[top::down, left::across] for top, left, down, across in steps]
    filtered = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    np.testing.assert_array_equal(stored_picture(png_of(zlib.compress(filtered), interlaced=True)).values, noisy())
    assert outcome(png_of(zlib.compress(filtered[:-91]), interlaced=True)) == "truncated"


def test_the_header_of_a_png_comes_first_and_once() -> None:
    """Bits are taken from it: 16 in channels are kept."""
    whole = png_of(zlib.compress(FILTERED))
    header, text = whole[8:33], png_chunk(b"tEXt", b"a\0b")
    for data in (whole[:8] + text + whole[8:], whole[:33] + header + whole[33:], whole[:8] + whole[33:]):
        assert outcome(data) == "truncated"
    np.testing.assert_array_equal(stored_picture(whole[:33] + text + whole[33:]).values, noisy())
