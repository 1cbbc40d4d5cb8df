"""Whether pixel data holds the one image that the header describes: by its length and its offset tables.

Older applications fill pixel data up beyond the image (PS3.5 8.1.1), others leave NumberOfFrames out or give a wrong
size. What cannot be padding is refused: the image would be another one, or sheared.
"""

import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glam.findings import HeaderError, InputError, input_error
from glam.reading import header, jpeg
from glam.reading.codestream import RUN_LENGTHS_HEADER, Bytes, Codestream, is_run_lengths
from glam.reading.decoders import ENCAPSULATED_NATIVE, NATIVE
from glam.reading.fragments import DELIMITER, Fragments, fragments_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

BIG_ENDIAN_DELIMITER = b"\xff\xfe\xe0\xdd"
SAMPLED_PIXELS = 1_000_000
"""About how many pixels are compared with those below them."""
MIN_GAIN = 0.01
"""Share of pixels by which another width has to fit better. On eight films and eight phantoms the true width wins over
those beside it by 0.05 to 0.13, over others by more."""
CHANCE = 3
"""Standard deviations."""


def several_frames(reason: str) -> InputError:
    """Return the error of an image that is not the only one in its file, though the header names no other."""
    return InputError("multi_frame", f"{reason}: send one 2-D mammogram a file")


def check_offset_tables(dataset: "Dataset", label: str) -> None:
    """Refuse encapsulated pixel data whose basic or extended offset table names several frames. PS3.5 A.4.

    `label` is the transfer syntax that the file names.
    """
    element = dataset["PixelData"]
    is_named_native = label in (*NATIVE, "") and label != ENCAPSULATED_NATIVE
    if is_named_native and not element.is_undefined_length:  # values may begin with any bytes
        return
    try:
        fragments = fragments_of(element.value or b"")
    except ValueError:
        raise input_error("truncated") from None
    for offsets in (fragments.offsets, _extended_offsets(dataset)):
        frames = [offset for offset in offsets if _is_within(offset, fragments)]
        if _are_in_order(frames) and not _list_parts(frames, fragments):
            raise several_frames(f"the offset table names {len(frames)} frames")


def check_single_image(image: Codestream | Bytes) -> None:
    """Refuse a codestream, or run lengths, behind which another image begins."""
    is_followed = image.is_followed if isinstance(image, Codestream) else _is_followed_by_run_lengths(bytes(image))
    if is_followed:
        raise several_frames("the pixel data holds another image behind the first")


def _is_followed_by_run_lengths(frame: bytes) -> bool:
    """Return whether the header of another frame of as many segments stands behind that of a frame, all of it.

    Run lengths hold no header: an encoder makes a run of the zeros at its end.
    """
    if not is_run_lengths(frame):
        return False
    count, first = RUN_LENGTHS_HEADER.unpack_from(frame)[:2]
    place = frame.find(struct.pack("<II", count, first), RUN_LENGTHS_HEADER.size)
    if place < 0 or len(frame) < place + RUN_LENGTHS_HEADER.size:
        return False
    return not any(RUN_LENGTHS_HEADER.unpack_from(frame, place)[1 + count :])


def _extended_offsets(dataset: "Dataset") -> tuple[int, ...]:
    """Return the extended offset table: where frames begin, in 64 bits each. PS3.3 C.7.6.3.1.8."""
    element = header.raw_element(dataset, "ExtendedOffsetTable")
    content = element.value if element is not None else None
    if not isinstance(content, bytes) or len(content) % 8:
        return ()
    return struct.unpack(f"<{len(content) // 8}Q", content)


def _are_in_order(offsets: Sequence[int]) -> bool:
    """Return whether a table names several places, each behind the one before it."""
    return len(offsets) > 1 and all(before < after for before, after in pairwise(offsets))


def _is_within(offset: int, fragments: Fragments) -> bool:
    """Return whether a frame may begin at an offset: some writers add one that is the end of the last frame."""
    return not fragments.is_closed or offset <= max(fragments.starts, default=0)


def _list_parts(offsets: Sequence[int], fragments: Fragments) -> bool:
    """Return whether a table lists the fragments of one image instead of frames: none but the last ends an image.

    A frame of run lengths is always one fragment: PS3.5 A.4.2.
    """
    parts = fragments.parts
    ended = any(bytes(part).rstrip(b"\0").endswith(jpeg.END) for part in parts[:-1])
    return len(offsets) == len(parts) and not ended and not is_run_lengths(bytes(parts[0][:128]))


def without_delimiter(data: Bytes, layout: "Layout") -> Bytes:
    """Return values of undefined length up to the delimiter behind the image; all of them if there is none."""
    num_bytes = layout.rows * layout.cols * layout.allocated // 8
    behind = bytes(data[num_bytes:])
    places = (behind.find(tag + bytes(4)) for tag in (DELIMITER, BIG_ENDIAN_DELIMITER))
    return data[: num_bytes + min((place for place in places if place >= 0), default=len(behind))]


def padding_codes(values: NDArray[Any], layout: "Layout") -> tuple[str, ...]:
    """Return the finding of padding behind an image; an InputError where what follows it is none.

    `values` are all bit patterns of the pixel data, flat. Padding is all of one value, or shorter than a row, and the
    rows of the image lie below one another as the header's width says.
    """
    num_pixels = layout.rows * layout.cols
    excess = values[num_pixels:]
    if excess.nbytes <= 1:  # fills up an odd length
        return ()
    if _fits_other_width(values, layout):
        raise HeaderError(
            "Columns or BitsAllocated", "the pixel data is longer than they say, and by it the rows have another length"
        )
    num_images, remainder = divmod(values.nbytes, num_pixels * values.itemsize)
    if num_images > 1 and remainder <= 1:
        raise several_frames(
            f"the pixel data has the length of {num_images} images of Rows and Columns: it holds several frames, or"
            " Rows is wrong"
        )
    if excess.size >= layout.cols and (excess != excess[0]).any():
        raise HeaderError(
            "Rows, Columns or BitsAllocated",
            f"the pixel data is {excess.nbytes} bytes longer than they say, and these are no padding",
        )
    return ("excess_padding",)


def _fits_other_width(values: NDArray[Any], layout: "Layout") -> bool:
    """Return whether the rows of an image may have another length than the header says.

    They have it where pixels are more like those that then lie below them. Lengths looked at are twice the header's
    (values of twice the bits), and those shorter and longer by 1, 2, 4, ... pixels up to a quarter: where the header's
    is wrong, one of them is nearer to the true one. Where the excess is as long as some pixels of each row, the
    header's has to be the better one.
    """
    wider, remainder = divmod(values.size, layout.rows)
    has_whole_columns = wider > layout.cols and remainder * values.itemsize <= 1
    if has_whole_columns and _gain(values, wider, layout.cols) > -MIN_GAIN:
        return True
    steps = [2**power for power in range((layout.cols // 4).bit_length())]
    widths = [2 * layout.cols, *(layout.cols - step for step in steps), *(layout.cols + step for step in steps)]
    return any(_gain(values, width, layout.cols) > MIN_GAIN for width in widths)


def _gain(values: NDArray[Any], width: int, usual: int) -> float:
    """Return the share of pixels nearer to the one below in rows of a width than of the usual one, less the others.

    It is reduced by what chance may make of it, at most to 0.
    """
    end = values.size - max(width, usual)
    if end <= 0:
        return 0.0
    step = -(-end // SAMPLED_PIXELS)
    above, below, usually_below = (values[place : place + end : step].astype(np.int32) for place in (0, width, usual))
    change = np.sign(np.abs(usually_below - above) - np.abs(below - above))
    num_changed = int(np.count_nonzero(change))
    net = int(change.sum(dtype=np.int64))
    return math.copysign(max(abs(net) - CHANCE * math.sqrt(num_changed), 0), net) / max(num_changed, 1)
