"""Pictures without a header, and what reading makes of them."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from glam.config import FrameConfig
from glam.reading.read import read_view
from glam.view import View
from tests.samples.answers import error_of

NAMED = {"view": "CC", "laterality": "L"}
"""What a request says of a picture."""


def grey_values(dtype: type = np.uint8) -> np.ndarray:
    """Half an ellipse against the left edge, brighter toward its tip, on 0."""
    y, x = np.mgrid[:120, :90]
    inside = (x / 60) ** 2 + ((y - 60) / 50) ** 2 < 1
    largest = np.iinfo(dtype).max
    return np.where(inside, largest * (0.3 + 0.006 * x), 0).astype(dtype)


def saved(values: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file, as Pillow writes it."""
    stream = BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(stream, format, **options)
    return stream.getvalue()


def picture_view(data: bytes) -> View:
    """A left CC view."""
    return read_view(data, FrameConfig(), **NAMED)


def refused_code(data: bytes) -> str:
    """The code of the error that refuses a picture."""
    return error_of(data, **NAMED).code
