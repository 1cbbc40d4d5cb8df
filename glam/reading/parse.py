"""Bytes, file or stream -> the DICOM data set in it, its pixel data still as it was written.

pydicom reads what stands before the pixel data, and the pixel data is taken from the bytes here: pydicom passes over
the end of a file in silence, so that whether a file is whole is found out without it (docs/reading.md).
"""

import struct
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from glam.findings import input_error
from glam.reading import deflate, header
from glam.reading.repeats import UNDEFINED, Repeats
from glam.reading.source import Content, ElementStream, OwnBytes, Source, content

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset, FileMetaDataset

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
"""Stands behind the preamble, whatever is in that: a file may be TIFF and DICOM at once. PS3.10 7.1."""
PIXEL_DATA = 0x7FE00010
HEADER_BYTES = 8
"""Of tag, VR and length, or of tag and long length."""
GROUP_LENGTH_BYTES = 12
"""Of the element that says how long the file meta group is. PS3.10 7.1."""


class Encoding(NamedTuple):
    """How the elements of a data set are written."""

    implicit: bool
    little: bool


class FoundElement(NamedTuple):
    """Where an element is."""

    tag: int
    vr: str | None
    length: int
    """As declared."""
    start: int
    """Of the value."""


def parse(source: Source | OwnBytes) -> "Dataset":
    """Return the data set of a file; InputError where there is none, an OSError where a path cannot be opened.

    Its PixelData is a view of the file's bytes, from which nothing is missing that comes before it.
    """
    from pydicom import uid

    data = content(source)
    is_bare = not has_prefix(data)
    if is_bare and not deflate.begins_a_dataset(data):
        raise input_error("not_dicom")
    stream = ElementStream(data)
    stream.seek(0 if is_bare else PREAMBLE_BYTES + len(PREFIX))
    meta = _file_meta(stream)
    label = header.text(meta, "TransferSyntaxUID")
    inflated = deflate.inflated_dataset(data, stream.tell(), is_named=label == uid.DeflatedExplicitVRLittleEndian)
    if inflated is not None:
        stream = ElementStream(inflated)
    preamble = None if is_bare else bytes(data[:PREAMBLE_BYTES])
    return _dataset(stream, meta, label, preamble=preamble, inflated=inflated is not None)


def has_preamble(dataset: "Dataset") -> bool:
    """Return whether a parsed file began as PS3.10 says, with a preamble and the letters DICM."""
    return getattr(dataset, "preamble", None) is not None


def has_prefix(beginning: Content) -> bool:
    """Return whether a file that begins so is DICOM by its prefix, whatever stands in its first 128 bytes."""
    return beginning[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX


def _file_meta(stream: ElementStream) -> "FileMetaDataset":
    from pydicom.filereader import (
        _read_command_set_elements,  # pyright: ignore[reportPrivateUsage]
        _read_file_meta_info,  # pyright: ignore[reportPrivateUsage]  # the public one opens a path
    )

    start = stream.tell()
    try:
        meta = _read_file_meta_info(stream.file)
        following = stream.data[stream.tell() : stream.tell() + 2]
        if following == b"\0\0":  # the message that brought the file; not needed
            _read_command_set_elements(stream.file)
    except _parser_errors():
        raise input_error("truncated") from None
    _check_whole(meta, stream, to_end=False)
    length = header.number(meta, "FileMetaInformationGroupLength")  # of what follows it
    if length and start + GROUP_LENGTH_BYTES + length > len(stream.data):
        raise input_error("truncated")
    return meta


def _dataset(
    stream: ElementStream, meta: "FileMetaDataset", label: str, *, preamble: bytes | None, inflated: bool
) -> "FileDataset":
    """Return the elements up to the pixel data, and the pixel data as far as it is there."""
    from pydicom import DataElement, FileDataset
    from pydicom.filereader import read_dataset

    elements, repeats = list[FoundElement](), Repeats(stream.data)

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        elements.append(FoundElement(int(tag), vr, length, stream.tell()))
        return tag == PIXEL_DATA

    implicit, little = _encoding(stream, label)
    try:
        dataset = read_dataset(stream.file, implicit, little, stop_when=at_pixels)
    except _parser_errors():
        raise input_error("truncated") from None
    for element in elements:
        repeats.note(element.tag, element.start, element.length)
    has_pixels = bool(elements) and elements[-1].tag == PIXEL_DATA
    if not has_pixels:
        _check_whole(dataset, stream, to_end=True)
    implicit = bool(dataset.original_encoding[0])
    file = FileDataset(BytesIO(), dataset, preamble, meta, implicit, little)
    file.repeated = frozenset(repeats.tags)
    file.is_inflated = inflated
    file.set_original_encoding(implicit, little, dataset.original_character_set)
    if has_pixels:
        _, vr, length, start = elements[-1]
        end = None if length == UNDEFINED else start + length
        if inflated and end is not None:
            _check_elements_follow(stream.data, end, implicit=implicit)
        element = DataElement(PIXEL_DATA, "OW" if vr in (None, "OW") else "OB", memoryview(stream.data)[start:end])
        element.is_undefined_length = length == UNDEFINED
        file.add(element)
    return file


def _check_elements_follow(data: Content, end: int, *, implicit: bool) -> None:
    """Refuse an inflated data set as `truncated` unless elements, or nothing, stand behind its pixel data.

    A deflated stream that lost bytes mostly inflates all the same, to another length than the pixel data says.
    """
    from pydicom.filereader import read_dataset
    from pydicom.valuerep import VR

    stream = ElementStream(data)
    stream.seek(end)
    try:
        following = read_dataset(stream.file, implicit, True)
    except _parser_errors():
        raise input_error("truncated") from None
    _check_whole(following, stream, to_end=True)
    is_impossible = any(element.tag <= PIXEL_DATA or element.VR not in {*VR, None} for element in following.values())
    if is_impossible or end > len(data):
        raise input_error("truncated")


def _parser_errors() -> tuple[type[Exception], ...]:
    """Return what pydicom's parser raises on bytes that no writer wrote, found by bench/fuzz.py.

    They are caught around its calls only: what our own code raises is a fault of ours.
    """
    from pydicom.errors import BytesLengthException

    values = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, BytesLengthException, struct.error)
    return (*values, NotImplementedError, RecursionError, EOFError, OSError)


def _encoding(stream: ElementStream, label: str) -> Encoding:
    """Return how a data set is written: the byte order by its first group, which is small, else by the label.

    pydicom sees by itself where VRs are missing that the label promises.
    """
    from pydicom import uid

    start = stream.tell()
    first = stream.read(2)
    stream.seek(start)
    as_little, as_big = (int.from_bytes(first, order) for order in ("little", "big"))
    is_little = label != uid.ExplicitVRBigEndian if as_little == as_big else as_little < as_big
    return Encoding(implicit=is_little and label in ("", uid.ImplicitVRLittleEndian), little=is_little)


def _check_whole(dataset: "Dataset", stream: ElementStream, *, to_end: bool) -> None:
    """Refuse elements of which the last is cut: its value, its header, or a delimiter missing that ends it.

    pydicom keeps a short value, drops half a header, and steps back to where an element began that never ends.
    `to_end`: they have to reach the end of the stream. Between two elements a file may end: glam/reading/pixels.py sees
    that its pixel data is missing.
    """
    from pydicom.dataelem import RawDataElement

    elements = (element for element in dataset.values() if isinstance(element, RawDataElement))
    is_short = any(len(element.value or b"") < element.length < UNDEFINED for element in elements)
    is_at_end = stream.tell() == len(stream.data)
    is_half_header = is_at_end and 0 < stream.num_read < HEADER_BYTES
    is_zeros = 0 in dataset  # a copy that broke off, filled up
    if is_short or is_zeros or is_half_header or (to_end and not is_at_end):
        raise input_error("truncated")
