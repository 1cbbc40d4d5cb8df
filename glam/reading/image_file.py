"""PNG, JPEG and TIFF: stored values without a header. What they lack is told, and nothing is guessed in its place."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.findings import input_error
from glam.reading import png, tiff
from glam.reading.jpeg_scans import whole_jpeg
from glam.reading.parse import PREAMBLE_BYTES, PREFIX, has_prefix
from glam.reading.pillow import by_pillow, opened_picture, too_large
from glam.reading.pixels import MAX_PIXELS, MAX_SIDE
from glam.reading.source import OwnBytes, Source, beginning_of, content
from glam.reading.tiff_pages import check_pages

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

STARTS: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # of more than 4 GB, or as if it were
    b"MM\0+": "TIFF",
}
"""First bytes -> format."""
GREY_MODES = ("L", "I;16", "I;16L", "I;16B")
"""Pillow's names of grey values of 8 and 16 bits."""
COLOUR_MODES = ("RGB", "RGBA", "LA", "P", "PA")
"""What may hold grey values all the same."""
ORIENTATION, PHOTOMETRIC, EXTRA_SAMPLES, PAGE_KIND, OLD_PAGE_KIND = 274, 262, 338, 254, 255
"""Tags of TIFF, the first one of EXIF, too."""
WHITE_IS_ZERO = 0
SIGN_BIT = np.uint8(0x80)
"""Turned over, it raises values from -128 to 127 by 128."""
PREMULTIPLIED, TRANSPARENCY = 1, 2
"""What an extra sample is: colours times alpha, or alpha alone."""
UPRIGHT: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
"""EXIF orientation -> how the stored picture is turned upright. 1 is upright already. EXIF 2.32, 4.6.4."""


class StoredPicture(NamedTuple):
    """The grey values of a picture."""

    values: NDArray[np.uint8 | np.uint16]
    """(rows, cols), upright"""
    format: str
    decoder: str
    orientation: int
    """By which it was turned upright, as EXIF numbers them; 1: it was so."""


def picture_format(source: Source | OwnBytes) -> str | None:
    """Return PNG, JPEG or TIFF by the first bytes; None: it is DICOM, or none of them. A stream is left where it was.

    A file may be both, TIFF in the preamble that DICOM leaves free: it is DICOM then, which has the header.
    """
    beginning = beginning_of(source, PREAMBLE_BYTES + len(PREFIX))
    if has_prefix(beginning):
        return None
    return next((name for first_bytes, name in STARTS.items() if beginning.startswith(first_bytes)), None)


def stored_picture(source: Source | OwnBytes) -> StoredPicture:
    """Return a picture's grey values, upright; an InputError where it cannot be read."""
    data = bytes(content(source))
    format = picture_format(data) or ""
    if format == "JPEG":
        data = whole_jpeg(data)
    if format == "TIFF":
        check_pages(data)
    if format == "PNG":
        png.check_whole(data)
    picture = opened_picture(data, format)
    with picture:
        page = _page(picture)
        cols, rows = picture.size
        if rows * cols > MAX_PIXELS or max(rows, cols) > MAX_SIDE:
            raise too_large()
        if picture.mode not in (*GREY_MODES, *COLOUR_MODES):
            raise input_error("unsupported_picture", kind=f"pixels of the kind {picture.mode}")
        orientation = by_pillow(lambda: picture.getexif().get(ORIENTATION, 1))
        if format == "TIFF":
            tiff.check_strips(_tags(picture), data)
        by_pillow(picture.load)
        is_deep = _is_deep(picture, data)
        values = _deep_values(picture, data, page) if is_deep else _values(picture)
    turn = UPRIGHT.get(orientation)
    if turn and format != "TIFF":  # which its decoders turn by themselves
        values = turn(values)
    decoder = "opencv" if is_deep else "pillow"
    return StoredPicture(np.ascontiguousarray(values), format, decoder, orientation if turn else 1)


def _page(picture: "ImageFile") -> int:
    """Turn to the one page that is no smaller copy of another and no mask, and return its number."""
    num_pages = by_pillow(lambda: getattr(picture, "n_frames", 1))
    if num_pages == 1:
        return 0
    if picture.format != "TIFF":
        raise input_error("multi_frame")
    full_pages = list[int]()
    for page in range(num_pages):
        by_pillow(partial(picture.seek, page))
        if not (_tag(picture, PAGE_KIND, 0) & 0b101 or _tag(picture, OLD_PAGE_KIND, 1) == 2):
            full_pages.append(page)
    if len(full_pages) != 1:
        raise input_error("multi_frame")
    by_pillow(partial(picture.seek, full_pages[0]))
    return full_pages[0]


def _tags(picture: "ImageFile") -> tiff.Tags:
    return getattr(picture, "tag_v2", {})


def _tag(picture: "ImageFile", tag: int, absent: int) -> int:
    """Return a number of a TIFF's tags; `absent` for other formats, too."""
    return tiff.number(_tags(picture), tag, absent)


def _is_deep(picture: "ImageFile", data: bytes) -> bool:
    """Return whether there are colours of 16 bits, of which Pillow keeps 8."""
    if picture.mode in GREY_MODES:
        return False
    return data[24] == 16 if picture.format == "PNG" else _tag(picture, tiff.BITS, 8) == 16


def _values(picture: "ImageFile") -> NDArray[Any]:
    """Return (rows, cols) of 8 or 16 bits from what Pillow read: transparent is black, as the background is."""
    if picture.mode not in GREY_MODES or (picture.mode == "L" and "transparency" in picture.info):
        colours = np.asarray(by_pillow(lambda: picture.convert("RGBA")))  # (row, col, channel)
        return _grey_of(colours[..., :3], colours[..., 3])
    values = np.asarray(picture)
    values = values.astype(np.uint8 if values.itemsize == 1 else np.uint16)
    if values.itemsize == 1:  # white as zero is turned by Pillow, in 8 bits
        is_signed = _tag(picture, tiff.SAMPLE_FORMAT, 1) == tiff.SIGNED
        return values ^ SIGN_BIT if is_signed else values
    if isinstance(transparent := picture.info.get("transparency"), int):
        values[values == transparent] = 0
    is_negative = picture.format == "TIFF" and _tag(picture, PHOTOMETRIC, 1) == WHITE_IS_ZERO
    return np.iinfo(values.dtype).max - values if is_negative else values


def _deep_values(picture: "ImageFile", data: bytes, page: int) -> NDArray[Any]:
    """Return (rows, cols) of 16 bits from channels of 16 bits, which OpenCV reads."""
    import cv2

    if _tag(picture, tiff.PLANAR, 1) == tiff.ONE_AFTER_ANOTHER:  # OpenCV takes them for pixels
        raise input_error("unsupported_picture", kind="channels of 16 bits that are stored one after another")
    channels = None if page else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if channels is None or channels.dtype != np.uint16 or channels.ndim != 3:
        raise input_error("unsupported_picture", kind="such channels of 16 bits")
    extra_sample = _tag(picture, EXTRA_SAMPLES, TRANSPARENCY)
    has_alpha = channels.shape[2] == 4 and extra_sample == TRANSPARENCY
    return _grey_of(channels[..., :3], channels[..., 3] if has_alpha else None)


def _grey_of(colours: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Return the (rows, cols) grey values of (rows, cols, channel) over black; `not_monochrome` if they are colours."""
    largest = np.iinfo(colours.dtype).max
    if (colours == colours[..., :1]).all():
        colours = colours[..., :1]
    if alpha is not None and (alpha != largest).any():
        over_black = (colours.astype(np.uint32) * alpha[..., None] + largest // 2) // largest
        colours = over_black.astype(colours.dtype)
    if (colours != colours[..., :1]).any():
        raise input_error("not_monochrome")
    return colours[..., 0]
