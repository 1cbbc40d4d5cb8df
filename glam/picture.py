"""PNG, JPEG and TIFF: stored values without a header. What they lack is told, and nothing is guessed in its place."""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.intake import HeaderError, InputError, input_error
from glam.parse import MAX_BYTES, PREAMBLE_BYTES, PREFIX, Source, has_prefix, opened
from glam.pixels import MAX_PIXELS, MAX_SIDE, Layout, Shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from glam.config import VoiPolicy

STARTS: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
"""First bytes -> format."""
GREY_MODES = ("L", "I;16", "I;16L", "I;16B")
"""Pillow's names of grey values of 8 and 16 bits."""
COLOUR_MODES = ("RGB", "RGBA", "LA", "P")
"""What may hold grey values all the same."""


class Stored(NamedTuple):
    """The grey values of a picture."""

    values: NDArray[np.uint8 | np.uint16]
    """(rows, cols)"""
    format: str


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
    return next((name for first, name in STARTS.items() if beginning.startswith(first)), None)


def show_picture(source: Source, voi: "VoiPolicy") -> Shown:
    """Return a picture's display values, tissue bright; an InputError where there is nothing to show.

    It has no window: what is black and white follows from the breast, whatever the policy.
    """
    from pydicom import Dataset

    from glam.tone import tone

    stored = _stored(source)
    rows, cols = stored.values.shape
    bits = 8 * stored.values.itemsize
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    layout = Layout(rows, cols, allocated=bits, bits=bits, high_bit=bits - 1, signed=False)
    found = tone(dataset, stored.values, layout, voi)
    if found is None:
        raise input_error("no_breast")
    return Shown(found.pixels, {"voi": found.voi, "transfer_syntax": stored.format, "decoder": "pillow"}, found.odd)


def _stored(source: Source) -> Stored:
    from PIL import Image, UnidentifiedImageError

    with opened(source) as stream:
        try:
            with Image.open(_bounded(stream), formats=sorted(set(STARTS.values()))) as picture:
                _check(picture)
                return Stored(_grey_values(picture), picture.format or "")
        except InputError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_large() from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, MemoryError):
            raise input_error("truncated") from None


def _bounded(stream: BinaryIO) -> BytesIO:
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large()
    return BytesIO(data)


def _check(picture: "Image") -> None:
    """Refuse what is too large or no single image, before any of it is decoded."""
    cols, rows = picture.size
    if rows * cols > MAX_PIXELS or max(rows, cols) > MAX_SIDE:
        raise _too_large()
    if getattr(picture, "n_frames", 1) > 1:
        raise input_error("multi_frame")


def _grey_values(picture: "Image") -> NDArray[np.uint8 | np.uint16]:
    """Return (rows, cols) of 8 or 16 bits; colours only where they are shades of grey."""
    if picture.mode in GREY_MODES:
        values = np.asarray(picture)
        return np.ascontiguousarray(values, np.uint8 if values.itemsize == 1 else np.uint16)
    if picture.mode not in COLOUR_MODES:
        raise HeaderError("pixel format", "it is not one of grey values of 8 or 16 bits")
    colours = np.asarray(picture.convert("RGB"))  # (row, col, channel)
    if (colours != colours[..., :1]).any():
        raise input_error("not_monochrome")
    return np.ascontiguousarray(colours[..., 0])


def _too_large() -> InputError:
    limit = f"{MAX_PIXELS / 1e6:.0f} Mpx or {MAX_BYTES / 1e6:.0f} MB"
    return input_error("too_large", size=f"more than {limit}", limit=limit)
