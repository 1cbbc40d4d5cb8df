"""Tables of a header in every form that writers give them, each against the plain form of the same table."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, uid

from glam.config import FrameConfig
from glam.reading.luts import Table, used_bits
from glam.reading.read import read_view
from glam.view import WHITE, View
from tests.samples.answers import finding_codes, refusal
from tests.samples.mammograms import breast_values, encoded, mammogram

NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}
WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}
SYNTAXES = {
    "explicit": uid.ExplicitVRLittleEndian,
    "implicit": uid.ImplicitVRLittleEndian,
    "big": uid.ExplicitVRBigEndian,
}
CURVE = np.rint(65535 * (np.arange(4096) / 4095) ** 0.7).astype(int)
SEQUENCES = ("VOILUTSequence", "ModalityLUTSequence")


def item(descriptor: list[int], data: Any, *, vr: str = "US", data_vr: str = "OW") -> Dataset:
    """An item of a sequence of tables; None: an attribute that is empty."""
    lut = Dataset()
    lut.add_new("LUTDescriptor", vr, descriptor or None)
    lut.add_new("LUTData", data_vr, data)
    lut.ModalityLUTType = "US"
    return lut


def view_of(
    luts: list[Dataset],
    sequence: str = "VOILUTSequence",
    pixels: np.ndarray | None = None,
    syntax: str = "explicit",
    **changes: Any,
) -> View:
    """The View of a file whose tables stand in a sequence; after a Modality LUT a window over all 16 bits."""
    window = NO_WINDOW if sequence == "VOILUTSequence" else {"WindowCenter": "32768", "WindowWidth": "65536"}
    dataset = mammogram(pixels, SYNTAXES[syntax], **{sequence: luts}, **(window | changes))
    return read_view(encoded(dataset, SYNTAXES[syntax]), FrameConfig())


def packed(entries: np.ndarray, syntax: str, vr: str) -> Any:
    """Entries as the file's byte order and a VR want them."""
    if vr in ("US", "SS"):
        words = entries.astype(np.uint16)
        return words.view(np.int16).tolist() if vr == "SS" else words.tolist()
    return entries.astype(">u2" if syntax == "big" else "<u2").tobytes()


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("vr", ["OW", "US", "SS", "UN", "OB"])
def test_entries_are_the_same_in_every_vr_and_byte_order(sequence: str, syntax: str, vr: str) -> None:
    pixels = breast_values()
    view = view_of([item([4096, 0, 16], packed(CURVE, syntax, vr), data_vr=vr)], sequence, syntax=syntax)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[pixels], atol=1)
    is_guess = (syntax, vr) == ("big", "OB")  # OB has no byte order
    assert finding_codes(view) == ["lut_differs"] * is_guess


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_words_of_the_other_byte_order_are_turned_round_and_told(syntax: str) -> None:
    other = CURVE.astype("<u2" if syntax == "big" else ">u2").tobytes()
    view = view_of([item([4096, 0, 16], other)], syntax=syntax)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)
    assert finding_codes(view) == ["lut_differs"]


def _bytes_in_words(entries: np.ndarray, order: str) -> bytes:
    packed = entries.astype(np.uint8).tobytes()
    packed += b"\0" * (len(packed) % 2)
    return packed if order == "<" else np.frombuffer(packed, "<u2").byteswap().tobytes()


FORMS: dict[str, tuple[str, Callable[[np.ndarray, str], Any]]] = {
    "two in a word": ("OW", _bytes_in_words),
    "two in a word, US": ("US", lambda entries, _: np.frombuffer(_bytes_in_words(entries, "<"), "<u2").tolist()),
    "two in a word, UN": ("UN", _bytes_in_words),
    "one in a word": ("OW", lambda entries, order: entries.astype(f"{order}u2").tobytes()),
    "a list": ("US", lambda entries, _: entries.tolist()),
    "in the high byte": ("OW", lambda entries, order: (entries << 8).astype(f"{order}u2").tobytes()),
    "bytes": ("OB", lambda entries, _: entries.astype(np.uint8).tobytes()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [4096, 4095])
def test_entries_of_eight_bits_lie_in_words_or_bytes(form: str, syntax: str, bits: int, count: int) -> None:
    entries = np.rint(255 * (np.arange(count) / (count - 1)) ** 0.7).astype(int)
    vr, pack = FORMS[form]
    view = view_of([item([count, 0, bits], pack(entries, ">" if syntax == "big" else "<"), data_vr=vr)], syntax=syntax)
    index = np.minimum(breast_values(), count - 1)
    np.testing.assert_allclose(
        view.pixels / WHITE, entries[index] / 255, atol=4e-3 if form == "in the high byte" else 1e-5
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(("vr", "first"), [("SS", -2048), ("US", 63488)])
def test_the_first_value_of_signed_pixels_is_signed(syntax: str, sequence: str, vr: str, first: int) -> None:
    pixels = breast_values().astype(np.int16) - 2048
    lut = item([4096, first, 16], packed(CURVE, syntax, "OW"), vr=vr)
    view = view_of([lut], sequence, pixels, syntax, PixelRepresentation=1)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(("vr", "first"), [("SS", 40000 - 65536), ("US", 40000)])
def test_the_first_value_of_unsigned_pixels_has_no_sign(syntax: str, sequence: str, vr: str, first: int) -> None:
    pixels = breast_values() + np.uint16(40000)
    lut = item([4096, first, 16], packed(CURVE, syntax, "OW"), vr=vr)
    view = view_of([lut], sequence, pixels, syntax, BitsStored=16, HighBit=15)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)


def test_a_first_value_that_only_the_other_kind_brings_to_the_pixels_is_of_that_kind() -> None:
    view = view_of([item([6144, -2048, 16], packed(np.r_[np.zeros(2048), CURVE], "explicit", "OW"), vr="SS")])
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)


@pytest.mark.parametrize(("vr", "first"), [("SS", -1024), ("US", 64512)])
def test_the_first_value_after_a_rescale_is_of_the_modality_values_kind(vr: str, first: int) -> None:
    lut = item([4096, first, 16], packed(CURVE, "explicit", "OW"), vr=vr)
    view = view_of([lut], RescaleSlope="1", RescaleIntercept="-1024")
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)
    signed = breast_values().astype(np.int16) - 2048
    shifted = item([4096, 40000 - (65536 if vr == "SS" else 0), 16], packed(CURVE, "explicit", "OW"), vr=vr)
    header = {"PixelRepresentation": 1, "RescaleSlope": "1", "RescaleIntercept": "42048"}
    view = view_of([shifted], "VOILUTSequence", signed, **header)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)


def test_a_voi_lut_after_a_modality_lut_takes_its_entries() -> None:
    pixels = breast_values().astype(np.int16) - 2048
    modality = item([4096, 63488, 16], packed(np.arange(4096) + 40000, "explicit", "SS"), vr="US", data_vr="SS")
    voi = item([4096, 40000 - 65536, 16], packed(CURVE, "explicit", "OW"), vr="SS")
    header = {"PixelRepresentation": 1, "ModalityLUTSequence": [modality]}
    view = view_of([voi], "VOILUTSequence", pixels, **header)
    np.testing.assert_allclose(view.pixels.astype(int), CURVE[breast_values()], atol=1)


@pytest.mark.parametrize("count", [40960, 0])
@pytest.mark.parametrize("vr", ["US", "SS"])
def test_the_number_of_entries_has_no_sign_and_0_is_65536(vr: str, count: int) -> None:
    pixels = breast_values(peak=40959)
    entries = np.arange(count % 65536 or 65536)
    view = view_of(
        [item([count, 0, 16], packed(entries, "explicit", "OW"), vr=vr)], pixels=pixels, BitsStored=16, HighBit=15
    )
    np.testing.assert_allclose(view.pixels.astype(int), pixels, atol=1)


@pytest.mark.parametrize(("highest", "declared", "used"), [
    (65535, 16, 16), (65280, 16, 16), (50000, 16, 16), (33000, 16, 16),
    (32767, 16, 15), (32768, 16, 15), (16383, 16, 14), (4095, 16, 12), (4096, 16, 12), (4000, 16, 12), (1023, 16, 10),
    (255, 16, 8), (1023, 12, 10), (255, 12, 8), (4095, 14, 12), (16383, 14, 14),
    (30000, 16, 16), (20000, 16, 16), (12000, 16, 16), (5000, 16, 16), (3000, 12, 12), (200, 8, 8),
    (4095, 8, 12), (65535, 12, 16), (0, 16, 16),
])  # fmt: skip
def test_the_bits_that_entries_use_follow_from_the_highest(highest: int, declared: int, used: int) -> None:
    assert used_bits(Table(np.array([0, highest]), 0, declared, is_swapped=False)) == used


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_entries_of_fewer_bits_than_declared_are_spread_and_told(bits: int, photometric: str) -> None:
    entries = np.rint((2**bits - 1) * (np.arange(4096) / 4095) ** 0.7).astype(int)
    data = packed(entries, "explicit", "OW")
    pixels = breast_values() if photometric == "MONOCHROME2" else 4095 - breast_values()
    says, truth = (
        view_of([item([4096, 0, declared], data)], pixels=pixels, PhotometricInterpretation=photometric)
        for declared in (16, bits)
    )
    np.testing.assert_array_equal(says.pixels, truth.pixels)
    assert [*finding_codes(truth), "lut_differs"] == finding_codes(says)


def test_a_table_of_full_width_that_ends_low_is_followed_and_told() -> None:
    entries = np.rint(np.arange(4096) * (20000 / 4095))
    view = view_of([item([4096, 0, 16], packed(entries, "explicit", "OW"))])
    np.testing.assert_allclose(view.pixels.astype(int), entries[breast_values()], atol=1)
    assert finding_codes(view) == ["window_too_wide"]


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(("descriptor", "data"), [([], None), ([4096, 0, 16], None), ([], b"\0\1")])
def test_an_item_without_a_table_is_passed_over(sequence: str, descriptor: list[int], data: bytes | None) -> None:
    good = item([4096, 0, 16], packed(CURVE, "explicit", "OW"))
    empty = item(descriptor, data)
    second = view_of([empty, good], sequence)
    np.testing.assert_array_equal(second.pixels, view_of([good], sequence).pixels)
    alone = view_of([empty], sequence, **WINDOW)
    np.testing.assert_allclose(alone.pixels / WHITE, breast_values() / 4095, atol=1 / WHITE)
    passed_over = ["voi_passed_over"] * (sequence == "VOILUTSequence")
    assert finding_codes(second) == finding_codes(alone) == passed_over


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(
    ("descriptor", "reason"),
    [
        ([5000, 0, 16], "LUTData in SEQUENCE cannot be used: it has 4096 entries, and the descriptor says 5000"),
        ([4096, 0, 40], "LUTDescriptor in SEQUENCE cannot be used: entries have 8 to 16 bits, and it says 40"),
        ([4096, 0, 0], "LUTDescriptor in SEQUENCE cannot be used: entries have 8 to 16 bits, and it says 0"),
        ([4096, 0], "LUTDescriptor in SEQUENCE cannot be used: it needs three values"),
    ],
)
def test_a_table_that_its_descriptor_contradicts_is_refused(sequence: str, descriptor: list[int], reason: str) -> None:
    error = refusal(lambda: view_of([item(descriptor, packed(CURVE, "explicit", "OW"))], sequence))
    assert (error.code, error.message) == ("bad_value", f"the header's {reason.replace('SEQUENCE', sequence)}")


def test_a_table_that_no_value_of_the_image_lies_in_says_nothing() -> None:
    far = item([256, 20000, 16], packed(np.arange(256), "explicit", "OW"))
    view = view_of([far], **WINDOW)
    np.testing.assert_allclose(view.pixels / WHITE, breast_values() / 4095, atol=1 / WHITE)
    assert finding_codes(view) == ["voi_passed_over"]
    error = refusal(lambda: view_of([far], "ModalityLUTSequence"))
    assert "ModalityLUTSequence cannot be used: it gives all values" in str(error)


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"RescaleSlope": "0"}, "RescaleSlope"),
        ({"RescaleSlope": ["1", "2"]}, "RescaleSlope"),
        ({"RescaleIntercept": ["1", "2"]}, "RescaleIntercept"),
        ({"RescaleSlope": "1e308"}, "RescaleSlope or RescaleIntercept"),
        ({"RescaleIntercept": "1e300"}, "RescaleSlope or RescaleIntercept"),
    ],
)
def test_a_rescale_that_leaves_nothing_is_refused_by_name(changes: dict[str, Any], attribute: str) -> None:
    rescale = {"RescaleIntercept": "0", "RescaleSlope": "1"} | changes
    error = refusal(lambda: view_of([], **rescale))
    assert error.code == "bad_value"
    assert str(error).startswith(f"the header's {attribute} cannot be used: it is ")


def test_an_empty_rescale_changes_nothing() -> None:
    empty = view_of([], RescaleSlope="", RescaleIntercept="", **WINDOW)
    np.testing.assert_allclose(empty.pixels / WHITE, breast_values() / 4095, atol=1 / WHITE)


def test_an_empty_table_of_an_unknown_vr_is_passed_over() -> None:
    plain = mammogram(VOILUTSequence=[item([4096, 0, 16], None, data_vr="US")], **NO_WINDOW)
    whole = encoded(plain)
    assert whole.count(b"\x28\x00\x06\x30US") == 1
    view = read_view(whole.replace(b"\x28\x00\x06\x30US", b"\x28\x00\x06\x30O\xa5"), FrameConfig())
    np.testing.assert_array_equal(view.pixels, read_view(whole, FrameConfig()).pixels)
