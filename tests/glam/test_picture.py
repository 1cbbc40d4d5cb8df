from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glam.config import FrameConfig
from glam.dicom import WHITE, View, read_view
from glam.intake import InputError
from glam.picture import picture_format


def breast_values(dtype: type = np.uint8) -> np.ndarray:
    y, x = np.mgrid[:120, :90]
    inside = (x / 60) ** 2 + ((y - 60) / 50) ** 2 < 1
    largest = np.iinfo(dtype).max
    return np.where(inside, largest * (0.3 + 0.006 * x), 0).astype(dtype)


def encoded(values: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(stream, format, **options)
    return stream.getvalue()


def view_of(data: bytes, **given: str) -> View:
    return read_view(data, FrameConfig(), **{"view": "CC", "laterality": "L", **given})  # type: ignore[arg-type]


def code_of(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        view_of(data)
    return caught.value.code


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_picture_is_read_with_a_warning_and_without_millimetres(format: str) -> None:
    view = view_of(encoded(breast_values(), format))
    assert [found.code for found in view.findings] == ["not_dicom_picture", "no_spacing", "no_window"]
    assert (view.spacing_mm, view.is_mg, view.patient_id) == (None, False, "")
    assert view.provenance["transfer_syntax"] == format
    assert view.provenance["view"] == view.provenance["laterality"] == "request"
    assert view.pixels.shape == (120, 90)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_stay_sixteen(format: str) -> None:
    fine, coarse = view_of(encoded(breast_values(np.uint16), format)), view_of(encoded(breast_values(), format))
    assert len(np.unique(fine.pixels)) >= len(np.unique(coarse.pixels))
    low = (breast_values(np.uint16) >> 6).astype(np.uint16)  # of 1,024 steps, all below the 8-bit range's second one
    assert len(np.unique(view_of(encoded(low, format)).pixels)) > 40


def test_view_and_side_come_from_the_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "case7_R_MLO.png"
    path.write_bytes(encoded(breast_values()))
    view = read_view(path, FrameConfig())
    assert (view.view, view.laterality, view.provenance["view"]) == ("MLO", "R", "file name")


def test_a_picture_that_nobody_names_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        read_view(encoded(breast_values()), FrameConfig())
    assert caught.value.code == "unknown_view"


def test_grey_in_colour_channels_is_grey_and_colour_is_not() -> None:
    grey = np.repeat(breast_values()[..., None], 3, axis=2)
    np.testing.assert_array_equal(view_of(encoded(grey)).pixels, view_of(encoded(breast_values())).pixels)
    tinted = grey.copy()
    tinted[50, 10, 0] += 9
    assert code_of(encoded(tinted)) == "not_monochrome"


def test_a_picture_cut_short_is_refused() -> None:
    data = encoded(breast_values())
    assert code_of(data[: len(data) // 2]) == "truncated"
    assert code_of(data[:20]) == "truncated"


def test_a_picture_larger_than_the_limit_is_refused_before_it_is_decoded() -> None:
    assert code_of(encoded(Image.new("L", (9000, 8000)), compress_level=1)) == "too_large"


def test_several_pages_are_refused() -> None:
    page = Image.fromarray(breast_values())
    assert code_of(encoded(page, "TIFF", save_all=True, append_images=[page])) == "multi_frame"


def test_numbers_that_are_no_grey_values_are_refused() -> None:
    assert code_of(encoded(Image.fromarray(breast_values().astype(np.float32)), "TIFF")) == "bad_value"


def test_a_negative_is_turned_and_told() -> None:
    view = view_of(encoded(255 - breast_values()))
    assert "inverted_tag" in [found.code for found in view.findings]
    assert view.pixels[0, -1] == 0
    assert view.pixels.max() == WHITE


def test_a_picture_is_known_by_its_first_bytes_and_the_stream_stays_where_it_was() -> None:
    stream = BytesIO(b"...." + encoded(breast_values(), "JPEG"))
    stream.seek(4)
    assert picture_format(stream) == "JPEG"
    assert stream.tell() == 4
    assert picture_format(b"GIF89a") is None
    assert picture_format(b"") is None
