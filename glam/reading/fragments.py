"""Encapsulated pixel data: its fragments, its offset table, and the one frame out of them. PS3.5 A.4."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from glam.reading import jpeg, jpeg2000
from glam.reading.codestream import MAX_FINAL_ZEROS, Bytes, is_run_lengths

ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
TAG_BYTES = 8
"""Of an item's or the delimiter's tag and length."""
MAX_FRAGMENTS = 100_000
"""Of the largest file in pieces of 1,600 bytes; writers use far longer ones."""


class Fragments(NamedTuple):
    """The items of encapsulated pixel data. PS3.5 A.4."""

    offsets: tuple[int, ...]
    """The basic offset table: where frames begin, from the first fragment on; empty: it says nothing, or is missing."""
    parts: tuple[memoryview, ...]
    starts: tuple[int, ...]
    """Where their items begin, from the first on."""
    is_closed: bool
    """The delimiter stands behind them."""
    has_lost_bytes: bool
    """A fragment is shorter than it says, by what stands behind it."""


class JoinedFragments(NamedTuple):
    """The bytes of one image out of its fragments."""

    data: bytes
    is_closed: bool
    """The delimiter stands behind the fragments: the file did not break off within them."""
    has_lost_bytes: bool = False
    """A fragment is shorter than it says, by what stands behind it."""

    @property
    def compressed(self) -> bytes:
        """The bytes without the zeros that a copy which broke off was filled up with."""
        bare = self.data.rstrip(b"\0")
        return self.data if self.is_closed else self.data[: len(bare) + MAX_FINAL_ZEROS]


def fragments_of(data: Bytes) -> Fragments:
    """Return the fragments of encapsulated pixel data; the delimiter may be missing, and the last one cut."""
    view, place, has_lost_bytes = memoryview(data), 0, False
    items, starts = list[memoryview](), list[int]()
    while view[place : place + 4] == ITEM and place + 8 <= len(view):
        if len(items) > MAX_FRAGMENTS:
            raise ValueError("more fragments than any image has")
        starts.append(place)
        length = int.from_bytes(view[place + 4 : place + 8], "little")
        start, end = place + 8, min(place + 8 + length, len(view))
        place = _next_tag(view, start, end)
        has_lost_bytes = has_lost_bytes or place < end
        items.append(view[start : min(place, end)])
    has_table = _begins_with_table(items)
    offsets = _offsets(items[0]) if has_table else ()
    parts = tuple(items[has_table:])
    is_closed = view[place : place + 4] == DELIMITER
    return Fragments(
        offsets, parts, tuple(start - starts[has_table] for start in starts[has_table:]), is_closed, has_lost_bytes
    )


def _begins_with_table(items: Sequence[memoryview]) -> bool:
    """Return whether the first of several items is the offset table, which may be missing, or wrong.

    The first frame's offset is 0. A table that says otherwise is known by the image that begins behind it.
    """
    if not items or len(items[0]) <= 4 or items[0][:4] == bytes(4):
        return bool(items)
    return len(items) > 1 and _begins_an_image(items[1]) and not _begins_an_image(items[0])


def _begins_an_image(fragment: memoryview) -> bool:
    return bytes(fragment[:8]).startswith((jpeg.START, jpeg2000.START, jpeg2000.BOXES)) or is_run_lengths(fragment)


def _offsets(table: memoryview) -> tuple[int, ...]:
    return struct.unpack(f"<{len(table) // 4}I", table) if len(table) % 4 == 0 and table[:4] == bytes(4) else ()


def joined_fragments(data: Bytes) -> JoinedFragments:
    """Return the frame in encapsulated pixel data, without the offset table; ValueError: it is empty.

    Whether the image is whole is for its codestream to say.
    """
    fragments = fragments_of(data)
    frame = b"".join(fragments.parts)
    if not frame:
        raise ValueError("the encapsulated pixel data is empty")
    return JoinedFragments(frame, fragments.is_closed, fragments.has_lost_bytes)


def _next_tag(view: memoryview, start: int, end: int) -> int:
    """Return where the next item or the delimiter begins behind a fragment from `start` to `end`; `end` if none does.

    It begins a byte later behind an odd length without the byte that fills it up, and before the end of the fragment
    where bytes of that are lost: its length then reaches into what follows it.
    """
    for place in (end, end + 1, *range(end - 1, max(start, end - TAG_BYTES) - 1, -1)):
        tag = view[place : place + TAG_BYTES].tobytes()
        is_item = tag[: len(ITEM)] == ITEM
        if is_item or (tag[: len(DELIMITER)] == DELIMITER and (place >= end or not any(tag[len(DELIMITER) :]))):
            return place
    return end
