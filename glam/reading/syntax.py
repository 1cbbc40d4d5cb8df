"""The true encoding of a file's pixel data: values, run lengths or a codestream, by the bytes and not by the label.

Archives compress or decompress and leave the transfer syntax as it was; the bytes nearly always show what they are.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pydicom import uid

from glam.findings import HeaderError, input_error
from glam.reading import header
from glam.reading.codestream import PROCESSES, Bytes, Codestream, codestream, is_run_lengths
from glam.reading.decoders import ENCAPSULATED_NATIVE, NATIVE, late_height, unsupported_jpeg
from glam.reading.fragments import ITEM, JoinedFragments, joined_fragments

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

MIN_CODESTREAM_BYTES = 64
"""Less than any compressed image has; run lengths alone have a header as long."""

SEEN_IN_THE_HEADER = (uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian)
"""Uncompressed syntaxes that are known by how the header is written; pydicom tells the other two apart."""
FOREIGN: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "a PNG file",
    b"GIF8": "a GIF file",
    b"II*\0": "a TIFF file",
    b"MM\0*": "a TIFF file",
    b"RIFF": "a WebP file",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\x1f\x8b\x08": "a gzip file",
}
"""First bytes -> what has them."""


class ImageData(NamedTuple):
    """The pixel data of one image."""

    syntax: str
    """Its true transfer syntax."""
    data: Bytes | Codestream
    """Values, run lengths, or a codestream; values may be followed by more bytes."""
    differs: bool
    """The file names another transfer syntax."""


def image_data(dataset: "Dataset", layout: "Layout") -> ImageData:
    """Return the pixel data and its true syntax; an InputError where it is damaged, or in no encoding that is known."""
    label, written = label_of(dataset), _written_syntax(dataset)
    element = dataset["PixelData"]
    data, num_bytes = memoryview(element.value or b""), layout.rows * layout.cols * layout.allocated // 8
    is_named_native = label in NATIVE or not label
    is_values = is_named_native and not element.is_undefined_length and len(data) == num_bytes
    is_inflated = written == uid.DeflatedExplicitVRLittleEndian
    in_fragments = data[:4] == ITEM and not is_values  # which may begin with any bytes
    if is_named_native and not in_fragments:
        return _unfragmented(data, num_bytes, label, written)
    try:
        frame = joined_fragments(data) if in_fragments else JoinedFragments(bytes(data), is_closed=False)
        is_named_values = label == ENCAPSULATED_NATIVE and num_bytes <= len(frame.data) <= num_bytes + 1
        stream = None if is_named_values else codestream(frame.compressed)
    except ValueError:
        raise input_error("truncated") from None
    if stream is not None:
        return _codestream_data(label, stream, is_inflated=is_inflated)
    fits = num_bytes <= len(frame.data) <= num_bytes + 1  # one byte may fill up an odd length
    if not fits:
        _refuse_foreign(frame.data)
    is_rle = is_run_lengths(frame.data) or (label == uid.RLELossless and not fits)
    if in_fragments and is_rle and not is_named_values:
        if frame.has_lost_bytes:  # the runs may take what follows for the byte that is missing
            raise input_error("truncated")
        return ImageData(uid.RLELossless, frame.compressed, is_inflated or label not in ("", uid.RLELossless))
    return _values_data(frame.data, num_bytes, label, written)


def _unfragmented(data: memoryview, num_bytes: int, label: str, written: str) -> ImageData:
    """Return pixel data of an uncompressed label; where it is too short for values it may be compressed after all."""
    if len(data) < num_bytes:
        with suppress(ValueError):  # values that are cut begin with any bytes, too
            if stream := codestream(bytes(data)):
                return _codestream_data(label, stream, is_inflated=False)
        if is_run_lengths(data):
            return ImageData(uid.RLELossless, data, bool(label))
        _refuse_foreign(data)
    differs = label in NATIVE and any((label == kind) != (written == kind) for kind in SEEN_IN_THE_HEADER)
    return ImageData(written if differs else label or written, data, differs)


def _values_data(data: bytes, num_bytes: int, label: str, written: str) -> ImageData:
    """Return uncompressed values in fragments, or under the label of a compression."""
    if label != ENCAPSULATED_NATIVE and len(data) > num_bytes + 1:
        if len(data.rstrip(b"\0")) < MIN_CODESTREAM_BYTES:  # a copy that broke off there, filled up
            raise input_error("truncated")
        raise HeaderError("TransferSyntaxUID", "the pixels are neither uncompressed nor compressed as it says")
    if len(data) < num_bytes:
        raise input_error("truncated")
    is_named = label == ENCAPSULATED_NATIVE
    return ImageData(label if is_named else written, data, not is_named)


def _refuse_foreign(data: Bytes) -> None:
    """Refuse a file of another kind in place of pixel data by its name: no transfer syntax has it."""
    name = next((name for start, name in FOREIGN.items() if data[: len(start)] == start), None)
    if name:
        image, way_out = f"{name} in place of pixel data", "send it uncompressed"
        raise input_error("unsupported_syntax", image=image, way_out=way_out)


def label_of(dataset: "Dataset") -> str:
    """Return the transfer syntax that a file names; "" where it names none."""
    from pydicom import Dataset

    return header.text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")


def _written_syntax(dataset: "Dataset") -> str:
    """Return the uncompressed transfer syntax in which the header turned out to be written."""
    if getattr(dataset, "is_inflated", False):
        return uid.DeflatedExplicitVRLittleEndian
    implicit, little = dataset.original_encoding
    if little is False:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _codestream_data(label: str, stream: Codestream, *, is_inflated: bool) -> ImageData:
    """Return a codestream under the label, where that fits it, else under its true transfer syntax."""
    if not stream.syntax:
        raise unsupported_jpeg()
    if not stream.rows:
        raise late_height()
    fits = PROCESSES.get(label) == PROCESSES[stream.syntax]
    return ImageData(label if fits else stream.syntax, stream, (not fits or is_inflated) and bool(label))
