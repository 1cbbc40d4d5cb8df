"""Text is text: what a header says is decoded by its character set, and half a character is never a letter."""

from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.charset import codec_of, decoded, folded
from glam.reading.identity import decide_side, decide_view
from glam.reading.read import read_view
from glam.reading.view_text import sides_of, view_text_of
from tests.samples.mammograms import raw_element

FileOf = Callable[..., bytes]
LEFT, RIGHT = "\u5de6", "\u53f3"
SO = "\u30bd"
"""A letter of Japanese whose second byte in Shift JIS is a backslash."""
DENT = "\u935b"
"""A character whose bytes in JIS X 0208 are the letters CC."""


def file_with(data: bytes, declared: str, described: bytes, *, implicit: bool = False) -> bytes:
    """A file without a view but in its description, the bytes of it as they are."""
    padded = described + b" " * (len(described) % 2)
    dataset = dcmread(BytesIO(data))
    del dataset.ViewPosition
    dataset.SeriesDescription = "?" * len(padded)
    dataset.SpecificCharacterSet = declared.split("\\")
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, implicit_vr=implicit, little_endian=True)
    return stream.getvalue().replace(b"?" * len(padded), padded)


@pytest.mark.parametrize(
    ("value", "declared", "text"),
    [
        (b"L CC", "", "L CC"),
        (f"{LEFT} CC".encode(), "ISO_IR 192", f"{LEFT} CC"),
        (f"{LEFT} CC".encode(), "ISO IR 192", f"{LEFT} CC"),
        (f"{LEFT} CC".encode(), "utf-8", f"{LEFT} CC"),
        (f"{LEFT} CC".encode(), "", f"{LEFT} CC"),
        (f"{LEFT} CC".encode("gb18030"), "GB18030", f"{LEFT} CC"),
        (f"{LEFT} CC".encode("gbk"), "GBK", f"{LEFT} CC"),
        (f"{LEFT}{SO}CC".encode("cp932"), "ISO_IR 13", f"{LEFT}{SO}CC"),
        (b"\x1b$B:8\x1b(B CC", "\\ISO 2022 IR 87", f"{LEFT} CC"),
        (b"\x1b$B:8\x1b(J CC", "ISO 2022 IR 13\\ISO 2022 IR 87", f"{LEFT} CC"),
        (b"\x1b$@:8\x1b(B CC", "", f"{LEFT} CC"),
        (b"\x1b$BCC\x1b(B", "\\ISO 2022 IR 87", DENT),
        (b"\x1b$BCC\x1b(B", "ISO_IR 100", DENT),
        (b"\x1b$BCC CC", "\\ISO 2022 IR 87", f"{DENT} {DENT}"),
        (b"\x1b$(D0!\x1b(B CC", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "\u4e02 CC"),
        (b"\x1b$)C\xc1\xc2 CC", "\\ISO 2022 IR 149", "\uc88c CC"),
        (b"\x1b$)A\xd7\xf3 CC", "\\ISO 2022 IR 58", f"{LEFT} CC"),
        (b"\xbc\x1b)I\xbf\x1b-F\xe1", "ISO 2022 IR 13", "\uff7c\uff7f\u03b1"),
        (b"Cr\xe2nio", "ISO_IR 100", "Cr\u00e2nio"),
        (b"\xb3\xbf", "ISO_IR 101", "\u0142\u017c"),
        (b"\xbb\xd5\xd2", "ISO_IR 144", "\u041b\u0435\u0432"),
        (b"\xe1", "ISO_IR 126", "\u03b1"),
        (b"\xa4", "ISO_IR 203", "\u20ac"),
    ],
)
def test_bytes_are_decoded_by_the_set_that_is_declared_or_switched_to(value: bytes, declared: str, text: str) -> None:
    assert decoded(value, declared) == text


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (b"\x83L", ""),
        (b"\x83C\x83C", ""),
        (b"\x83\\CC", ""),
        (b"\xb1\x83\\CC", ""),
        (b"\x83\\CC", "ISO_IR 100"),
        (b"\x83\\CC", "NO SUCH SET"),
        (b"\xff\xfeL", "ISO_IR 192"),
        (b"\x1b$BC\x1b(B\x83L", ""),
        (b"\x1b$BLCC", ""),
        (b"\x1b$B\xe9CC", ""),
        (b"\x1b(ILCC", ""),
        (b"\x1bLCC", ""),
        (b"\x1b%/ALCC", ""),
        ("左ソ".encode("cp932") + b"CC", ""),
    ],
)
def test_half_a_character_is_never_a_letter_of_a_view_or_a_side(value: bytes, declared: str) -> None:
    text = decoded(value, declared)
    for part in text.split("\\"):
        assert (view_text_of(part).views, sides_of(part)) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    ("value", "declared", "side"),
    [
        *((b"\xd7R MLO", term, "") for term in ("ISO_IR 100", "ISO_IR 101", "\\ISO 2022 IR 87\\ISO 2022 IR 100")),
        *(
            (value, "ISO_IR 100", "")
            for value in (b"\xa5L CC", b"\xa5LCC", b"CC \xb4L", b"\xadR MLO", b"MLO \xa4\xf7r")
        ),
        *(
            (b"\xd1L CC", "ISO_IR 166", ""),
            *(
                (value, "windows-1252", "")
                for value in (b"\xbfR MLO", b"\x82RMLO", b"\x85L MLO", b"MLO \x96L", b"\x99L CC")
            ),
            (b"\x1b-A\xd7R MLO", "", ""),
        ),
        *((value, "ISO_IR 100", "L") for value in (b"\xabL\xbb CC", b"\xa0L CC", b"L CC \xa9", b"LCC \xa9Siemens")),
        *((value, "ISO_IR 192", "R") for value in (b"\xc3\x97R MLO", b"\xc2\xb7R MLO")),
    ],
)
def test_a_letter_behind_a_sign_may_be_half_of_a_character(value: bytes, declared: str, side: str) -> None:
    """A set of one byte is declared, and the text is in one of two: 0xD7 0x52 is a Chinese character."""
    assert view_text_of(decoded(value, declared)).sides == set(side)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        *(
            (text.encode(), "ISO_IR 192")
            for text in ("MLO \ufffdL", "MLO \ufffd\ufffdR", "MLO \ue123L", "MLO \U000f0000R")
        ),
        *(
            (text.encode(), "ISO_IR 192")
            for text in ("MLO \u25a1L", "MLO L\ufffd", "MLO L\u0338", "MLO \u0390L", "MLO ?L")
        ),
        *((b"\xa5LMLO", term) for term in ("ISO_IR 13", "ISO 2022 IR 13\\ISO 2022 IR 87")),
        *((value, "ISO_IR 13") for value in (b"\xa1L MLO", b"\xc0L MLO", b"MLO \xb1R", b"\xa4\xa4\xc0LCC")),
        *((value, "ISO_IR 126") for value in (b"\xc0L MLO", b"MLO \xe0R")),
        (b"MLO \x1aL", ""),
        (b"MLO \xa5L", "GB18030"),
    ],
)
def test_a_letter_beside_what_could_not_be_read_is_no_side(value: bytes, declared: str) -> None:
    assert view_text_of(decoded(value, declared)).sides == frozenset()


@pytest.mark.parametrize(
    "text", ["\ufffdRMLO", "\ufffdLCC", "LCC\ufffd", "?RMLO", "\ue123CC", f"{chr(0xDC83)}LCC", "RMLO\u0338"]
)
def test_a_view_beside_what_could_not_be_read_is_none(text: str) -> None:
    assert view_text_of(text)[:2] == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "text",
    ["L CC \ufffd", "L CC?", "L CC cr\ufffdneo", "L CC \uff8b\uff80\uff9e\uff98", "L CC \u0e0b\u0e49\u0e32\u0e22"],
)
def test_what_could_not_be_read_elsewhere_takes_no_view_or_side_with_it(text: str) -> None:
    assert view_text_of(text)[:2] == ({"CC"}, {"L"})


def test_bytes_without_a_meaning_stay_distinct() -> None:
    assert decoded(b"A\x83B", "") != decoded(b"A\x84B", "") != decoded(b"A\x84C", "")


@pytest.mark.parametrize(
    ("term", "codec"),
    [
        ("ISO_IR 100", "latin_1"),
        ("ISO-IR-100", "latin_1"),
        ("iso2022ir100", "latin_1"),
        ("ISO_2022_IR_6", "ascii"),
        ("ISO 2022 GBK", "gb18030"),
        ("ISO 2022 58", "gb18030"),
        ("ISO-8859-15", "iso8859_15"),
        ("ISO-8859-99", "ascii"),
        ("windows-1252", "cp1252"),
        ("SHIFT_JIS", "cp932"),
        ("hex", "ascii"),
        ("utf-16", "ascii"),
        ("", "ascii"),
    ],
)
def test_a_misspelled_character_set_is_understood_or_taken_for_ascii(term: str, codec: str) -> None:
    assert codec_of(term) == codec


def test_folding_makes_wide_letters_usual_and_nothing_else_a_letter() -> None:
    assert folded("\uff2c\uff23\uff23 \uff2d\uff2c\uff2f") == "LCC MLO"
    assert folded("m\u00e9dio-lat\u00e9rale") == "MEDIO-LATERALE"
    assert folded("\u00c7\u00c7") == "\u00c7\u00c7"
    assert folded("100 \u33c4").split() == ["100"]
    assert folded("craniocaudal_left").split() == ["CRANIOCAUDAL", "LEFT"]


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("declared", "described"),
    [
        ("\\ISO 2022 IR 87", b"\x1b$B:8\x1b(BMLO"),
        ("ISO_IR 192", f"{LEFT}\uff2d\uff2c\uff2f".encode()),
        ("GB18030", f"{LEFT}MLO".encode("gb18030")),
        ("ISO_IR 13", f"{SO}{LEFT} MLO".encode("cp932")),
        ("ISO_IR 13", f"{LEFT}MLO".encode("cp932")),
        ("ISO_IR 100", "oblique m\u00e9dio-lat\u00e9rale gauche".encode("latin_1")),
        ("", "oblique m\u00e9dio-lat\u00e9rale gauche".encode()),
    ],
)
def test_view_and_side_are_found_in_decoded_descriptions(
    file_of: FileOf, declared: str, described: bytes, implicit: bool
) -> None:
    view = read_view(file_with(file_of(), declared, described, implicit=implicit), FrameConfig())
    assert (view.view, view.laterality, view.findings) == ("MLO", "L", ())
    opposite = described.replace(b":8", b"1&").replace(LEFT.encode(), RIGHT.encode())
    if opposite != described:
        found = read_view(file_with(file_of(), declared, opposite, implicit=implicit), FrameConfig()).findings
        assert [finding.code for finding in found] == ["side_words_differ"]


@pytest.mark.parametrize(
    ("declared", "described"),
    [
        ("\\ISO 2022 IR 87", b"\x1b$BCCCC\x1b(B"),
        ("", b"\x83\\CC"),
        ("ISO 2022 IR 6\\ISO 2022 IR 87", b"\x1b$B\\CCC\x1b(B"),
    ],
)
def test_a_description_of_other_letters_names_no_view_and_the_request_does(
    file_of: FileOf, declared: str, described: bytes
) -> None:
    data = file_with(file_of(), declared, described)
    with pytest.raises(InputError) as caught:
        read_view(data, FrameConfig())
    assert caught.value.code == "unknown_view"
    assert "send it as cc or as mlo" in caught.value.message
    assert read_view(data, FrameConfig(), view="CC").view == "CC"


@pytest.mark.parametrize(
    ("view", "side", "expected"),
    [
        (b"cc", b"l", ("CC", "L")),
        (b"Cranio-caudal", b"Rechts ", ("CC", "R")),
        (b"MLO\\", b"\\R", ("MLO", "R")),
        (b"CC\\cc\0", b"L\0", ("CC", "L")),
        (b" MLO ", b"left", ("MLO", "L")),
    ],
)
def test_a_code_string_counts_in_any_case_and_padding(view: bytes, side: bytes, expected: tuple[str, str]) -> None:
    dataset = Dataset()
    dataset["ViewPosition"] = raw_element("ViewPosition", view)
    dataset["ImageLaterality"] = raw_element("ImageLaterality", side)
    assert (decide_view(dataset, None).value, decide_side(dataset, None).value) == expected


@pytest.mark.parametrize(
    ("text", "codec", "declared", "found"),
    [
        ("\uff2d\uff2c\uff2f \u4e73", "utf_8", "ISO_IR 192", "\uff2d\uff2c\uff2f"),
        ("\u53f3 \uff2d\uff2c\uff2f \u4e73", "gb18030", "GB18030", "\uff2d\uff2c\uff2f"),
        ("\u53f3 \uff2d\uff2c\uff2f \u4e73", "cp932", "ISO_IR 13", "\uff2d\uff2c\uff2f"),
    ],
)
def test_a_character_that_is_cut_at_the_end_takes_no_other_with_it(text: str, codec: str, declared: str, found: str):
    cut = decoded(text.encode(codec)[:-1], declared)
    assert found in cut
    assert "MLO" in folded(cut).split()


def test_an_odd_byte_behind_two_byte_characters_takes_no_other_with_it() -> None:
    run = "\uff2d\uff2c\uff2f".encode("iso2022_jp")
    assert folded(decoded(run.removesuffix(b"\x1b(B") + b"!", "\\ISO 2022 IR 87"))[:3] == "MLO"


@pytest.mark.parametrize("value", [b"\x1b$)C\x0eCC\x0f", b"\x0eCC\x0f", b"\x0eLC\x0f"])
def test_letters_that_were_shifted_out_are_none(value: bytes) -> None:
    assert not set("LC") & set(folded(decoded(value, "\\ISO 2022 IR 149")))


def test_signs_that_look_like_letters_are_none_and_unseen_ones_part_no_word() -> None:
    assert folded("MLO 3 \u2113").split() == ["MLO", "3"]
    assert "C" not in folded("\u216d\u216d")
    assert folded("M\u200bL\u00adO") == "MLO"


@pytest.mark.parametrize(
    ("declared", "codec", "said"),
    [
        ("\\ISO 2022 IR 87", "euc_jp", "左 \uff2d\uff2c\uff2f"),
        ("\\ISO 2022 IR 149", "euc_kr", "좌측 \uff23\uff23"),
        ("\\ISO 2022 IR 58", "gb2312", "左侧 \uff23\uff23"),
    ],
)
def test_two_bytes_without_their_escape_are_text_where_one_declared_set_has_them(
    declared: str, codec: str, said: str
) -> None:
    value = said.encode(codec)
    assert decoded(value, declared) == said
    assert decoded(value, "") != said  # nothing names the set
    assert "L" not in decoded(value[:-1] + b"L", "")
