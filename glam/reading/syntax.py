"""The true encoding of a file's pixel data: values, run lengths or a codestream, by the bytes and not by the label.

Archives compress or decompress and leave the transfer syntax as it was; the bytes nearly always show what they are.
"""

from typing import TYPE_CHECKING, NamedTuple

from pydicom import uid

from glam.findings import HeaderError, input_error
from glam.reading import header
from glam.reading.codestream import (
    ITEM,
    PROCESSES,
    Bytes,
    Codestream,
    JoinedFragments,
    codestream,
    is_run_lengths,
    joined_fragments,
)
from glam.reading.decoders import ENCAPSULATED_NATIVE, NATIVE, unsupported_jpeg

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

MIN_CODESTREAM_BYTES = 64
"""Less than any compressed image has; run lengths alone have a header as long."""


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
    in_fragments = data[:4] == ITEM and not is_values  # which may begin with any bytes
    if is_named_native and not in_fragments:
        swapped = label in NATIVE and (label == uid.ExplicitVRBigEndian) != (written == uid.ExplicitVRBigEndian)
        return ImageData(written if swapped else label or written, data, swapped)
    try:
        frame = joined_fragments(data) if in_fragments else JoinedFragments(bytes(data), is_closed=False)
        stream = None if label == ENCAPSULATED_NATIVE else codestream(frame.compressed)
    except ValueError:
        raise input_error("truncated") from None
    if stream is not None:
        return _codestream_data(label, stream)
    if in_fragments and (label == uid.RLELossless or is_run_lengths(frame.data)):
        return ImageData(uid.RLELossless, frame.compressed, label not in ("", uid.RLELossless))
    if label != ENCAPSULATED_NATIVE and len(frame.data) > num_bytes + 1:  # one byte may fill up an odd length
        if len(frame.data.rstrip(b"\0")) < MIN_CODESTREAM_BYTES:  # a copy that broke off there, filled up
            raise input_error("truncated")
        raise HeaderError("TransferSyntaxUID", "the pixels are neither uncompressed nor compressed as it says")
    if len(frame.data) < num_bytes:
        raise input_error("truncated")
    is_named = label == ENCAPSULATED_NATIVE
    return ImageData(label if is_named else written, frame.data, not is_named)


def label_of(dataset: "Dataset") -> str:
    """Return the transfer syntax that a file names; "" where it names none."""
    from pydicom import Dataset

    return header.text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")


def _written_syntax(dataset: "Dataset") -> str:
    """Return the uncompressed transfer syntax in which the header turned out to be written."""
    implicit, little = dataset.original_encoding
    if little is False:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _codestream_data(label: str, stream: Codestream) -> ImageData:
    """Return a codestream under the label, where that fits it, else under its true transfer syntax."""
    if not stream.syntax:
        raise unsupported_jpeg()
    fits = PROCESSES.get(label) == PROCESSES[stream.syntax]
    return ImageData(label if fits else stream.syntax, stream, not fits and bool(label))
