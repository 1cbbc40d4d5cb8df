"""The stored pixels of a data set: limits, layout, decoding. An image that is refused is refused before decoding."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.findings import HeaderError, InputError, input_error
from glam.reading import header
from glam.reading.kind import DOCUMENTS, NO_IMAGES

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.codestream import Bytes, Codestream

MAX_PIXELS = 64_000_000
"""Pixels of the largest image that is decoded; mammograms have up to about 30 million."""
MAX_SIDE = 65_535
"""Largest value of Rows and Columns that the standard can write."""
PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
IMAGE_ATTRIBUTES = ("Rows", "Columns", "BitsAllocated")
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "ARGB", "YBR", "PALETTE", "HSV", "CMYK", "XYB")
"""What a photometric interpretation of colours begins with. PS3.3 C.7.6.3.1.2."""


class Layout(NamedTuple):
    """How the values of an image lie in their bits, by the header. PS3.5 8.1.1."""

    rows: int
    cols: int
    allocated: int
    """8 or 16."""
    bits: int
    high_bit: int
    signed: bool


class StoredPixels(NamedTuple):
    """An image as it was stored."""

    values: NDArray[Any]
    """(rows, cols) bit patterns."""
    layout: Layout
    syntax: str
    """Name of its transfer syntax."""
    decoder: str
    """Name of its decoder."""
    codes: tuple[str, ...] = ()
    """Codes of findings about the pixel data."""


def check_pixels_follow(dataset: "Dataset") -> None:
    """Refuse an image without pixel data, and a file that ends before its SOP class, as `truncated`.

    Every object names its SOP class. A file that ends between two elements is told from one that never had pixel data
    by what it says of an image; reports and presentation states say nothing of the kind.
    """
    from pydicom.uid import UID

    sop_class = header.text(dataset, "SOPClassUID")
    if any(name in dataset for name in PIXEL_ELEMENTS) or sop_class.startswith((*NO_IMAGES, DOCUMENTS)):
        return
    is_image = "Image Storage" in UID(sop_class).name or any(name in dataset for name in IMAGE_ATTRIBUTES)
    if is_image or not sop_class:
        raise InputError(
            "truncated",
            "the file ends before its pixel data: it is cut short, or was written without an image; send it whole",
        )


def stored_pixels(dataset: "Dataset") -> StoredPixels:
    """Decode; an InputError where there are no pixels, where nothing here decodes them, and where they are damaged."""
    from pydicom.uid import UID, ExplicitVRBigEndian

    from glam.reading.codestream import Codestream
    from glam.reading.decoders import CODECS, NATIVE, decoder_of, unsupported_syntax
    from glam.reading.frames import check_offset_tables, padding_codes, without_delimiter
    from glam.reading.syntax import image_data, label_of

    layout, label = layout_of(dataset), label_of(dataset)
    if label and label not in (*NATIVE, *CODECS):
        raise unsupported_syntax(label)
    check_offset_tables(dataset, label)
    image = image_data(dataset, layout)
    decoder = decoder_of(image.syntax)
    if decoder is None:
        raise unsupported_syntax(image.syntax)
    codes = ["syntax_differs"] if image.differs else []
    if decoder == "native" and not isinstance(image.data, Codestream):
        swapped = image.syntax == ExplicitVRBigEndian and (layout.allocated == 16 or dataset["PixelData"].VR == "OW")
        has_delimiter = dataset["PixelData"].is_undefined_length
        data = without_delimiter(image.data, layout) if has_delimiter else image.data
        flat = _native(data, layout, swapped=swapped)
        codes += padding_codes(flat, layout)
        values = _kept_alone(flat[: layout.rows * layout.cols].reshape(layout.rows, layout.cols), data)
    else:
        values, layout = _decoded(image.data, layout, image.syntax, decoder)
    if isinstance(image.data, Codestream) and image.data.is_lossy:
        codes.append("lossy")
    return StoredPixels(values, layout, UID(image.syntax).name, decoder, tuple(codes))


def layout_of(dataset: "Dataset") -> Layout:
    """Return the layout that the header gives, within what the standard allows and our limits."""
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data")
    if header.number(dataset, "SamplesPerPixel") not in (None, 1):
        raise input_error("not_monochrome")
    photometric = header.text(dataset, "PhotometricInterpretation").strip().upper()
    if photometric not in GREY:
        if photometric.startswith(COLOURS):
            raise input_error("not_monochrome")
        reason = "it is neither MONOCHROME1 nor MONOCHROME2" if photometric else "it is empty"
        raise HeaderError("PhotometricInterpretation", reason)
    _check_one_frame(dataset)
    rows, cols = (_whole(dataset, name, range(1, MAX_SIDE + 1)) for name in ("Rows", "Columns"))
    if rows * cols > MAX_PIXELS:
        raise input_error("too_large", part="image", limit=f"{MAX_PIXELS // 1_000_000} million pixels")
    allocated = _whole(dataset, "BitsAllocated", range(8, 17, 8))
    bits = _whole(dataset, "BitsStored", range(1, allocated + 1), absent=allocated)
    # A high bit below the stored bits contradicts them; what the image fills decides (glam/reading/bits.py).
    high_bit = _whole(dataset, "HighBit", range(min(bits, 8) - 1, allocated), absent=bits - 1)
    signed = _whole(dataset, "PixelRepresentation", range(2), absent=0)
    return Layout(rows, cols, allocated, bits, high_bit, bool(signed))


def _check_one_frame(dataset: "Dataset") -> None:
    """Refuse a NumberOfFrames that is no number of frames; one above 1 has been refused before."""
    if header.text(dataset, "NumberOfFrames") and header.number(dataset, "NumberOfFrames") != 1:
        raise HeaderError("NumberOfFrames", "it is not a whole number from 1 on; a single image may go without it")


def _whole(dataset: "Dataset", keyword: str, allowed: range, *, absent: int | None = None) -> int:
    """Return a whole number of the header; `absent` stands for one that is missing or empty, if it may be."""
    number = header.number(dataset, keyword)
    if number is None and absent is not None and not header.text(dataset, keyword):
        return absent
    if number is None or number not in allowed:
        raise HeaderError(keyword, f"it is not a whole number from {allowed[0]} to {allowed[-1]}")
    return int(number)


def _native(data: "Bytes", layout: Layout, *, swapped: bool) -> NDArray[Any]:
    """Return all bit patterns of uncompressed pixel data, flat, without a copy where they are little endian.

    Bytes that are swapped in their words are so for values of 8 bits, too: PS3.5 8.1.1 and A.3.
    """
    if swapped:  # words: half of one is missing
        data = np.frombuffer(data, np.uint16, len(data) // 2).byteswap().view(np.uint8).data
    itemsize = layout.allocated // 8
    if len(data) < layout.rows * layout.cols * itemsize:
        raise input_error("truncated")
    return np.frombuffer(data, f"<u{itemsize}", len(data) // itemsize)


def _kept_alone(values: NDArray[Any], data: "Bytes") -> NDArray[Any]:
    """Return an image over bytes of its file, copied where it would keep far more of them in memory than it has."""
    in_all = memoryview(data).obj
    is_part = isinstance(in_all, bytes | bytearray) and 2 * values.nbytes < len(in_all)
    return values.copy() if is_part else values


def _decoded(image: "Codestream | Bytes", layout: Layout, syntax: str, decoder: str) -> tuple[NDArray[Any], Layout]:
    """Return the (rows, cols) bit patterns of compressed pixel data, and how values lie in them."""
    from glam.reading.codestream import Codestream
    from glam.reading.decoders import decode_frame
    from glam.reading.frames import check_single_image

    stream = image if isinstance(image, Codestream) else None
    if stream and stream.samples != 1:
        raise input_error("not_monochrome")
    if stream and ((stream.rows, stream.cols) != (layout.rows, layout.cols) or stream.bits > 16):
        raise HeaderError("Rows, Columns or BitsStored", "the compressed image has another size or more than 16 bits")
    check_single_image(image)
    try:
        samples = decode_frame(image, layout, syntax, decoder)
    except ValueError:
        raise input_error("truncated") from None
    if samples.size != layout.rows * layout.cols:
        raise input_error("truncated")
    stored = samples.view(f"u{samples.dtype.itemsize}").reshape(layout.rows, layout.cols)
    if stream:  # its samples fill the low bits, whatever the header says; a sign is at the lower of the two
        bits = min(stream.bits, layout.bits) if layout.signed else stream.bits
        layout = layout._replace(allocated=8 * stored.dtype.itemsize, bits=bits, high_bit=bits - 1)
    return stored, layout
