"""What is taken where a header offers several display ranges, some of which say nothing; the policies."""

from typing import Any, get_args

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from glam.config import FrameConfig, VoiPolicy
from glam.reading.read import read_view
from glam.reading.voi import POLICIES
from glam.view import WHITE, View
from tests.samples.answers import finding_codes, pixels_of, refusal
from tests.samples.mammograms import breast_values, encoded, file_of, mammogram, raw_element

NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}
BREAST = read_view(file_of(None, **NO_WINDOW), FrameConfig())


def with_raw(values: dict[str, bytes], policy: VoiPolicy = "header", **changes: Any) -> View:
    """The View of a file with attributes that pydicom would not write."""
    dataset = mammogram(**changes)
    for keyword, value in values.items():
        dataset[keyword] = raw_element(keyword, value)
    return read_view(encoded(dataset), FrameConfig(voi=policy))


def windows(centres: bytes, widths: bytes) -> dict[str, bytes]:
    return {"WindowCenter": centres, "WindowWidth": widths}


def lut(entries: np.ndarray, bits: int = 16) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), 0, bits]
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


@pytest.mark.parametrize(("centres", "widths"), [
    (b"0", b"0"), (b"NaN", b"NaN"), (b"2048", b"nan"), (b"inf", b"4096"), (b"2048", b"-5"), (b"2048", b"0.5"),
    (b"1e30", b"4096"), (b"2048", b"1e30"), (b"SECRET", b"4096"), (b"2048", b"SECRET"), (b"0\\0", b"0\\0"),
    (b"\\", b"\\"), (b"2048", b"\\4096"), (b"\\2048", b"4096"), (b"99999", b"10"),
])  # fmt: skip
@pytest.mark.parametrize("policy", ["header", "window"])
def test_a_window_that_says_nothing_is_passed_over(centres: bytes, widths: bytes, policy: VoiPolicy) -> None:
    view = with_raw(windows(centres, widths), policy)
    np.testing.assert_array_equal(view.pixels, BREAST.pixels)
    assert (view.provenance["voi"], finding_codes(view)) == ("breast range", ["voi_passed_over", "no_window"])
    assert "SECRET" not in str(view.findings)
    table = [lut(np.arange(4096) * 16)]
    behind = with_raw(windows(centres, widths), policy, VOILUTSequence=table)
    np.testing.assert_allclose(behind.pixels / WHITE, breast_values() / 4095.94, atol=1e-4)
    assert behind.provenance["voi"] == "VOILUTSequence"
    assert finding_codes(behind) == (["voi_passed_over"] if policy == "window" else [])


@pytest.mark.parametrize(("centres", "widths", "place"), [
    (b"0\\2300", b"0\\3600", 2), (b"2300\\0", b"3600\\0", 1), (b"nan\\2300", b"nan\\3600", 2),
    (b"\\2300", b"\\3600", 2), (b"\\2300", b"9\\3600", 2), (b"2300\\5\\6", b"3600", 1),
    (b"7\\\\2300", b"0\\9\\3600", 3),
])  # fmt: skip
def test_of_several_windows_the_first_that_says_something_is_taken(centres: bytes, widths: bytes, place: int) -> None:
    view, alone = with_raw(windows(centres, widths)), with_raw(windows(b"2300", b"3600"))
    np.testing.assert_array_equal(view.pixels, alone.pixels)
    assert view.provenance["voi"].startswith(f"window {place} of ")
    assert finding_codes(view) == (["voi_passed_over"] if place > 1 else [])


def test_a_window_explained_as_normal_that_says_nothing_gives_way() -> None:
    names = {"WindowCenterWidthExplanation": ["SOFT", "NORMAL"]}
    view = with_raw(windows(b"2300\\0", b"3600\\0"), **names)
    np.testing.assert_array_equal(view.pixels, with_raw(windows(b"2300", b"3600")).pixels)
    assert view.provenance["voi"] == "window 1 of 2, LINEAR"


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("value", [b"", b" ", b"\0\0"])
def test_a_window_that_is_empty_is_none(keyword: str, value: bytes) -> None:
    view = with_raw({keyword: value})
    np.testing.assert_array_equal(view.pixels, BREAST.pixels)
    assert finding_codes(view) == ["no_window"]


def test_a_decimal_comma_is_a_decimal_point() -> None:
    view, plain = with_raw(windows(b"2300,5", b"3600,0")), with_raw(windows(b"2300.5", b"3600"))
    np.testing.assert_array_equal(view.pixels, plain.pixels)
    assert finding_codes(view) == []


@pytest.mark.parametrize("said", [b"Sigmoid", b"SIGMOID\0", b"sigmoid ", b" SIGMOID"])
def test_a_function_may_be_in_any_case_and_padded(said: bytes) -> None:
    view = with_raw({"VOILUTFunction": said})
    np.testing.assert_array_equal(view.pixels, read_view(file_of(None, VOILUTFunction="SIGMOID"), FrameConfig()).pixels)
    assert view.provenance["voi"] == "window SIGMOID"


@pytest.mark.parametrize("said", [b"", b"\0\0", b"Linear ", None])
def test_no_function_is_linear(said: bytes | None) -> None:
    view = with_raw({} if said is None else {"VOILUTFunction": said})
    np.testing.assert_array_equal(view.pixels, read_view(file_of(), FrameConfig()).pixels)


@pytest.mark.parametrize("said", [b"SAMPLED_SIGMOID", b"CUBIC", b"LINEAR\\SIGMOID"])
def test_a_window_of_an_unknown_function_is_passed_over(said: bytes) -> None:
    view = with_raw({"VOILUTFunction": said})
    np.testing.assert_array_equal(view.pixels, BREAST.pixels)
    assert finding_codes(view) == ["voi_passed_over", "no_window"]


def test_a_linear_window_narrower_than_1_is_exact_where_the_slope_is_small() -> None:
    small = {"RescaleSlope": "0.0001", "RescaleIntercept": "0"}
    view = with_raw(windows(b"0.2", b"0.4"), **small)
    np.testing.assert_allclose(view.pixels / WHITE, np.clip(breast_values() / 4000, 0, 1), atol=1e-4)
    assert finding_codes(view) == []


def test_a_window_over_more_than_the_image_can_hold_is_followed_and_told() -> None:
    view = with_raw(windows(b"8192", b"16384"))
    np.testing.assert_allclose(view.pixels / WHITE, breast_values() / 16383, atol=1e-4)
    assert finding_codes(view) == ["window_too_wide"]


def test_every_policy_of_the_configuration_is_defined() -> None:
    assert list(POLICIES) == list(get_args(VoiPolicy))


def by_peers(dataset: Dataset, *, voi: bool) -> np.ndarray:
    """What scripts around pydicom make of a file: its tables, then the darkest pixel black and the brightest white."""
    values = apply_modality_lut(dataset.pixel_array, dataset)
    if voi:
        values = apply_voi_lut(np.rint(values).astype(np.int64), dataset, prefer_lut=True)
    values = values.astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    return (values - values.min()) / np.ptp(values)


CURVE = np.rint(40000 * (np.arange(4096) / 4095) ** 0.7).astype(int) + 7000
HEADERS: dict[str, dict[str, Any]] = {
    "window": {},
    "sigmoid": {"VOILUTFunction": "SIGMOID", "WindowCenter": "1500", "WindowWidth": "900"},
    "narrow": {"WindowCenter": "2500", "WindowWidth": "2000"},
    "lut": {"VOILUTSequence": [lut(CURVE)]},
    "nothing": NO_WINDOW,
    "rescale": {"RescaleSlope": "2", "RescaleIntercept": "-300", "WindowCenter": "3000", "WindowWidth": "5000"},
    "eight bits": {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": "128", "WindowWidth": "256"},
}


@pytest.mark.parametrize("policy", ["voi_lut", "minmax"])
@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_policies_of_peers_give_what_pydicom_and_the_images_range_give(
    policy: VoiPolicy, kind: str, photometric: str
) -> None:
    pixels = breast_values(peak=3000) + np.uint16(40)
    if photometric == "MONOCHROME1":
        pixels = 4095 - pixels
    if kind == "eight bits":
        pixels = (pixels >> 4).astype(np.uint8)
    data = file_of(pixels, **(HEADERS[kind] | {"PhotometricInterpretation": photometric}))
    dataset = mammogram(pixels, **(HEADERS[kind] | {"PhotometricInterpretation": photometric}))
    encoded(dataset)  # gives it the file meta that pixel_array needs
    view = read_view(data, FrameConfig(voi=policy))
    np.testing.assert_allclose(view.pixels / WHITE, by_peers(dataset, voi=policy == "voi_lut"), atol=2e-3)
    assert (view.pixels.min(), view.pixels.max()) == (0, WHITE)


def test_what_a_policy_took_is_told() -> None:
    def told(policy: VoiPolicy, **changes: Any) -> tuple[str, list[str]]:
        view = read_view(file_of(None, **changes), FrameConfig(voi=policy))
        return view.provenance["voi"], finding_codes(view)

    assert told("voi_lut") == ("window LINEAR, image range", [])
    assert told("voi_lut", VOILUTSequence=[lut(CURVE)]) == ("VOILUTSequence, image range", [])
    assert told("voi_lut", **NO_WINDOW) == ("image range", ["no_window"])
    assert told("minmax") == told("minmax", **NO_WINDOW) == ("image range", [])
    assert told("breast") == ("breast range", [])


@pytest.mark.parametrize("policy", ["voi_lut", "minmax"])
def test_an_image_of_one_value_has_no_range(policy: VoiPolicy) -> None:
    data = file_of(np.full((64, 48), 500, np.uint16))
    assert refusal(lambda: read_view(data, FrameConfig(voi=policy))).code == "no_breast"


# PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2 written out value by value, ymin 0 and ymax 1.
def linear(x: float, c: float, w: float) -> float:
    if x <= c - 0.5 - (w - 1) / 2:
        return 0
    return 1 if x > c - 0.5 + (w - 1) / 2 else (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    if x <= c - w / 2:
        return 0
    return 1 if x > c + w / 2 else (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    return 1 / (1 + np.exp(-4 * (x - c) / w))


@pytest.mark.parametrize("function", [linear, linear_exact, sigmoid])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (2000.5, 1000), (100, 1), (3000, 20), (4095, 8000)])
def test_a_window_follows_its_formula(function: Any, centre: float, width: float) -> None:
    pixels = breast_values()
    name = function.__name__.upper()
    view = read_view(
        file_of(pixels, WindowCenter=str(centre), WindowWidth=str(width), VOILUTFunction=name), FrameConfig()
    )
    formula = np.vectorize(lambda value: function(float(value), centre, width), otypes=[float])
    np.testing.assert_allclose(view.pixels / WHITE, formula(pixels), atol=1 / WHITE)
    assert view.provenance["voi"] == f"window {name}"


def test_of_several_windows_the_normal_one_is_taken() -> None:
    windows = {"WindowCenter": ["1000", "2048", "9"], "WindowWidth": ["100", "4096", "9"], "VOILUTFunction": "SIGMOID"}
    named = read_view(
        file_of(None, **windows, WindowCenterWidthExplanation=["HARDER", "NORMAL", "SOFTER"]), FrameConfig()
    )
    np.testing.assert_array_equal(
        named.pixels, read_view(file_of(None, VOILUTFunction="SIGMOID"), FrameConfig()).pixels
    )
    assert named.provenance["voi"] == "window 2 of 3 NORMAL, SIGMOID"
    first = read_view(file_of(None, **windows), FrameConfig())
    alone = {"WindowCenter": "1000", "WindowWidth": "100", "VOILUTFunction": "SIGMOID"}
    np.testing.assert_array_equal(first.pixels, read_view(file_of(None, **alone), FrameConfig()).pixels)
    assert first.provenance["voi"] == "window 1 of 3, SIGMOID"


def test_slope_and_intercept_come_before_the_window() -> None:
    pixels = breast_values()
    data = file_of(pixels, RescaleSlope="0.5", RescaleIntercept="-100", WindowCenter="924", WindowWidth="2048")
    formula = [[linear(value * 0.5 - 100, 924, 2048) for value in row] for row in pixels]
    np.testing.assert_allclose(pixels_of(data) / WHITE, formula, atol=1 / WHITE)


def test_a_sigmoid_window_of_monochrome1_is_one_minus_its_formula() -> None:
    pixels = breast_values()
    header = {"VOILUTFunction": "SIGMOID", "WindowCenter": "2000", "WindowWidth": "1000"}
    data = file_of(4095 - pixels, PhotometricInterpretation="MONOCHROME1", **header)
    formula = [[1 - sigmoid(4095.0 - value, 2000, 1000) for value in row] for row in pixels]
    np.testing.assert_allclose(pixels_of(data) / WHITE, formula, atol=1e-4)
