import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.findings import InputError
from glam.phantom.dicom_file import write_dicom
from glam.phantom.in_memory import view_of
from glam.phantom.options import PhantomOptions
from glam.phantom.pair import draw_pair
from glam.reading.read import read_view
from glam.view import WHITE, View
from tests.samples.answers import error_of, finding_codes
from tests.samples.mammograms import SECRET, breast_values, code_item, encoded, mammogram, raw_element

MG = "1.2.840.10008.5.1.4.1.1.1.2"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def with_raw(dataset: Dataset, keyword: str, value: bytes) -> bytes:
    """The file with an attribute replaced by a decimal string that pydicom would not write."""
    dataset[keyword] = raw_element(keyword, value, "DS")
    return encoded(dataset)


def test_a_windowed_mammogram_is_its_stored_values_over_the_window() -> None:
    pixels = breast_values()
    view = read_view(encoded(mammogram(pixels)), FrameConfig())
    np.testing.assert_allclose(view.pixels / WHITE, pixels / 4095, atol=1 / WHITE)
    assert view.pixels.dtype == np.uint16
    assert (view.view, view.laterality, view.spacing_mm, view.is_mg) == ("CC", "L", (0.1, 0.2), True)
    assert view.findings == ()
    assert view.provenance == {
        "view": "ViewPosition",
        "laterality": "ImageLaterality",
        "spacing_mm": "ImagerPixelSpacing",
        "voi": "window LINEAR",
        "transfer_syntax": "Explicit VR Little Endian",
        "decoder": "native",
    }


@pytest.mark.parametrize(
    ("changes", "view", "source"),
    [
        ({"ViewCodeSequence": [code_item("399162004", "SCT")], "ViewPosition": None}, "CC", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code_item("399368009", "SCT")], "ViewPosition": "MLO"}, "MLO", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code_item("R-10226", "SRT")], "ViewPosition": ""}, "MLO", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code_item("R-10242", "SNM3")], "ViewPosition": None}, "CC", "ViewCodeSequence"),
        ({"ViewCodeSequence": [code_item("R-10226", "99VENDOR")], "ViewPosition": "CC"}, "CC", "ViewPosition"),
        ({"ViewPosition": "MLO"}, "MLO", "ViewPosition"),
        ({"ViewPosition": None, "PatientOrientation": "MLO"}, "MLO", "PatientOrientation"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "R"]}, "CC", "request"),
    ],
)
def test_the_view_comes_from_the_first_source_that_names_it(changes: dict[str, Any], view: str, source: str) -> None:
    given = {"view": "cc"} if source == "request" else {}
    found = read_view(encoded(mammogram(**changes)), FrameConfig(), **given)
    assert (found.view, found.provenance["view"]) == (view, source)


@pytest.mark.parametrize(
    ("changes", "side", "source"),
    [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R", "ImageLaterality"),
        ({"ImageLaterality": None, "Laterality": "R"}, "R", "Laterality"),
        ({"ImageLaterality": None}, "R", "request"),
    ],
)
def test_the_side_of_the_image_goes_before_that_of_its_series(changes: dict[str, Any], side: str, source: str) -> None:
    found = read_view(
        encoded(mammogram(**changes)), FrameConfig(), **({"laterality": "r"} if source == "request" else {})
    )
    assert (found.laterality, found.provenance["laterality"]) == (side, source)


@pytest.mark.parametrize("code", ["399260004", "R-10224"])
def test_a_mediolateral_view_is_not_taken_for_a_mediolateral_oblique(code: str) -> None:
    scheme = "SRT" if code.startswith("R-") else "SCT"
    error = error_of(encoded(mammogram(ViewCodeSequence=[code_item(code, scheme)], ViewPosition="ML")))
    assert error.code == "unknown_view"
    assert "says ML:" in error.message


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("truncated", {"PixelData": None}),
        ("truncated", {"PixelData": breast_values().tobytes()[:-400]}),
        ("not_a_mammogram", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}),
        ("not_a_mammogram", {"SOPClassUID": SECONDARY_CAPTURE, "Modality": "CR", "BodyPartExamined": "CHEST"}),
        ("for_processing", {"SOPClassUID": MG + ".1", "PresentationIntentType": "FOR PROCESSING"}),
        ("for_processing", {"PresentationIntentType": "FOR PROCESSING"}),
        ("tomosynthesis", {"SOPClassUID": TOMOSYNTHESIS}),
        ("multi_frame", {"NumberOfFrames": "25"}),
        ("too_large", {"Rows": 9000, "Columns": 9000}),
        ("not_monochrome", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("bad_value", {"Rows": 0}),
        ("bad_value", {"RescaleSlope": "0", "RescaleIntercept": "0"}),
        ("unknown_view", {"ViewPosition": None}),
        ("unknown_view", {"ViewPosition": SECRET}),
        ("view_mismatch", {"ViewPosition": "MLO", "ViewCodeSequence": [code_item("399162004", "SCT")]}),
        ("unknown_view", {"ViewPosition": None, "ViewCodeSequence": [code_item("399260004", "SCT")]}),
        ("unknown_laterality", {"ImageLaterality": None}),
        ("unknown_laterality", {"ImageLaterality": "B"}),
        ("no_breast", {"PixelData": bytes(64 * 48 * 2), "WindowCenter": None}),
    ],
)
def test_every_unusable_file_has_its_code(code: str, changes: dict[str, Any]) -> None:
    assert error_of(encoded(mammogram(**changes))).code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"ViewPosition": "SPOT"},
        {"ViewPosition": SECRET},
        {"ViewPosition": None, "ViewCodeSequence": [code_item("12345", "SCT")]},
        {"ViewPosition": "", "ViewCodeSequence": [code_item("R-10242", "99VENDOR")]},
    ],
)
def test_the_request_decides_where_the_header_names_a_view_that_is_not_known(changes: dict[str, Any]) -> None:
    data = encoded(mammogram(**changes))
    assert error_of(data).code == "unknown_view"
    view = read_view(data, FrameConfig(), view="CC")
    assert (view.view, view.provenance["view"]) == ("CC", "request")
    assert "view_tag_unclear" in finding_codes(view)


@pytest.mark.parametrize("number", [b"inf", b"nan", b"1e300"])
def test_a_size_that_is_no_size_is_a_bad_value(number: bytes) -> None:
    assert error_of(with_raw(mammogram(), "Rows", number)).code == "bad_value"


def test_sides_that_differ_between_image_and_series_are_told() -> None:
    view = read_view(encoded(mammogram(ImageLaterality="L", Laterality="R")), FrameConfig())
    assert view.laterality == "L"
    assert [(finding.code, finding.severity) for finding in view.findings] == [("side_tags_differ", "warning")]


@pytest.mark.parametrize(
    ("orientation", "unclear"),
    [(["F", "A"], True), (["L", "P"], True), ("A", True), (["A", "R"], False), ("CC", False), ("", False)],
)
def test_an_orientation_that_is_not_upright_is_told(orientation: Any, unclear: bool) -> None:
    view = read_view(encoded(mammogram(PatientOrientation=orientation)), FrameConfig())
    assert finding_codes(view) == ["orientation_unclear"] * unclear


def test_what_pydicom_would_quote_is_neither_warned_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    data = encoded(mammogram(SpecificCharacterSet="ISO_IR 100", PatientOrientation=["A", "R"]))
    data = data.replace(b"ISO_IR 100", b"SECRET    ")
    slope = with_raw(mammogram(), "RescaleSlope", SECRET.encode())
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome_of(data)
        outcome_of(slope)
    assert caught == []
    assert caplog.text == ""


def test_a_request_that_contradicts_the_header_is_refused() -> None:
    data = encoded(mammogram())
    assert error_of(data, view="MLO").code == "view_mismatch"
    assert error_of(data, laterality="R").code == "side_mismatch"
    assert read_view(data, FrameConfig(), view="CC", laterality="l").view == "CC"


def test_a_film_says_what_it_lacks() -> None:
    changes = {"SOPClassUID": SECONDARY_CAPTURE, "ImagerPixelSpacing": None, "BurnedInAnnotation": "YES"}
    view = read_view(
        encoded(mammogram(**changes, LossyImageCompression="01", BreastImplantPresent="YES")), FrameConfig()
    )
    assert not view.is_mg
    assert finding_codes(view) == ["film", "burned_in", "lossy", "implant", "no_spacing"]


def test_identifiers_stay_out_of_the_representation() -> None:
    view = read_view(encoded(mammogram()), FrameConfig())
    assert view.patient_id == SECRET
    assert SECRET not in repr(view)
    assert view.study_uid not in repr(view)


def outcome_of(data: bytes) -> View | InputError:
    try:
        return read_view(data, FrameConfig())
    except InputError as error:
        return error


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_give_a_view_or_an_input_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(mammogram()))
    header = len(data) - 64 * 48 * 2
    for place in rng.integers(132, header, 1 + seed % 8):
        data[place] = rng.integers(256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(
            outcome_of(bytes(data[: rng.integers(header, len(data) + 1)] if seed % 2 else data)), View | InputError
        )


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_a_phantom_file_reads_as_its_view_in_memory(laterality: str, tmp_path: Path) -> None:
    pair = draw_pair(3, PhantomOptions(px_mm=0.96), laterality=laterality)
    for projection in (pair.cc, pair.mlo):
        write_dicom(tmp_path / "phantom.dcm", projection)
        read, made = read_view(tmp_path / "phantom.dcm", FrameConfig()), view_of(projection, FrameConfig())
        np.testing.assert_allclose(read.pixels, made.pixels, atol=1e-6)
        assert _facts(read) == _facts(made)
        assert (read.patient_id, read.study_uid) == (made.patient_id, made.study_uid)


def _facts(view: View) -> tuple[object, ...]:
    sources = {name: value for name, value in view.provenance.items() if name != "transfer_syntax"}
    return view.view, view.laterality, view.spacing_mm, view.orientation, view.findings, view.is_mg, sources
