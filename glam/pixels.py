"""The pixels of a data set: limits, stored values, display values; what is refused is refused before it is decoded."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.intake import HeaderError, input_error

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.config import VoiPolicy
    from glam.tone import Tone

MAX_PIXELS = 64_000_000
"""Largest image that is decoded; mammograms have up to about 30 million pixels."""
MAX_SIDE = 65_535
"""Largest value of Rows and Columns that the standard can write."""
GREY = ("MONOCHROME1", "MONOCHROME2")


class Layout(NamedTuple):
    """How the values of an image lie in their bits, by the header. PS3.5 8.1.1."""

    rows: int
    cols: int
    allocated: int
    """8 or 16."""
    bits: int
    high_bit: int
    signed: bool


class Stored(NamedTuple):
    """An image as it was stored."""

    values: NDArray[Any]
    """(rows, cols) bit patterns."""
    layout: Layout
    syntax: str
    decoder: str
    """What decoded it."""


class Shown(NamedTuple):
    """An image as display values."""

    pixels: NDArray[np.uint16]
    """(rows, cols), 0 black to WHITE, tissue bright."""
    provenance: dict[str, str]
    """Transfer syntax, decoder and how the grey values were windowed."""
    odd: tuple[str, ...]
    """Codes of what is odd about the pixels."""


def show_pixels(dataset: "Dataset", voi: "VoiPolicy") -> Shown:
    """Return the display values of a data set, whose PixelData is let go; an InputError where there are none."""
    stored = stored_pixels(dataset)
    del dataset.PixelData  # an array over it keeps it as long as it is needed
    tone = toned(dataset, stored.values, stored.layout, voi)
    provenance = {"voi": tone.voi, "transfer_syntax": _name(stored.syntax), "decoder": stored.decoder}
    return Shown(tone.pixels, provenance, tone.odd)


def toned(dataset: "Dataset", stored: NDArray[Any], layout: Layout, voi: "VoiPolicy") -> "Tone":
    """Return the display values of bit patterns, which may be overwritten; an InputError where there is no breast."""
    from glam.tone import tone

    found = tone(dataset, stored, layout, voi)
    if found is None:
        raise input_error("no_breast")
    return found


def stored_pixels(dataset: "Dataset") -> Stored:
    """Decode; an InputError where there are no pixels, where nothing here decodes them, and where they are damaged."""
    layout = layout_of(dataset)
    syntax = _syntax_of(dataset)
    decoder = _decoder_of(syntax)
    if decoder == "native":
        return Stored(_native(dataset, layout, syntax), layout, syntax, decoder)
    return Stored(*_decoded(dataset, layout, syntax, decoder), syntax, decoder)


def layout_of(dataset: "Dataset") -> Layout:
    """Return the layout that the header gives, within what the standard allows and our limits."""
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data")
    if header.number(dataset, "SamplesPerPixel") not in (None, 1):
        raise input_error("not_monochrome")
    photometric = header.text(dataset, "PhotometricInterpretation").strip().upper()
    if photometric not in GREY:
        raise input_error("not_monochrome") if photometric else HeaderError("PhotometricInterpretation", "it is empty")
    rows, cols = (_whole(dataset, name, range(1, MAX_SIDE + 1)) for name in ("Rows", "Columns"))
    if rows * cols > MAX_PIXELS:
        size, limit = (f"{pixels / 1e6:.0f} Mpx" for pixels in (rows * cols, MAX_PIXELS))
        raise input_error("too_large", size=size, limit=limit)
    allocated = _whole(dataset, "BitsAllocated", range(8, 17, 8))
    bits = _whole(dataset, "BitsStored", range(1, allocated + 1), absent=allocated)
    # A high bit below the stored bits contradicts them; what the image fills decides (glam/bits.py).
    high_bit = _whole(dataset, "HighBit", range(min(bits, 8) - 1, allocated), absent=bits - 1)
    signed = _whole(dataset, "PixelRepresentation", range(2), absent=0)
    return Layout(rows, cols, allocated, bits, high_bit, bool(signed))


def _whole(dataset: "Dataset", keyword: str, allowed: range, *, absent: int | None = None) -> int:
    """Return a whole number of the header."""
    found = header.number(dataset, keyword)
    if found is None and absent is not None and not header.text(dataset, keyword):
        return absent
    if found is None or found not in allowed:
        raise HeaderError(keyword, f"it is not a whole number from {allowed[0]} to {allowed[-1]}")
    return int(found)


def _syntax_of(dataset: "Dataset") -> str:
    """Return the transfer syntax: the file's word, else how the header turned out to be written."""
    from pydicom import Dataset, uid

    named = header.text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    if named:
        return named
    element = dataset.get_item("PixelData")
    if getattr(element, "is_undefined_length", False):
        raise HeaderError("TransferSyntaxUID", "it is missing, and the pixels are compressed")
    implicit, little = dataset.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    name = UID(syntax).name
    return "that the file names" if name == syntax else name  # one that is in no table may say anything


def _decoder_of(syntax: str) -> str:
    from glam.decoders import CODECS, decoder_of

    decoder = decoder_of(syntax)
    if decoder is None:
        way_out = 'pip install "glam-mammo[codecs]", or send it uncompressed'
        raise input_error(
            "unsupported_syntax",
            syntax=_name(syntax),
            way_out=way_out if syntax in CODECS else "send it uncompressed",
        )
    return decoder


def _native(dataset: "Dataset", layout: Layout, syntax: str) -> NDArray[Any]:
    """Return the (rows, cols) bit patterns of uncompressed pixel data, without a copy where they are little endian."""
    from pydicom.uid import ExplicitVRBigEndian

    count = layout.rows * layout.cols
    try:
        element = dataset["PixelData"]
    except header.broken_errors():
        raise input_error("truncated") from None
    data = element.value
    if element.is_undefined_length:
        raise HeaderError("TransferSyntaxUID", "it says uncompressed, and the pixels are encapsulated")
    if not isinstance(data, bytes) or len(data) < count * layout.allocated // 8:
        raise input_error("truncated")
    if syntax == ExplicitVRBigEndian and (layout.allocated == 16 or element.VR == "OW"):
        # 8-bit values lie in swapped words: PS3.5 8.1.1 and A.3
        data = np.frombuffer(data, np.uint16, len(data) // 2).byteswap()
        return data.view(f"u{layout.allocated // 8}")[:count].reshape(layout.rows, layout.cols)
    return np.frombuffer(data, f"<u{layout.allocated // 8}", count).reshape(layout.rows, layout.cols)


def _decoded(dataset: "Dataset", layout: Layout, syntax: str, decoder: str) -> tuple[NDArray[Any], Layout]:
    """Return the (rows, cols) bit patterns of compressed pixel data, and how values lie in them."""
    from glam.codestream import joined_fragments, size_of
    from glam.decoders import decode_frame

    try:
        stream = joined_fragments(dataset.PixelData)
        size = size_of(syntax, stream)
    except header.broken_errors():
        raise input_error("truncated") from None
    if size and size.samples != 1:
        raise input_error("not_monochrome")
    if size and ((size.rows, size.cols) != (layout.rows, layout.cols) or size.bits > 16):
        raise HeaderError("Rows, Columns or BitsStored", "the compressed image has another size or more than 16 bits")
    try:
        stored = decode_frame(dataset, stream, syntax, decoder)
        stored = stored.view(f"u{stored.dtype.itemsize}").reshape(layout.rows, layout.cols)
    except header.broken_errors():
        raise input_error("truncated") from None
    if size:  # a codestream's samples fill the low bits, whatever the header says; a sign is at the lower of the two
        bits = min(size.bits, layout.bits) if layout.signed else size.bits
        layout = layout._replace(allocated=8 * stored.dtype.itemsize, bits=bits, high_bit=bits - 1)
    return stored, layout
