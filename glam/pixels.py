"""The pixels of a data set: limits, decoder, stored values, display values."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.intake import input_error

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_PIXELS = 64_000_000
"""Largest image that is decoded; mammograms have up to about 30 million pixels."""
MAX_SIDE = 65_535
"""Largest value of Rows and Columns that the standard can write."""
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"


def check_pixels(dataset: "Dataset", where: str) -> dict[str, str]:
    """Refuse what cannot or should not be decoded, from the header alone; return transfer syntax and decoder."""
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data", where)
    rows, cols = (header.number(dataset, name) or 0 for name in ("Rows", "Columns"))
    if not (1 <= rows <= MAX_SIDE and 1 <= cols <= MAX_SIDE):
        raise input_error("bad_value", where, attribute="Rows or Columns")
    if rows * cols > MAX_PIXELS:
        raise input_error("too_large", where, pixels=round(rows * cols / 1e6), limit=MAX_PIXELS // 1_000_000)
    if header.number(dataset, "SamplesPerPixel") not in (None, 1):
        raise input_error("not_monochrome", where)
    return _decoder(dataset, where)


def _decoder(dataset: "Dataset", where: str) -> dict[str, str]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    meta = getattr(dataset, "file_meta", {})
    syntax = UID(meta.get("TransferSyntaxUID") or IMPLICIT_LITTLE_ENDIAN)
    name = syntax.name if syntax.name != syntax else "that the file names"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise input_error("unsupported_syntax", where, syntax=name) from None
    if not decoder.is_available:
        raise input_error("unsupported_syntax", where, syntax=name)
    plugins = decoder.available_plugins
    return {"transfer_syntax": name, "decoder": plugins[0] if plugins else "native"}


def decode(dataset: "Dataset", where: str) -> NDArray[Any]:
    """Return the (rows, cols) stored values."""
    try:
        return dataset.pixel_array
    except (RuntimeError, *header.broken_errors()):
        raise input_error("truncated", where) from None


def display(dataset: "Dataset", stored: NDArray[Any], where: str) -> tuple[NDArray[np.uint16], str]:
    """Return pixels of 0 to WHITE with tissue bright, and how the grey values were windowed."""
    import cv2

    from glam.tone import breast_range, tone_table

    if stored.ndim != 2 or stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise input_error("bad_value", where, attribute="BitsAllocated or pixel format")
    try:
        table, voi = tone_table(dataset, stored.dtype, lambda inverted: breast_range(stored, inverted=inverted))
    except header.broken_errors():
        raise input_error("bad_value", where, attribute="Modality LUT, window or VOI LUT") from None
    if table is None:
        raise input_error("no_breast", where)
    return np.asarray(cv2.LUT(stored.view(f"u{stored.dtype.itemsize}"), table), np.uint16), voi
