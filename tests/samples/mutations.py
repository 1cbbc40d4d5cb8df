"""Mammogram files that are wrong in one to four places: tags, VRs, lengths, numbers, tables, fragments, codestreams."""

import struct
from collections.abc import Callable

import numpy as np

from tests.samples.elements import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Element, File, element_bytes, seeds, written
from tests.samples.mammograms import SYNTAXES, file_of, picture_files

PIXEL_DATA, TRANSFER_SYNTAX = 0x7FE00010, 0x00020010
VRS = (
    "US",
    "SS",
    "DS",
    "IS",
    "CS",
    "UI",
    "PN",
    "UL",
    "FD",
    "AT",
    "DA",
    "SQ",
    "UN",
    "OB",
    "OW",
    "UT",
    "OV",
    "XX",
    "\0\0",
)
NUMBERS = (0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280002, 0x00280120, 0x00280121)
"""Rows, Columns, BitsAllocated, BitsStored, HighBit, PixelRepresentation, SamplesPerPixel, padding value and limit."""
ODD_NUMBERS = (0, 1, 2, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33, 47, 48, 64, 255, 256, 4096, 8000, 32768, 65535)
DECIMALS = (0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00280008, 0x00181164, 0x00280030, 0x00181114)
"""Window, rescale, NumberOfFrames, the two spacings and the magnification."""
ODD_DECIMALS = (b"nan", b"inf", b"-1", b"0", b"1e400", b"1e-400", b"", b"-", b"1\\2", b"\\", b"1,5", b"0x10", b"9" * 64)
WORDS = (0x00280004, 0x20500020, 0x00281056, 0x00281055, 0x00080016, 0x00080060, 0x00200062, 0x00185101, 0x00200020,
         0x00080005, 0x00080008, 0x00081030, 0x0008103E, 0x00281300, 0x00080022, 0x00080032, 0x00200013)  # fmt: skip
"""What is said in words of grey values, kind, side, view, place, character set, descriptions and times."""
ODD_WORDS = (b"", b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"INVERSE", b"SIGMOID", b"LINEAR_EXACT", b"NORMAL", b"L",
             b"R", b"B", b"MLO", b"\xff\xfe\x00", b"\\" * 9, b"A\\R", b"P\\F", b"\0", b"X" * 300, b"MG", b"YES",
             b"ISO_IR 192", b"1.2.840.10008.5.1.4.1.1.7", b"FOR PROCESSING", b"\x1b$B\x1b$", b"20260230",
             b"999999.9")  # fmt: skip
SEQUENCES = (0x00283000, 0x00283010, 0x00540220, 0x00540222, 0x00082112, 0x52009229)
"""Modality and VOI LUT, view, its modifiers, source image, functional groups."""
Rng = np.random.Generator
Mutation = Callable[[Rng, File], File]


def damaged(seed: int, index: int) -> bytes:
    """The file of a number: the same bytes for the same numbers."""
    rng = np.random.default_rng([seed, index])
    if rng.random() < 0.03:
        start = (b"", bytes(128) + b"DICM", file_of()[: int(rng.integers(132, 400))])[rng.integers(3)]
        return start + rng.bytes(int(rng.integers(5000)))
    if rng.random() < 0.05:
        return _damaged_picture(rng)
    file = seeds()[rng.integers(len(seeds()))]
    for _ in range(rng.integers(1, 5)):
        file = MUTATIONS[rng.integers(len(MUTATIONS))](rng, file)
    data = written(file)
    if rng.random() < 0.15:
        data = _flipped(rng, data, end=1200)
    if rng.random() < 0.1:
        return data[: rng.integers(len(data) + 1)]
    return data[132:] if rng.random() < 0.05 else data


def _damaged_picture(rng: Rng) -> bytes:
    picture = picture_files()[rng.integers(len(picture_files()))]
    data = _flipped(rng, picture, end=int(rng.choice([40, 200, len(picture)])))
    return data[: rng.integers(8, len(data))] if rng.random() < 0.3 else data


def _flipped(rng: Rng, data: bytes, *, end: int) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, max(1, min(end, len(data))), rng.integers(1, 9)) if data else ():
        changed[place] = rng.integers(256)
    return bytes(changed)


def _one(rng: Rng, file: File) -> tuple[int, Element]:
    place = int(rng.integers(len(file.elements)))
    return place, file.elements[place]


def _removed(rng: Rng, file: File) -> File:
    return file.replaced(_one(rng, file)[0]) if len(file.elements) > 1 else file


def _doubled(rng: Rng, file: File) -> File:
    place, element = _one(rng, file)
    return file.replaced(place, element, element)


def _swapped(rng: Rng, file: File) -> File:
    (first, one), (second, other) = _one(rng, file), _one(rng, file)
    return file.replaced(first, other).replaced(second, one)


def _wrong_vr(rng: Rng, file: File) -> File:
    place, element = _one(rng, file)
    return file.replaced(place, element._replace(vr=str(rng.choice(VRS))))


def _lying_length(rng: Rng, file: File) -> File:
    place, element = _one(rng, file)
    true = len(element.value)
    length = int(rng.choice([0, 1, true + 1, true - 1, 2 * true, true + 1000, 65535, 2**31, UNDEFINED - 1, UNDEFINED]))
    return file.replaced(place, element._replace(length=max(length, 0)))


def _random_value(rng: Rng, file: File) -> File:
    place, element = _one(rng, file)
    size = len(element.value) if rng.random() < 0.5 else int(rng.integers(200))
    return file.replaced(place, element._replace(value=rng.bytes(size)))


def _odd_number(rng: Rng, file: File) -> File:
    vr = "SS" if rng.random() < 0.1 else "US"
    return file.put(Element(int(rng.choice(NUMBERS)), vr, struct.pack("<H", int(rng.choice(ODD_NUMBERS)))))


def _odd_decimal(rng: Rng, file: File) -> File:
    return file.put(_text(int(rng.choice(DECIMALS)), "DS", ODD_DECIMALS[rng.integers(len(ODD_DECIMALS))]))


def _odd_word(rng: Rng, file: File) -> File:
    return file.put(_text(int(rng.choice(WORDS)), "CS", ODD_WORDS[rng.integers(len(ODD_WORDS))]))


def _text(tag: int, vr: str, value: bytes) -> Element:
    return Element(tag, vr, value + b" " * (len(value) % 2))


def _odd_table(rng: Rng, file: File) -> File:
    """A LUT whose descriptor has odd numbers, of one to four values, over data of any length and either VR."""
    numbers = rng.choice([0, 1, 8, 12, 16, 40, 255, 4096, 32768, 65535], rng.choice([1, 2, 3, 3, 3, 3, 4]))
    descriptor = Element(0x00283002, "US", numbers.astype("<u2").tobytes())
    data = Element(0x00283006, str(rng.choice(["US", "OW"])), rng.bytes(int(rng.choice([0, 1, 2, 256, 8192]))))
    return file.put(Element(int(rng.choice(SEQUENCES[:2])), "SQ", _item(descriptor, data)))


def _item(*elements: Element) -> bytes:
    return element_bytes(Element(ITEM, "", b"".join(map(element_bytes, elements))))


def _nested(rng: Rng, file: File) -> File:
    """Sequences in sequences, with or without lengths and ends."""
    tag, depth, closed = int(rng.choice(SEQUENCES)), int(rng.choice([2, 30, 500, 3000])), rng.random() < 0.5
    if rng.random() < 0.3:
        value = b""
        for _ in range(min(depth, 500)):
            value = _item(Element(tag, "SQ", value))
        return file.put(Element(tag, "SQ", value))
    start = element_bytes(Element(ITEM, "", b"", UNDEFINED)) + element_bytes(Element(tag, "SQ", b"", UNDEFINED))
    end = element_bytes(Element(SEQUENCE_END, "", b"")) + element_bytes(Element(ITEM_END, "", b""))
    return file.put(Element(tag, "SQ", start * depth + end * depth * closed, UNDEFINED))


def _other_syntax(rng: Rng, file: File) -> File:
    """Another transfer syntax than the pixels have; the header at times follows it."""
    syntax = str(rng.choice([*SYNTAXES, "1.2.840.10008.1.2.4.100", "1.2.3", ""]))
    file = file.put(_text(TRANSFER_SYNTAX, "UI", syntax.encode()))
    return file._replace(syntax=syntax) if rng.random() < 0.5 else file


def _odd_fragments(rng: Rng, file: File) -> File:
    """Items cut, doubled, emptied, mixed, split or without an end; uncompressed pixels are put into items."""
    place = file.place(PIXEL_DATA)
    if place is None:
        return file
    items = _items(file.elements[place])
    which = int(rng.integers(len(items)))
    changes: tuple[Callable[[bytes], list[bytes]], ...] = (
        lambda item: [item[: rng.integers(len(item) + 1)]],
        lambda item: [item, item],
        lambda _: [b""],
        lambda _: [],
        lambda item: [item[: len(item) // 2], item[len(item) // 2 :]],
        lambda item: [rng.bytes(int(rng.integers(64))) if which == 0 else item[::-1]],
    )
    items[which : which + 1] = changes[rng.integers(len(changes))](items[which])
    value = b"".join(element_bytes(Element(ITEM, "", item)) for item in items)
    end = b"" if rng.random() < 0.2 else element_bytes(Element(SEQUENCE_END, "", b""))
    return file.replaced(place, Element(PIXEL_DATA, "OB", value + end, UNDEFINED))


def _items(pixel_data: Element) -> list[bytes]:
    """The items of encapsulated pixel data, the offset table first; uncompressed data after an empty table."""
    if pixel_data.length != UNDEFINED:
        return [b"", pixel_data.value]
    value, place, items = pixel_data.value, 0, list[bytes]()
    while place + 8 <= len(value):
        length = int.from_bytes(value[place + 4 : place + 8], "little")
        items.append(value[place + 8 : place + 8 + length])
        place += 8 + length
    return items or [b""]


def _flipped_pixels(rng: Rng, file: File) -> File:
    """Bytes of the codestream changed, in its header or anywhere."""
    place = file.place(PIXEL_DATA)
    if place is None:
        return file
    element = file.elements[place]
    end = 200 if rng.random() < 0.6 else len(element.value)
    return file.replaced(place, element._replace(value=_flipped(rng, element.value, end=end)))


def _agreed_size(rng: Rng, file: File) -> File:
    """Rows and Columns of the header changed, and two bytes of the codestream to go with them, if they are there."""
    place, size = file.place(PIXEL_DATA), struct.pack("<H", int(rng.choice([1, 65, 2000, 8000, 65535])))
    if place is None:
        return file
    value = file.elements[place].value.replace(struct.pack(">HH", 64, 48), size[::-1] * 2)
    value = value.replace(struct.pack(">II", 48, 64), (b"\0\0" + size[::-1]) * 2)
    for tag in NUMBERS[:2]:
        file = file.put(Element(tag, "US", size))
    return file.put(file.elements[file.place(PIXEL_DATA) or place]._replace(value=value))


MUTATIONS: tuple[Mutation, ...] = (
    _removed,
    _doubled,
    _swapped,
    _wrong_vr,
    _lying_length,
    _random_value,
    _odd_number,
    _odd_decimal,
    _odd_word,
    _odd_table,
    _nested,
    _other_syntax,
    _odd_fragments,
    _flipped_pixels,
    _flipped_pixels,
    _agreed_size,
)
