import tracemalloc
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import BaseTag
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from glam.dicom import WHITE, View, read_view
from glam.intake import CODES, InputError
from glam.phantom.dicom_file import view_of, write_dicom
from glam.phantom.options import PhantomOptions
from glam.phantom.pair import draw_pair
from glam.pixels import MAX_PIXELS

MG = "1.2.840.10008.5.1.4.1.1.1.2"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SECRET = "SECRET"


def breast_values(rows: int = 64, cols: int = 48, *, peak: int = 4095) -> np.ndarray:
    """Half an ellipse against the left edge, brighter toward its middle, on 0."""
    y, x = np.mgrid[:rows, :cols]
    inside = 1 - (x / (0.7 * cols)) ** 2 - ((y + 0.5 - rows / 2) / (0.4 * rows)) ** 2
    return np.where(inside > 0, np.rint(peak * (0.3 + 0.7 * np.clip(inside, 0, 1))), 0).astype(np.uint16)


def mammogram(pixels: np.ndarray | None = None, **changes: Any) -> Dataset:
    """A small MG image with a window; `changes` set attributes, None deletes them."""
    pixels = breast_values() if pixels is None else pixels
    dataset = Dataset()
    tags: dict[str, Any] = {
        "SOPClassUID": MG,
        "SOPInstanceUID": "1.2.3",
        "StudyInstanceUID": "1.2.4",
        "PatientID": SECRET,
        "PatientName": SECRET,
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageLaterality": "L",
        "ViewPosition": "CC",
        "ImagerPixelSpacing": ["0.1", "0.2"],
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": "2048",
        "WindowWidth": "4096",
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (tags | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    return dataset


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def with_raw(dataset: Dataset, keyword: str, value: bytes) -> bytes:
    """The file with an attribute replaced by a decimal string that pydicom would not write."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    dataset[keyword] = RawDataElement(BaseTag(tag), "DS", len(value), value + b" " * (len(value) % 2), 0, False, True)
    return encoded(dataset)


def code_item(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, SECRET
    return item


def error_of(source: Any, **given: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_view(source, **given)
    assert caught.value.code in CODES
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_windowed_mammogram_is_its_stored_values_over_the_window() -> None:
    pixels = breast_values()
    view = read_view(encoded(mammogram(pixels)))
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


def test_bytes_path_and_stream_give_the_same_view(tmp_path: Path) -> None:
    data = encoded(mammogram())
    path = tmp_path / "image.dcm"
    path.write_bytes(data)
    with path.open("rb") as stream:
        views = [read_view(data), read_view(path), read_view(stream), read_view(BytesIO(data))]
    for view in views[1:]:
        np.testing.assert_array_equal(view.pixels, views[0].pixels)
        assert (view.provenance, view.findings) == (views[0].provenance, views[0].findings)


def test_a_rle_file_gives_the_pixels_of_an_uncompressed_one() -> None:
    pixels = breast_values()
    compressed = mammogram(pixels)
    encoded(compressed)
    compressed.compress(RLELossless, pixels, generate_instance_uid=False)
    stream = BytesIO()
    compressed.save_as(stream, enforce_file_format=True)
    view = read_view(stream.getvalue())
    np.testing.assert_array_equal(view.pixels, read_view(encoded(mammogram(pixels))).pixels)
    assert (view.provenance["transfer_syntax"], view.provenance["decoder"]) == ("RLE Lossless", "pydicom")


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
    found = read_view(encoded(mammogram(**changes)), **given)
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
    found = read_view(encoded(mammogram(**changes)), **({"laterality": "r"} if source == "request" else {}))
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
        ("no_pixel_data", {"PixelData": None}),
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
        ("bad_value", {"WindowWidth": "0"}),
        ("bad_value", {"WindowCenter": "1e30"}),
        ("bad_value", {"WindowWidth": "1e30"}),
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
        {"ViewPosition": "RCC"},
        {"ViewPosition": SECRET},
        {"ViewPosition": None, "ViewCodeSequence": [code_item("12345", "SCT")]},
        {"ViewPosition": "", "ViewCodeSequence": [code_item("R-10242", "99VENDOR")]},
    ],
)
def test_the_request_does_not_overrule_a_view_that_is_not_known(changes: dict[str, Any]) -> None:
    assert error_of(encoded(mammogram(**changes)), view="CC").code == "unknown_view"


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_is_a_bad_value(keyword: str, number: str) -> None:
    dataset = mammogram(RescaleSlope="1", RescaleIntercept="0")
    assert error_of(with_raw(dataset, keyword, number.encode())).code == "bad_value"


@pytest.mark.parametrize("number", [b"inf", b"nan", b"1e300"])
def test_a_size_that_is_no_size_is_a_bad_value(number: bytes) -> None:
    assert error_of(with_raw(mammogram(), "Rows", number)).code == "bad_value"


@pytest.mark.parametrize("empty", ["WindowCenter", "WindowWidth", "VOILUTSequence"])
def test_an_empty_window_is_no_window(empty: str) -> None:
    none = {"WindowCenter": None, "WindowWidth": None}
    value: Any = [] if empty == "VOILUTSequence" else ""
    given = none | {empty: value} if empty == "VOILUTSequence" else {empty: value}
    view, plain = read_view(encoded(mammogram(**given))), read_view(encoded(mammogram(**none)))
    np.testing.assert_array_equal(view.pixels, plain.pixels)
    assert [finding.code for finding in view.findings] == ["no_window"]


def test_nesting_without_end_is_a_damaged_file() -> None:
    head = encoded(mammogram(PixelData=None))
    sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert error_of(head + sequence * 3000).code == "truncated"


def test_a_deflated_file_is_refused_before_it_is_inflated() -> None:
    data = encoded(mammogram(PixelData=bytes(50_000_000)), DeflatedExplicitVRLittleEndian)
    tracemalloc.start()
    error = error_of(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.code == "unsupported_syntax"
    assert "Deflated" in error.message
    assert peak < 10_000_000


def test_sides_that_differ_between_image_and_series_are_told() -> None:
    view = read_view(encoded(mammogram(ImageLaterality="L", Laterality="R")))
    assert view.laterality == "L"
    assert [(finding.code, finding.severity) for finding in view.findings] == [("side_tags_differ", "warning")]


@pytest.mark.parametrize(
    ("orientation", "unclear"),
    [(["F", "A"], True), (["L", "P"], True), ("A", True), (["A", "R"], False), ("CC", False), ("", False)],
)
def test_an_orientation_that_is_not_upright_is_told(orientation: Any, unclear: bool) -> None:
    view = read_view(encoded(mammogram(PatientOrientation=orientation)))
    assert [finding.code for finding in view.findings] == ["orientation_unclear"] * unclear


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


def test_what_is_no_dicom_is_told_from_what_is_broken() -> None:
    data = encoded(mammogram())
    assert error_of(b"\x89PNG\r\n\x1a\n" + bytes(300)).code == "not_dicom"
    assert error_of(b"").code == "not_dicom"
    assert error_of(data[: len(data) // 2]).code == "truncated"


def test_a_syntax_without_a_decoder_is_named() -> None:
    error = error_of(encoded(mammogram(PixelData=encapsulate([b"\0\0"])), MPEG2MPML))
    assert error.code == "unsupported_syntax"
    assert "MPEG2" in error.message
    assert error.status == 415


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    data = encoded(mammogram(Rows=65000, Columns=65000))
    tracemalloc.start()
    assert error_of(data).code == "too_large"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000 < MAX_PIXELS


def test_a_request_that_contradicts_the_header_is_refused() -> None:
    data = encoded(mammogram())
    assert error_of(data, view="MLO").code == "view_mismatch"
    assert error_of(data, laterality="R").code == "side_mismatch"
    assert read_view(data, view="CC", laterality="l").view == "CC"


def test_the_error_names_the_part_of_the_request() -> None:
    with pytest.raises(InputError) as caught:
        read_view(b"", where="images[3]")
    assert caught.value.where == "images[3]"
    assert str(caught.value).startswith("images[3]: this is not a DICOM file")


def test_monochrome1_is_inverted_after_the_window() -> None:
    pixels = breast_values()
    inverted = mammogram(4095 - pixels, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(
        read_view(encoded(inverted)).pixels, read_view(encoded(mammogram(pixels))).pixels, atol=1
    )


def test_monochrome1_without_a_window_gives_the_view_of_monochrome2() -> None:
    pixels = breast_values()
    none = {"WindowCenter": None, "WindowWidth": None}
    plain = read_view(encoded(mammogram(pixels, **none)))
    inverted = read_view(encoded(mammogram(4095 - pixels, PhotometricInterpretation="MONOCHROME1", **none)))
    np.testing.assert_allclose(inverted.pixels, plain.pixels, atol=1)
    assert [finding.code for finding in plain.findings] == ["no_window"]
    assert plain.provenance["voi"] == "breast range"


def test_without_a_window_white_borders_do_not_darken_the_breast() -> None:
    none = {"WindowCenter": None, "WindowWidth": None, "BitsStored": 16, "HighBit": 15}
    pixels = breast_values(200, 150)
    framed = pixels.copy()
    framed[:3] = framed[:, -3:] = 60000
    plain, bordered = (read_view(encoded(mammogram(values, **none))).pixels for values in (pixels, framed))
    np.testing.assert_allclose(bordered[3:, :-3], plain[3:, :-3], atol=0.02)


def test_a_sigmoid_window_follows_its_formula() -> None:
    pixels = breast_values()
    view = read_view(encoded(mammogram(pixels, WindowCenter="2000", WindowWidth="1000", VOILUTFunction="SIGMOID")))
    np.testing.assert_allclose(view.pixels / WHITE, 1 / (1 + np.exp(-4 * (pixels - 2000.0) / 1000)), atol=1e-3)


def test_of_several_windows_the_normal_one_is_taken() -> None:
    windows = {"WindowCenter": ["1000", "2048"], "WindowWidth": ["100", "4096"]}
    named = read_view(encoded(mammogram(**windows, WindowCenterWidthExplanation=["HARDER", "NORMAL"])))
    np.testing.assert_array_equal(named.pixels, read_view(encoded(mammogram())).pixels)
    first = read_view(encoded(mammogram(**windows)))
    assert set(np.unique(first.pixels)) == {0, WHITE}


def test_a_voi_lut_is_preferred_to_a_window() -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, 8], list(np.linspace(0, 255, 4096).astype(int)[::-1])
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "US"
    view = read_view(encoded(mammogram(VOILUTSequence=[item])))
    assert view.provenance["voi"] == "VOILUTSequence"
    np.testing.assert_allclose(view.pixels / WHITE, 1 - breast_values() / 4095, atol=0.005)


def test_signed_values_and_rescaling_are_followed() -> None:
    pixels = breast_values()
    signed = mammogram(
        (pixels.astype(np.int32) - 2048).astype(np.int16),
        PixelRepresentation=1,
        RescaleSlope="1",
        RescaleIntercept="2048",
    )
    np.testing.assert_allclose(read_view(encoded(signed)).pixels / WHITE, pixels / 4095, atol=1e-3)


def test_padding_is_background() -> None:
    pixels = breast_values()
    pixels[:5] = 4095
    assert read_view(encoded(mammogram(pixels, PixelPaddingValue=4095))).pixels[:5].max() == 0


def test_an_eight_bit_image_is_read() -> None:
    pixels = (breast_values() >> 4).astype(np.uint8)
    small = mammogram(pixels, BitsAllocated=8, BitsStored=8, HighBit=7, WindowCenter="128", WindowWidth="256")
    np.testing.assert_allclose(read_view(encoded(small)).pixels / WHITE, pixels / 255, atol=1e-6)


def test_a_film_says_what_it_lacks() -> None:
    changes = {"SOPClassUID": SECONDARY_CAPTURE, "ImagerPixelSpacing": None, "BurnedInAnnotation": "YES"}
    view = read_view(encoded(mammogram(**changes, LossyImageCompression="01", BreastImplantPresent="YES")))
    assert not view.is_mg
    assert [finding.code for finding in view.findings] == ["film", "burned_in", "lossy", "implant", "no_spacing"]


def test_identifiers_stay_out_of_the_representation() -> None:
    view = read_view(encoded(mammogram()))
    assert view.patient_id == SECRET
    assert SECRET not in repr(view)
    assert view.study_uid not in repr(view)


def test_an_implicit_file_with_an_overlong_identifier_raises_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing it warns
        data = encoded(mammogram(PatientID=SECRET * 20, StudyInstanceUID="not a uid"), ImplicitVRLittleEndian)
    assert read_view(data).patient_id == SECRET * 20


def outcome_of(data: bytes) -> View | InputError:
    try:
        return read_view(data)
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
        read, made = read_view(tmp_path / "phantom.dcm"), view_of(projection)
        np.testing.assert_allclose(read.pixels, made.pixels, atol=1e-6)
        assert _facts(read) == _facts(made)
        assert (read.patient_id, read.study_uid) == (made.patient_id, made.study_uid)


def _facts(view: View) -> tuple[object, ...]:
    sources = {name: value for name, value in view.provenance.items() if name != "transfer_syntax"}
    return view.view, view.laterality, view.spacing_mm, view.orientation, view.findings, view.is_mg, sources
