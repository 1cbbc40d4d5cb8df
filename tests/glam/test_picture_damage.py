"""PNG, TIFF and JPEG that are damaged: refused where their checksums or their coded values show it."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glam.findings import InputError
from glam.reading.header import quiet_pydicom
from glam.reading.image_file import UPRIGHT, stored_picture
from glam.reading.jpeg_scans import whole_jpeg
from tests.samples.pictures import grey_values, refused_code, saved

END = b"\xff\xd9"


def noisy(dtype: type = np.uint8) -> np.ndarray:
    """Grey values of which none can be guessed."""
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max // 20, (120, 90))
    return (grey_values(dtype) // 10 * 9 + noise).astype(dtype)


def outcome(data: bytes) -> np.ndarray | str:
    try:
        with quiet_pydicom():
            return stored_picture(data).values
    except InputError as error:
        return error.code


def damaged(whole: bytes, start: int) -> list[tuple[str, int, bytes]]:
    """Copies of a file with a fault at each of 40 places."""
    places = np.linspace(start, len(whole) - 14, 40).astype(int).tolist()
    faults = {
        "cut": lambda place: whole[:place],
        "zeros": lambda place: whole[:place] + bytes(len(whole) - place),
        "256 zeros": lambda place: whole[:place] + bytes(min(256, len(whole) - place)) + whole[place + 256 :],
        "a bit": lambda place: whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :],
        "a byte lost": lambda place: whole[:place] + whole[place + 1 :],
        "a byte more": lambda place: whole[:place] + b"\x5a" + whole[place:],
    }
    return [(name, place, fault(place)) for name, fault in faults.items() for place in places]


def strips(values: np.ndarray, rows_a_strip: int, **options: Any) -> bytes:
    """A TIFF of strips of so many rows."""
    return saved(values, "TIFF", tiffinfo={278: rows_a_strip}, **options)


CHECKED = {
    "PNG of 16 bits": saved(noisy(np.uint16)),
    "PNG of 8 bits": saved(noisy()),
    "PNG of colours": saved(np.dstack([noisy()] * 3)),
    "TIFF in one strip": strips(noisy(np.uint16), 120, compression="tiff_adobe_deflate"),
    "TIFF in strips": strips(noisy(np.uint16), 16, compression="tiff_adobe_deflate"),
    "TIFF of the old deflate": strips(noisy(), 120, compression="tiff_deflate"),
    "TIFF of colours": strips(np.dstack([noisy()] * 3), 120, compression="tiff_adobe_deflate"),
}


@pytest.mark.parametrize("kind", CHECKED)
def test_damage_that_a_checksum_shows_is_refused(kind: str) -> None:
    whole = CHECKED[kind]
    expected = stored_picture(whole).values
    assert expected.shape == (120, 90)
    start = 8 if kind.startswith("PNG") else len(whole) // 2  # before it, tags that change may leave the image as it is
    end_of_strips = len(whole) if kind.startswith("PNG") else struct.unpack_from("<I", whole, 4)[0]
    for fault, place, data in damaged(whole[:end_of_strips], start):
        assert outcome(data + whole[end_of_strips:]) == "truncated", (fault, place)


def test_a_png_needs_its_last_chunk_and_may_be_followed_by_anything() -> None:
    whole = CHECKED["PNG of 16 bits"]
    for lost in range(1, 13):
        assert refused_code(whole[:-lost]) == "truncated"
    for behind in (b"\0", bytes(1000), b"junk" * 9):
        np.testing.assert_array_equal(stored_picture(whole + behind).values, noisy(np.uint16))


def test_values_deflated_after_the_image_are_damage() -> None:
    """The stream of a strip holds the strip and nothing else."""
    values = noisy()
    whole = strips(values, 120, compression="tiff_adobe_deflate")
    longer = zlib.compress(values.tobytes() + b"\1")
    end = struct.unpack_from("<I", whole, 4)[0]
    tags = whole[end:].replace(struct.pack("<HHI", 279, 4, 1) + whole_length(whole), counted(len(longer)))
    tags = tags.replace(struct.pack("<HHI", 279, 3, 1) + whole_length(whole), counted(len(longer)))
    data = whole[:4] + struct.pack("<I", 8 + len(longer)) + longer + tags
    assert len(data) != len(whole)
    assert outcome(data) == "truncated"


def whole_length(whole: bytes) -> bytes:
    with Image.open(BytesIO(whole)) as picture:
        return struct.pack("<I", picture.tag_v2[279][0])  # pyright: ignore[reportAttributeAccessIssue]


def counted(length: int) -> bytes:
    return struct.pack("<HHII", 279, 4, 1, length)


GREY = Image.fromarray(noisy())
COLOURS = Image.fromarray(np.dstack([noisy()] * 3))
JPEGS = {
    "grey": saved(GREY, "JPEG", quality=95),
    "progressive": saved(GREY, "JPEG", quality=95, progressive=True),
    "colour": saved(COLOURS, "JPEG", quality=93, subsampling=0),
    "colour 4:2:0": saved(COLOURS, "JPEG", subsampling=2),
    "colour 4:2:2 progressive": saved(COLOURS, "JPEG", subsampling=1, progressive=True),
    "colour with restarts": saved(COLOURS, "JPEG", restart_marker_blocks=3),
    "progressive with restarts": saved(COLOURS, "JPEG", restart_marker_rows=1, progressive=True),
    "TIFF in one strip": strips(noisy(), 120, compression="jpeg"),
    "TIFF in strips": strips(noisy(), 16, compression="jpeg"),
    "TIFF of colours": saved(COLOURS.convert("YCbCr"), "TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_of_which_values_are_missing_is_refused_whatever_ends_it(kind: str) -> None:
    whole = JPEGS[kind]
    expected = stored_picture(whole).values
    is_tiff = kind.startswith("TIFF")
    end = struct.unpack_from("<I", whole, 4)[0] if is_tiff else len(whole)
    start = 8 + 4 if is_tiff else whole.index(b"\xff\xda") + 20
    for place in np.linspace(start, end - 8, 40).astype(int).tolist():
        rest = end - place
        for filled in (bytes(rest), (END + bytes(rest))[:rest], (bytes(rest) + END)[-rest:]):
            result = outcome(whole[:place] + filled + whole[end:])
            assert result == "truncated", place
    if not is_tiff:
        for place in range(end - 40, end - 2):
            result = outcome(whole[:place] + END)
            assert result == "truncated" or np.array_equal(result, expected), place


ENDS_IN_A_VALUE = [kind for kind, whole in JPEGS.items() if not kind.startswith("TIFF") and whole[-3]]
"""A zero at the end may stand in place of values, and does not count without a marker behind it."""


@pytest.mark.parametrize("kind", ENDS_IN_A_VALUE)
def test_a_jpeg_without_its_end_marker_is_read(kind: str) -> None:
    whole = JPEGS[kind]
    expected = stored_picture(whole).values
    for data in (
        whole[:-2],
        whole[:-1],
        whole[:-2] + bytes(99),
        whole + b"junk",
        whole[:-2] + b"\xff\xff" + whole[-2:],
    ):
        np.testing.assert_array_equal(stored_picture(data).values, expected)


@pytest.mark.parametrize("kind", ["progressive", "colour 4:2:2 progressive", "progressive with restarts"])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(kind: str) -> None:
    whole = JPEGS[kind]
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for place in scans:
        assert refused_code(whole[:place] + END) == "truncated"


def test_a_restart_interval_lost_from_a_colour_jpeg_is_refused() -> None:
    whole = JPEGS["colour with restarts"]
    first, second = (whole.index(bytes([0xFF, restart])) for restart in (0xD0, 0xD1))
    assert refused_code(whole[:first] + whole[second:]) == "truncated"


def test_what_cannot_be_proved_of_a_jpeg_is_left_to_the_decoder() -> None:
    whole = JPEGS["grey"]
    arithmetic = whole.replace(b"\xff\xc0", b"\xff\xc9")
    assert whole_jpeg(arithmetic) == arithmetic
    four = saved(GREY.convert("CMYK"), "JPEG")
    assert whole_jpeg(four) == four


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_a_tiff_with_more_rows_than_strips_is_refused(compression: str | None) -> None:
    """Pillow leaves black what no strip holds."""
    whole = strips(noisy(), 16, **({"compression": compression} if compression else {}))
    tag = next(tag for kind in (3, 4) if (tag := struct.pack("<HHI", 257, kind, 1)) + struct.pack("<I", 120) in whole)
    rows = tag + struct.pack("<I", 120)
    assert stored_picture(whole).values.shape == (120, 90)
    for more in (129, 240, 60_000):
        assert outcome(whole.replace(rows, tag + struct.pack("<I", more))) == "truncated"


def test_the_height_of_a_jpeg_behind_its_values_is_refused_by_name() -> None:
    whole = JPEGS["grey"]
    place = whole.index(b"\xff\xc0") + 5
    behind = b"\xff\xdc\0\4" + struct.pack(">H", 120)
    late = whole[:place] + bytes(2) + whole[place + 2 : -2] + behind + END
    with pytest.raises(InputError, match="DNL") as caught:
        stored_picture(late)
    assert caught.value.code == "unsupported_picture"
    np.testing.assert_array_equal(stored_picture(whole[:-2] + behind + END).values, stored_picture(whole).values)


def test_a_big_endian_big_tiff_is_refused_by_name() -> None:
    data = b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 0) + bytes(8)
    with pytest.raises(InputError, match="BigTIFF") as caught:
        stored_picture(data)
    assert caught.value.code == "unsupported_picture"


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "jpeg", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_of_a_tiff_on_its_side_are_counted_as_they_are_stored(compression: str, orientation: int) -> None:
    """Pillow says how large the picture is when it is upright."""
    for values in (noisy(), np.ascontiguousarray(noisy().T)):
        upright, whole = (
            saved(values, "TIFF", compression=compression, tiffinfo={278: 16, 274: number})
            for number in (1, orientation)
        )
        expected = UPRIGHT.get(orientation, lambda stored: stored)(stored_picture(upright).values)
        np.testing.assert_array_equal(stored_picture(whole).values, expected)
