"""What a file is read from: its own bytes become the display values, a caller's bytes stay as they are."""

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.reading.read import read_view
from glam.reading.source import ElementStream
from tests.samples.mammograms import breast_values, encoded, file_of, mammogram

SIDE = 2400


@pytest.mark.parametrize("of", [bytes, bytearray, memoryview, BytesIO])
def test_what_a_caller_gives_is_never_overwritten(of: Any) -> None:
    data = file_of(PhotometricInterpretation="MONOCHROME1")
    given = of(data)
    expected = read_view(data, FrameConfig()).pixels
    for _ in range(2):
        np.testing.assert_array_equal(read_view(given, FrameConfig()).pixels, expected)
        if isinstance(given, BytesIO):
            given.seek(0)
    assert bytes(given.getvalue() if isinstance(given, BytesIO) else given) == data


def test_a_large_file_is_in_memory_once(tmp_path: Path) -> None:
    values = breast_values(SIDE, SIDE)
    (tmp_path / "image.dcm").write_bytes(file_of(values))
    small = read_view(file_of(), FrameConfig())
    assert small.view == "CC"  # what is imported at the first file does not count
    with (tmp_path / "image.dcm").open("rb") as stream:
        for source in (tmp_path / "image.dcm", stream):
            tracemalloc.start()
            view = read_view(source, FrameConfig())
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert view.pixels.nbytes == 2 * SIDE * SIDE
            assert peak < 1.5 * view.pixels.nbytes


def test_a_small_image_does_not_keep_a_large_file() -> None:
    data = encoded(mammogram(DataSetTrailingPadding=bytes(2_000_000)))
    pixels = read_view(BytesIO(data), FrameConfig()).pixels
    while isinstance(pixels.base, np.ndarray):
        pixels = pixels.base
    assert pixels.base is None or len(pixels.base) < 1_000_000


def test_an_image_at_an_odd_place_of_its_file_is_read() -> None:
    data = encoded(mammogram())
    place = data.index(b"\xe0\x7f\x10\x00")
    shifted = data[:place] + b"\xe0\x7f\x00\x00UL\x05\x00abcde" + data[place:]
    expected = read_view(data, FrameConfig()).pixels
    np.testing.assert_array_equal(read_view(BytesIO(shifted), FrameConfig()).pixels, expected)


def test_elements_are_read_as_from_a_file() -> None:
    stream, file = ElementStream(bytearray(b"abcdef")), BytesIO(b"abcdef")
    for step in (
        "tell",
        ("read", 2),
        ("seek", 1, 1),
        ("read", 2),
        ("seek", -1, 2),
        ("read",),
        ("seek", 9),
        ("read", 4),
        "tell",
    ):
        name, *values = (step,) if isinstance(step, str) else step
        assert getattr(stream, name)(*values) == getattr(file, name)(*values)
    with pytest.raises(ValueError, match="before the first byte"):
        stream.seek(-1)
