"""DICOM files as lists of elements that need not be what they say they are, and whole ones to start from."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from pydicom import Dataset, uid

from tests.samples.mammograms import ENCODERS, SYNTAXES, breast_values, file_of

LONG_VRS = ("OB", "OW", "OF", "OD", "SQ", "UN", "UT", "UC", "UR", "OL", "OV", "SV", "UV")
WORD_BYTES = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Element(NamedTuple):
    """A data element as it will be written."""

    tag: int
    vr: str
    value: bytes
    length: int | None = None
    """What is written as its length. None: the length it has."""


class File(NamedTuple):
    """A file as elements, and the transfer syntax in which they are written, whatever they say of it."""

    elements: tuple[Element, ...]
    syntax: str

    def place(self, tag: int) -> int | None:
        """Where an element is; None: there is none."""
        return next((place for place, one in enumerate(self.elements) if one.tag == tag), None)

    def put(self, element: Element) -> "File":
        """The file with an element set, in place of the one of that tag or where tags are in order."""
        place = self.place(element.tag)
        if place is not None:
            return self.replaced(place, element)
        return self._replace(elements=tuple(sorted([*self.elements, element], key=lambda one: one.tag)))

    def replaced(self, place: int, *elements: Element) -> "File":
        """The file with others in place of one element."""
        return self._replace(elements=(*self.elements[:place], *elements, *self.elements[place + 1 :]))


def written(file: File) -> bytes:
    """The bytes of a file."""
    meta = b"".join(element_bytes(one) for one in file.elements if one.tag >> 16 == 2)
    order = ">" if file.syntax == uid.ExplicitVRBigEndian else "<"
    explicit = file.syntax != uid.ImplicitVRLittleEndian
    rest = (one for one in file.elements if one.tag >> 16 != 2)
    body = b"".join(element_bytes(one, explicit=explicit, order=order) for one in rest)
    if file.syntax == uid.DeflatedExplicitVRLittleEndian:
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = squeeze.compress(body) + squeeze.flush()
    return bytes(128) + b"DICM" + meta + body


def element_bytes(element: Element, *, explicit: bool = True, order: str = "<") -> bytes:
    """The bytes of an element; the numbers in it turned round where the order is."""
    tag = struct.pack(order + "HH", element.tag >> 16, element.tag & 0xFFFF)
    value = _turned(element) if order == ">" else element.value
    length = len(value) if element.length is None else element.length
    if not explicit or element.tag >> 16 == 0xFFFE:
        return tag + struct.pack(order + "I", length % 2**32) + value
    vr = element.vr.encode()
    if element.vr in LONG_VRS:
        return tag + vr + struct.pack(order + "HI", 0, length % 2**32) + value
    return tag + vr + struct.pack(order + "H", length % 2**16) + value


def _turned(element: Element) -> bytes:
    width = WORD_BYTES.get(element.vr, 1)
    if width == 1 or len(element.value) % width:
        return element.value
    return np.frombuffer(element.value, f"<u{width}").byteswap().tobytes()


@cache
def seeds() -> tuple[File, ...]:
    """A whole file in each syntax, of 8 bits where it must be, then two with every kind of table and tag."""
    plain = uid.ExplicitVRLittleEndian
    tables = {"VOILUTSequence": [_lut()], "ModalityLUTSequence": [_lut()], "PixelPaddingValue": 0}
    turned = {"PixelRepresentation": 1, "PhotometricInterpretation": "MONOCHROME1", "PatientOrientation": ["A", "R"]}
    view = {
        "ViewCodeSequence": [_code("399162004")],
        "NumberOfFrames": "1",
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
    }
    whole = [
        File(tuple(_elements(file_of(_pixels(name), name if name in ENCODERS else plain))), name) for name in SYNTAXES
    ]
    return (
        *map(_named, whole),
        *(File(tuple(_elements(file_of(None, plain, **more))), plain) for more in (tables, turned | view)),
    )


def _named(file: File) -> File:
    value = file.syntax.encode() + b"\0" * (len(file.syntax) % 2)
    return file.put(Element(0x00020010, "UI", value))


def _elements(data: bytes) -> Iterator[Element]:
    """The elements of a whole file of explicit VRs in little endian; what has no length reaches to the end."""
    place = 132
    while place < len(data):
        group, element = struct.unpack_from("<HH", data, place)
        vr = data[place + 4 : place + 6].decode()
        is_long = vr in LONG_VRS
        (length,) = struct.unpack_from("<I" if is_long else "<H", data, place + (8 if is_long else 6))
        start = place + (12 if is_long else 8)
        place = len(data) if length == UNDEFINED else start + length
        yield Element(group << 16 | element, vr, data[start:place], UNDEFINED if length == UNDEFINED else None)


def _pixels(syntax: str) -> np.ndarray:
    values = breast_values()
    return (values >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else values


def _lut() -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    return item


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "cranio-caudal"
    return item
