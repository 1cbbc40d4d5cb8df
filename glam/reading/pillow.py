"""Calls of Pillow, whose errors on bytes that no writer wrote become an InputError."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

from glam.findings import InputError, input_error
from glam.reading.pixels import MAX_PIXELS, MAX_SIDE

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Result = TypeVar("Result")
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


def by_pillow(call: Callable[[], Result]) -> Result:
    """Return what a call of Pillow gives; InputError where it cannot read the bytes."""
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        return call()
    except (DecompressionBombError, DecompressionBombWarning):
        raise too_large() from None
    except BROKEN as error:
        if isinstance(error, SyntaxError) and any(words in str(error) for words in NOT_READ):
            raise input_error("unsupported_picture", kind="such pixels") from None
        raise input_error("truncated") from None


def opened_picture(data: bytes, format: str) -> "ImageFile":
    """Open a picture without asking other formats; the errors of this one tell what it is that is not read."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    formats = {"PNG": PngImageFile, "JPEG": JpegImageFile, "TIFF": TiffImageFile}
    return by_pillow(lambda: formats[format](BytesIO(data), ""))


def too_large() -> InputError:
    """Return the error of a picture with too many pixels."""
    limit = f"{MAX_PIXELS // 1_000_000} million pixels, or {MAX_SIDE} along a side"
    return input_error("too_large", part="picture", limit=limit)
