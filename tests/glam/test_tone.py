"""Display values: look-up tables and windows in their order, what is dark, padding, and what is told of each."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from glam.config import FrameConfig, VoiPolicy
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.reading.read import read_view
from glam.reading.tone import is_saturated
from glam.view import WHITE
from tests.samples.answers import error_of, finding_codes, read_codes
from tests.samples.mammograms import breast_values, encoded, file_of, mammogram, raw_element

NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}


def lut(values: np.ndarray, *, first: int = 0, bits: int = 16, explanation: str = "") -> Dataset:
    """A look-up table, VOI or modality, of 16-bit entries."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 2**16, first, bits])
    item.LUTExplanation = explanation
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return item


def modality_lut(values: np.ndarray, **options: Any) -> Dataset:
    item = lut(values, **options)
    item.ModalityLUTType = "US"
    return item


def with_raw(keyword: str, value: bytes, **changes: Any) -> bytes:
    """The file with an attribute replaced by a decimal string that pydicom would not write."""
    dataset = mammogram(**changes)
    dataset[keyword] = raw_element(keyword, value, "DS")
    return encoded(dataset)


def shown(pixels: np.ndarray | None = None, **changes: Any) -> np.ndarray:
    """Display values, 0 to 1."""
    return read_view(file_of(pixels, **changes), FrameConfig()).pixels / WHITE


def test_a_modality_lut_goes_before_slope_and_window() -> None:
    pixels = breast_values()
    log = np.rint(4095 * np.log1p(np.arange(4096)) / np.log(4096))
    display = shown(pixels, ModalityLUTSequence=[modality_lut(log)])
    np.testing.assert_allclose(display, log[pixels] / 4095, atol=1 / WHITE)


def test_values_outside_a_modality_lut_get_its_ends() -> None:
    pixels = breast_values()
    table = np.arange(1000, 3000)
    display = shown(pixels, ModalityLUTSequence=[modality_lut(table, first=1000)])
    np.testing.assert_allclose(display, np.clip(pixels, 1000, 2999) / 4095, atol=1 / WHITE)


def test_a_voi_lut_is_preferred_to_a_window_unless_the_policy_says_window() -> None:
    pixels = breast_values()
    root = np.rint(65535 * np.sqrt(np.arange(4096) / 4095))
    data = file_of(pixels, VOILUTSequence=[lut(root)])
    view = read_view(data, FrameConfig())
    assert view.provenance["voi"] == "VOILUTSequence"
    np.testing.assert_allclose(view.pixels, root[pixels], atol=1)
    window = read_view(data, FrameConfig(voi="window"))
    assert window.provenance["voi"] == "window LINEAR"
    np.testing.assert_array_equal(window.pixels, read_view(file_of(pixels), FrameConfig()).pixels)


def test_of_several_voi_luts_the_normal_one_is_taken() -> None:
    pixels = breast_values()
    tables = [np.arange(4096) ** 2 // 4095, np.arange(4096)]
    items = [lut(tables[0], bits=12, explanation="HARDER"), lut(tables[1], bits=12, explanation="Normal")]
    view = read_view(file_of(pixels, VOILUTSequence=items), FrameConfig())
    assert view.provenance["voi"] == "VOILUTSequence 2 of 2 NORMAL"
    np.testing.assert_allclose(view.pixels / WHITE, pixels / 4095, atol=1 / WHITE)


def test_entries_of_eight_bits_may_lie_two_in_a_word() -> None:
    pixels = breast_values()
    table = (np.arange(4096) >> 4).astype(np.uint8)
    item = lut(np.zeros(1), bits=8)
    item.LUTDescriptor = [4096, 0, 8]
    item.LUTData = table.tobytes()
    np.testing.assert_allclose(shown(pixels, VOILUTSequence=[item]), table[pixels] / 255, atol=1 / WHITE)


def test_a_table_of_65536_entries_says_0() -> None:
    pixels = breast_values(peak=65535)
    header = {"BitsStored": 16, "HighBit": 15, "VOILUTSequence": [lut(np.arange(65536))]}
    np.testing.assert_array_equal(read_view(file_of(pixels, **header), FrameConfig()).pixels, pixels)


@pytest.mark.parametrize("descriptor", [[5000, 0, 16], [4096, 0, 40], [4096, 0, 0], [4096, 0]])
def test_a_table_that_is_not_what_its_descriptor_says_is_a_bad_value(descriptor: list[int]) -> None:
    item = lut(np.arange(4096))
    item.LUTDescriptor = descriptor
    assert error_of(file_of(None, VOILUTSequence=[item])).code == "bad_value"
    item.ModalityLUTType = "US"
    assert error_of(file_of(None, ModalityLUTSequence=[item])).code == "bad_value"


@pytest.mark.parametrize("policy", ["header", "window", "breast"])
def test_without_a_window_every_policy_shows_the_breasts_range(policy: VoiPolicy) -> None:
    view = read_view(file_of(None, **NO_WINDOW), FrameConfig(voi=policy))
    assert view.provenance["voi"] == "breast range"
    assert finding_codes(view) == ["no_window"] * (policy != "breast")
    assert view.pixels.max() == WHITE
    np.testing.assert_array_equal(read_view(file_of(), FrameConfig(voi="breast")).pixels, view.pixels)


@pytest.mark.parametrize("empty", ["WindowCenter", "WindowWidth", "VOILUTSequence"])
def test_an_empty_window_is_no_window(empty: str) -> None:
    given = NO_WINDOW | {empty: []} if empty == "VOILUTSequence" else {empty: ""}
    view, plain = read_view(file_of(None, **given), FrameConfig()), read_view(file_of(None, **NO_WINDOW), FrameConfig())
    np.testing.assert_array_equal(view.pixels, plain.pixels)
    assert finding_codes(view) == ["no_window"]


def test_the_breasts_range_follows_a_slope_that_turns_the_values_round() -> None:
    pixels = breast_values()
    turned = shown(4095 - pixels, RescaleSlope="-1", RescaleIntercept="4095", **NO_WINDOW)
    np.testing.assert_allclose(turned, shown(pixels, **NO_WINDOW), atol=2 / WHITE)


def test_without_a_window_white_borders_do_not_darken_the_breast() -> None:
    header = {**NO_WINDOW, "BitsStored": 16, "HighBit": 15}
    pixels = breast_values(200, 150)
    framed = pixels.copy()
    framed[:3] = framed[:, -3:] = 60000
    plain, bordered = (read_view(file_of(values, **header), FrameConfig()).pixels for values in (pixels, framed))
    np.testing.assert_array_equal(bordered[3:, :-3], plain[3:, :-3])


@pytest.mark.parametrize(
    ("expected", "changes"),
    [("no_breast", {"PixelData": bytes(2 * 64 * 48), "WindowCenter": None}), ("no_window", NO_WINDOW)],
)
def test_a_header_trips_its_code_and_no_other(expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]


def test_an_image_without_a_breast_has_no_range() -> None:
    assert error_of(file_of(np.zeros((64, 48), np.uint16), **NO_WINDOW)).code == "no_breast"


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("number", [b"nan", b"inf", b"-inf", b"SECRET"])
def test_a_rescale_that_is_no_finite_number_is_a_bad_value(keyword: str, number: bytes) -> None:
    assert error_of(with_raw(keyword, number, RescaleSlope="1", RescaleIntercept="0")).code == "bad_value"


@pytest.mark.parametrize("shape", [None, "INVERSE"])
@pytest.mark.parametrize("window", [{}, NO_WINDOW])
def test_monochrome1_is_inverted_once_and_after_the_window(shape: str | None, window: dict[str, None]) -> None:
    pixels = breast_values()
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": shape}
    view = read_view(file_of(4095 - pixels, **inverse, **window), FrameConfig())
    plain = read_view(file_of(pixels, **window), FrameConfig())
    np.testing.assert_allclose(view.pixels.astype(int), plain.pixels, atol=1)
    assert finding_codes(view) == finding_codes(plain)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_tags_that_differ_on_what_is_dark_are_told_and_the_pixels_followed(photometric: str, shape: str) -> None:
    pixels = breast_values()
    header = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    expected = read_view(file_of(pixels), FrameConfig()).pixels.astype(int)
    for stored in (pixels, 4095 - pixels):
        view = read_view(file_of(stored, **header), FrameConfig())
        np.testing.assert_allclose(view.pixels.astype(int), expected, atol=1)
        followed = (photometric == "MONOCHROME1") == (stored[0, -1] > 0)
        assert finding_codes(view) == ["polarity_tags_differ"] + ["inverted_tag"] * (not followed)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_bright_background_means_an_inverted_tag(photometric: str, mirrored: bool) -> None:
    pixels = breast_values()[:, :: -1 if mirrored else 1]
    stored = pixels if photometric == "MONOCHROME1" else 4095 - pixels
    view = read_view(file_of(stored, PhotometricInterpretation=photometric), FrameConfig())
    np.testing.assert_allclose(view.pixels / WHITE, pixels / 4095, atol=1e-3)
    assert finding_codes(view) == ["inverted_tag"]


def test_a_breast_that_fills_the_image_is_not_taken_for_a_background() -> None:
    rng = np.random.default_rng(0)
    filled = np.clip(rng.normal(3500, 100, (64, 48)), 0, 4095).astype(np.uint16)
    filled[20:40, 10:20] = 1000
    assert "inverted_tag" not in read_codes(file_of(filled))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": "1000", "WindowWidth": "1000"}])
def test_a_breast_at_the_largest_value_is_saturated(window: dict[str, str]) -> None:
    pixels = breast_values()
    stored = pixels if window else np.minimum(pixels, 3000)
    assert read_codes(file_of(stored, **window)) == ["saturated"]
    assert read_codes(file_of(pixels)) == []


def test_padding_is_background() -> None:
    pixels = breast_values()
    pixels[:5] = 4095
    assert shown(pixels, PixelPaddingValue=4095)[:5].max() == 0


def test_padding_may_be_a_range_and_is_background_in_monochrome1_too() -> None:
    pixels = breast_values()
    pixels[:5], pixels[-5:] = 4000, 4095
    padding = {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}
    display = shown(pixels, **padding)
    assert display[:5].max() == display[-5:].max() == 0
    stored = 4095 - breast_values()
    stored[:5] = 4095
    assert shown(stored, PixelPaddingValue=4095, PhotometricInterpretation="MONOCHROME1")[:5].max() == 0


@pytest.mark.parametrize("policy", ["voi_lut", "minmax"])
def test_padding_is_no_part_of_the_images_range(policy: VoiPolicy) -> None:
    pixels = breast_values(peak=2000) + np.uint16(100)
    pixels[:4] = 4095
    view = read_view(file_of(pixels, PixelPaddingValue=4095), FrameConfig(voi=policy))
    assert view.pixels[:4].max() == 0
    np.testing.assert_allclose(view.pixels[4:] / WHITE, (pixels[4:] - 100) / 2000, atol=1e-3)


def test_a_fault_of_ours_is_not_blamed_on_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise TypeError("ours")

    for name in ("filled_layout", "is_padding", "modality_values", "voi_of", "is_inverted"):
        with monkeypatch.context() as planted:
            planted.setattr(f"glam.reading.tone.{name}", broken)
            with pytest.raises(TypeError, match="ours"):
                read_view(file_of(), FrameConfig())


@pytest.mark.parametrize("height", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["cc", "mlo"])
def test_a_white_plate_beside_a_breast_is_no_saturated_tissue(name: str, height: float) -> None:
    pair = draw_pair(2, PhantomOptions(px_mm=0.48), laterality="L")
    pixels = view_of(getattr(pair, name), FrameConfig()).pixels
    plate = np.zeros((len(pixels), round(0.13 * pixels.shape[1])), np.uint16)
    plate[: round(height * len(plate))] = WHITE
    assert not is_saturated(np.hstack([pixels, plate]))
