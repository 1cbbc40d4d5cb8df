"""Attributes that are not what the standard allows end in a View or in one of our errors, and are never repeated."""

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading import header
from glam.reading.read import read_view
from tests.samples.mammograms import raw_element

FileOf = Callable[..., bytes]
LEFT = "\u5de6"
SECRET = b"SECRET"
TEXTS = (
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "ImageType",
    "ConversionType",
    "BodyPartExamined",
    "SeriesDescription",
    "ProtocolName",
    "ManufacturerModelName",
    "ViewPosition",
    "ImageLaterality",
    "Laterality",
    "PatientOrientation",
    "PatientSex",
    "PatientID",
    "PartialView",
    "StudyInstanceUID",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "BreastImplantPresent",
    "QualityControlImage",
    "ContrastBolusAgent",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "NominalScannedPixelSpacing",
    "NumberOfFrames",
    "InstanceNumber",
    "EstimatedRadiographicMagnificationFactor",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "SamplesPerPixel",
)
SEQUENCES = (
    "ViewCodeSequence",
    "ViewModifierCodeSequence",
    "AnatomicRegionSequence",
    "FrameAnatomySequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "SourceImageSequence",
    "SpecimenDescriptionSequence",
    "ContrastBolusAgentSequence",
)
VALUES = (b"", SECRET * 40, b"\\\\", b"\xff\xfe\x00", b"1e999", b"-1")


def planted(data: bytes, keyword: str, vr: str, value: bytes) -> bytes:
    """The file with an attribute replaced by bytes that pydicom would not write."""
    dataset = dcmread(BytesIO(data))
    dataset[keyword] = raw_element(keyword, value, vr)
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def said_of(data: bytes, **given: str) -> str:
    """All that a caller gets to read."""
    try:
        view = read_view(data, FrameConfig(), **given)
    except InputError as error:
        return str(error)
    return f"{view!r} {view.provenance} {view.findings}"


@pytest.mark.parametrize("keyword", TEXTS)
def test_whatever_a_text_attribute_holds_is_neither_repeated_nor_a_crash(file_of: FileOf, keyword: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing it warns
        files = [planted(file_of(), keyword, dictionary_VR(tag_for_keyword(keyword) or 0), value) for value in VALUES]
        files += [planted(file_of(), keyword, vr, SECRET * 4) for vr in ("UN", "SQ")]
    for data in files:
        assert "SECRET" not in said_of(data, view="MLO", laterality="R")


@pytest.mark.parametrize("keyword", SEQUENCES)
def test_a_sequence_that_is_none_is_neither_repeated_nor_a_crash(file_of: FileOf, keyword: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [planted(file_of(), keyword, vr, SECRET * 4) for vr in ("LO", "SQ", "FD")]
    for data in files:
        assert "SECRET" not in said_of(data)


@pytest.mark.parametrize("seed", range(20))
def test_items_of_anything_in_anything_are_read(file_of: FileOf, seed: int) -> None:
    rng = np.random.default_rng(seed)
    changes: dict[str, Any] = {keyword: Sequence([nested(rng, 3)]) for keyword in rng.choice(SEQUENCES, 4)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = file_of(**changes)
    assert "SECRET" not in said_of(data)


def nested(rng: np.random.Generator, depth: int) -> Dataset:
    """Sequences in sequences, with codes that mean nothing at the bottom."""
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = "SECRET", "SCT", "SECRET"
    made.FrameLaterality = "SECRET"
    for keyword in rng.choice([*SEQUENCES, "FrameAnatomySequence"], 2 if depth else 0):
        setattr(made, keyword, Sequence([nested(rng, depth - 1)]))
    return made


def test_a_sequence_has_items_and_no_text() -> None:
    dataset, item = Dataset(), Dataset()
    item.CodeValue = "1"
    dataset.ViewCodeSequence = [item]
    dataset.ViewPosition = "CC"
    assert header.text(dataset, "ViewCodeSequence") == ""
    assert header.items(dataset, "ViewCodeSequence") == [item]
    assert header.items(dataset, "ViewPosition") == []


def test_a_moment_comes_from_the_first_attributes_that_hold_one() -> None:
    dataset = Dataset()
    assert header.acquired_of(dataset) == ("", 0)
    dataset.ContentDate, dataset.ContentTime, dataset.InstanceNumber = "20200102", "080000", "3"
    assert header.acquired_of(dataset) == ("20200102080000", 3)
    dataset.AcquisitionDateTime = "20200101235959"
    assert header.acquired_of(dataset) == ("20200101235959", 3)


def test_what_orders_images_is_kept_and_never_shown(file_of: FileOf) -> None:
    when = {"AcquisitionDate": "20200131", "AcquisitionTime": "101500", "ContentTime": "235959", "InstanceNumber": "7"}
    view = read_view(file_of(**when, ContentDate="20200201"), FrameConfig())
    assert view.acquired == ("20200131101500", 7)
    assert "20200131" not in repr(view)


def attribute(keyword: str, value: bytes) -> Any:
    dataset = Dataset()
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    dataset[keyword] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    return dataset


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        (b"0,24\\0,24", [0.24, 0.24]),
        (b"1300,5", [1300.5]),
        (b"1,8", [1.8]),
        (b"+1.5E-1\\ 2 \\3\0", [0.15, 2.0, 3.0]),
        (b",5\\5,", [0.5, 5.0]),
        (b"0.1234567890123456789", [0.1234567890123456789]),
        (b"NaN", []),
        (b"inf", []),
        (b"1e999", []),
        (b"1_000", []),
        (b"1.300,5", []),
        (b"0x10", []),
        ("\uff11".encode(), []),
        (b"5\\x", []),
    ],
)
def test_a_decimal_string_may_have_a_comma_for_its_point_and_nothing_stranger(
    value: bytes, numbers: list[float]
) -> None:
    dataset = attribute("WindowCenter", value)
    assert header.numbers(dataset, "WindowCenter") == numbers
    assert header.number(dataset, "WindowCenter") == (numbers[0] if len(numbers) == 1 else None)


def test_a_window_with_decimal_commas_shows_what_one_with_points_shows(file_of: FileOf) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing a comma warns
        files = [
            planted(planted(file_of(), "WindowCenter", "DS", centre), "WindowWidth", "DS", width)
            for centre, width in ((b"2048,5", b"4096,0"), (b"2048.5", b"4096.0"))
        ]
    views = [read_view(data, FrameConfig()) for data in files]
    assert (views[0].pixels == views[1].pixels).all()
    assert views[0].findings == views[1].findings == ()


def test_an_item_has_the_character_set_around_it_unless_it_has_its_own() -> None:
    around, inner, other = Dataset(), Dataset(), Dataset()
    around["SpecificCharacterSet"] = raw_element("SpecificCharacterSet", b"GB18030")
    inner["CodeMeaning"] = raw_element("CodeMeaning", LEFT.encode("gb18030"))
    other["CodeMeaning"] = raw_element("CodeMeaning", LEFT.encode("cp932"))
    other["SpecificCharacterSet"] = raw_element("SpecificCharacterSet", b"ISO_IR 13")
    around.AnatomicRegionSequence = [inner, other]
    assert [header.text(item, "CodeMeaning") for item in header.items(around, "AnatomicRegionSequence")] == [LEFT, LEFT]


@pytest.mark.parametrize("undefined", [False, True])
def test_an_item_of_an_item_inherits_in_a_file_too(file_of: FileOf, undefined: bool) -> None:
    meaning = "\u30bd\u53f3"  # the second byte of the first one is a backslash
    written = meaning.encode("cp932")
    region, modifier = Dataset(), Dataset()
    modifier.CodeMeaning = "?" * len(written)
    region.AnatomicRegionModifierSequence = [modifier]
    dataset = dcmread(BytesIO(file_of()))
    dataset.SpecificCharacterSet = "ISO_IR 13"
    dataset.AnatomicRegionSequence = [region]
    dataset["AnatomicRegionSequence"].is_undefined_length = undefined
    stream = BytesIO()
    dataset.save_as(stream)
    read = dcmread(BytesIO(stream.getvalue().replace(b"?" * len(written), written)))
    (item,) = header.items(read, "AnatomicRegionSequence")
    (nested_item,) = header.items(item, "AnatomicRegionModifierSequence")
    assert header.text(nested_item, "CodeMeaning") == meaning


@pytest.mark.parametrize("vr", ["CS", "LO", "UN", "SH"])
def test_every_attribute_is_text_whatever_its_vr(vr: str) -> None:
    dataset = Dataset()
    dataset["SpecificCharacterSet"] = raw_element("SpecificCharacterSet", b"GB18030")
    dataset["SeriesDescription"] = raw_element("SeriesDescription", LEFT.encode("gb18030"), vr)
    dataset["ViewPosition"] = raw_element("ViewPosition", LEFT.encode("gb18030"), vr)
    assert header.text(dataset, "SeriesDescription") == LEFT
    assert header.text(dataset, "ViewPosition") == LEFT


@pytest.mark.parametrize(("term", "codec"), [("GB18030", "gb18030"), ("ISO_IR 13", "cp932"), ("ISO_IR 192", "utf_8")])
def test_a_code_string_is_decoded_by_the_character_set_as_well(term: str, codec: str) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = term
    dataset["ViewPosition"] = raw_element("ViewPosition", "\uff2d\uff2c\uff2f".encode(codec))
    assert header.text(dataset, "ViewPosition") == "\uff2d\uff2c\uff2f"


@pytest.mark.parametrize(
    "bad", [b"1_000", b"nan", b"inf", "\uff11".encode(), "\u0661".encode(), b"0x10", b"1 0", b"1e999", b""]
)
def test_a_value_that_is_no_decimal_string_is_none_in_its_place(bad: bytes) -> None:
    values = header.decimals(attribute("WindowWidth", b"1,5\\" + bad + b"\\3"), "WindowWidth")
    assert (values[0], np.isnan(values[1]), values[2]) == (1.5, True, 3.0)


@pytest.mark.parametrize("vr", ["FD", "FL"])
def test_a_decimal_string_that_was_stored_in_binary_counts(file_of: FileOf, vr: str) -> None:
    binary = np.array([0.25, 0.5], "<f8" if vr == "FD" else "<f4").tobytes()
    view = read_view(planted(file_of(), "ImagerPixelSpacing", vr, binary), FrameConfig())
    assert (view.spacing_mm, view.provenance["spacing_mm"], view.findings) == ((0.25, 0.5), "ImagerPixelSpacing", ())
    nothing = np.array([0.25, np.nan], "<f8" if vr == "FD" else "<f4").tobytes()
    assert read_view(planted(file_of(), "ImagerPixelSpacing", vr, nothing), FrameConfig()).spacing_mm is None


@pytest.mark.parametrize("vr", ["FD", "FL", "US"])
def test_a_window_that_was_stored_in_binary_counts(file_of: FileOf, vr: str) -> None:
    kind = {"FD": "<f8", "FL": "<f4", "US": "<u2"}[vr]
    plain = file_of(WindowCenter="1000", WindowWidth="900")
    data = plain
    for keyword, single in (("WindowCenter", 1000), ("WindowWidth", 900)):
        data = planted(data, keyword, vr, np.array([single], kind).tobytes())
    view = read_view(data, FrameConfig())
    assert view.provenance["voi"] == "window LINEAR"
    assert np.array_equal(view.pixels, read_view(plain, FrameConfig()).pixels)


@pytest.mark.parametrize("width", [b"1_000", b"nan", "\uff19\uff10\uff10".encode()])
def test_a_window_whose_width_is_no_number_is_passed_over(file_of: FileOf, width: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = planted(file_of(), "WindowWidth", "DS", width)
    assert [found.code for found in read_view(data, FrameConfig()).findings] == ["voi_passed_over", "no_window"]
