"""PNG, JPEG and TIFF: stored values without a header. What they lack is told, and nothing is guessed in its place."""

import struct
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from glam.findings import InputError, input_error
from glam.reading.parse import MAX_BYTES, PREAMBLE_BYTES, PREFIX, Source, content, has_prefix, opened
from glam.reading.pixels import MAX_PIXELS, MAX_SIDE

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Result = TypeVar("Result")
MAX_PAGES = 16
"""More pages than these are no picture with its smaller copies."""

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
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)
"""What Pillow raises on bytes that no writer wrote, found by bench/fuzz.py. Caught around its calls only."""
NOT_READ = ("unknown pixel mode", "cannot handle")
"""What it says of a whole file whose kind of values it does not know."""

ORIENTATION, PHOTOMETRIC, BITS, EXTRA_SAMPLES, PAGE_KIND, OLD_PAGE_KIND = 274, 262, 258, 338, 254, 255
"""Tags of TIFF, the first one of EXIF, too."""
WHITE_IS_ZERO = 0
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


def picture_format(source: Source) -> str | None:
    """Return PNG, JPEG or TIFF by the first bytes; None: it is DICOM, or none of them. A stream is left where it was.

    A file may be both, TIFF in the preamble that DICOM leaves free: it is DICOM then, which has the header.
    """
    with opened(source) as stream:
        start = stream.tell()
        beginning = stream.read(PREAMBLE_BYTES + len(PREFIX))
        stream.seek(start)
    if has_prefix(beginning):
        return None
    return next((name for first_bytes, name in STARTS.items() if beginning.startswith(first_bytes)), None)


def stored_picture(source: Source) -> StoredPicture:
    """Return a picture's grey values, upright; an InputError where it cannot be read."""
    data = content(source)
    format = picture_format(data) or ""
    if format == "JPEG":
        data = _whole_jpeg(data)
    picture = _by_pillow(lambda: _open(data, format))
    with picture:
        page = _page(picture)
        cols, rows = picture.size
        if rows * cols > MAX_PIXELS or max(rows, cols) > MAX_SIDE:
            raise _too_large()
        if picture.mode not in (*GREY_MODES, *COLOUR_MODES):
            raise input_error("unsupported_picture", kind=f"pixels of the kind {picture.mode}")
        orientation = _by_pillow(lambda: picture.getexif().get(ORIENTATION, 1))
        _by_pillow(picture.load)
        is_deep = _is_deep(picture, data)
        values = _deep_values(picture, data, page) if is_deep else _values(picture)
    turn = UPRIGHT.get(orientation)
    if turn and format != "TIFF":  # which its decoders turn by themselves
        values = turn(values)
    decoder = "opencv" if is_deep else "pillow"
    return StoredPicture(np.ascontiguousarray(values), format, decoder, orientation if turn else 1)


def _whole_jpeg(data: bytes) -> bytes:
    """Return a grey JPEG that Pillow reads to its end, which may be missing; `truncated` where values of it are.

    Colours, and what is neither baseline nor too large, are left for Pillow to judge.
    """
    from pydicom.uid import JPEGBaseline8Bit

    from glam.reading.codestream import codestream

    try:
        stream = codestream(data)
    except ValueError:
        raise input_error("truncated") from None
    if stream is None or not stream.attempts or stream.rows * stream.cols > MAX_PIXELS:
        return data
    if stream.syntax != JPEGBaseline8Bit:
        raise input_error("unsupported_picture", kind="lossless or 12-bit JPEG")
    for attempt in stream.attempts:
        values, continued = (_jpeg_values(probe) for probe in (attempt.stream, attempt.same or b""))
        if values is not None and continued is not None and np.array_equal(values, continued):
            return attempt.stream
    raise input_error("truncated")


def _jpeg_values(data: bytes) -> NDArray[Any] | None:
    """Return what Pillow makes of a JPEG; None where it cannot read it."""
    try:
        return _by_pillow(lambda: np.asarray(_open(data, "JPEG")))
    except InputError:
        return None


def _open(data: bytes, format: str) -> "ImageFile":
    """Open a picture without asking other formats; the errors of this one tell what it is that is not read."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    return {"PNG": PngImageFile, "JPEG": JpegImageFile, "TIFF": TiffImageFile}[format](BytesIO(data), "")


def _by_pillow(call: Callable[[], Result]) -> Result:
    """Return what a call of Pillow gives; InputError where it cannot read the bytes."""
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        return call()
    except (DecompressionBombError, DecompressionBombWarning):
        raise _too_large() from None
    except BROKEN as error:
        if isinstance(error, SyntaxError) and any(words in str(error) for words in NOT_READ):
            raise input_error("unsupported_picture", kind="such pixels") from None
        raise input_error("truncated") from None


def _page(picture: "ImageFile") -> int:
    """Turn to the one page that is no smaller copy of another and no mask, and return its number."""
    num_pages = _by_pillow(lambda: getattr(picture, "n_frames", 1))
    if num_pages == 1:
        return 0
    if picture.format != "TIFF" or num_pages > MAX_PAGES:
        raise input_error("multi_frame")
    full_pages = list[int]()
    for page in range(num_pages):
        _by_pillow(partial(picture.seek, page))
        if not (_tag(picture, PAGE_KIND, 0) & 0b101 or _tag(picture, OLD_PAGE_KIND, 1) == 2):
            full_pages.append(page)
    if len(full_pages) != 1:
        raise input_error("multi_frame")
    _by_pillow(partial(picture.seek, full_pages[0]))
    return full_pages[0]


def _tag(picture: "ImageFile", tag: int, absent: int) -> int:
    """Return a number of a TIFF's tags, the largest of several; a value that is no number counts as absent."""
    content = _by_pillow(lambda: getattr(picture, "tag_v2", {}).get(tag, absent))
    values = content if isinstance(content, tuple) else (content,)
    numbers = [value for value in values if isinstance(value, int)]
    return max(numbers, default=absent)


def _is_deep(picture: "ImageFile", data: bytes) -> bool:
    """Return whether there are colours of 16 bits, of which Pillow keeps 8."""
    if picture.mode in GREY_MODES:
        return False
    return data[24] == 16 if picture.format == "PNG" else _tag(picture, BITS, 8) == 16


def _values(picture: "ImageFile") -> NDArray[Any]:
    """Return (rows, cols) of 8 or 16 bits from what Pillow read: transparent is black, as the background is."""
    if picture.mode not in GREY_MODES or (picture.mode == "L" and "transparency" in picture.info):
        colours = np.asarray(_by_pillow(lambda: picture.convert("RGBA")))  # (row, col, channel)
        return _grey_of(colours[..., :3], colours[..., 3])
    values = np.asarray(picture)
    values = values.astype(np.uint8 if values.itemsize == 1 else np.uint16)
    if values.itemsize == 1:
        return values  # white as zero is turned by Pillow, in 8 bits
    if isinstance(transparent := picture.info.get("transparency"), int):
        values[values == transparent] = 0
    is_negative = picture.format == "TIFF" and _tag(picture, PHOTOMETRIC, 1) == WHITE_IS_ZERO
    return np.iinfo(values.dtype).max - values if is_negative else values


def _deep_values(picture: "ImageFile", data: bytes, page: int) -> NDArray[Any]:
    """Return (rows, cols) of 16 bits from channels of 16 bits, which OpenCV reads."""
    import cv2

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


def _too_large() -> InputError:
    limit = f"{MAX_PIXELS / 1e6:.0f} Mpx or {MAX_BYTES / 1e6:.0f} MB"
    return input_error("too_large", size=f"more than {limit}", limit=limit)
