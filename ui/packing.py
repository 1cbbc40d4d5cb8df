"""Pixels on their way to the browser: 16 bits, lossless, small enough to be sent once. `decode.mjs` reads them.

A browser shows a 16-bit PNG in 8 bits, so it could set no window; and what compresses well is not the pixel but its
difference from the one before, high bytes and low bytes apart.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

LEVEL = 1
"""Of zlib: higher ones take twice the time for a few per cent."""
GZIP = 31
"""Largest window of zlib, with gzip's header and end (zlib.h: 15 + 16)."""
BAND = 256
"""Rows that are worked through at a time, so that what lies between stays in the processor's cache."""


def packed(pixels: NDArray[np.uint16]) -> bytes:
    """Return the (rows, cols) pixels as gzip of their differences, all high bytes, then all low bytes.

    From the left neighbour, in a row's first column from the pixel above; zig-zag, so that small ones have few bits.
    """
    planes = np.empty((2, *pixels.shape), np.uint8)
    above = np.uint16(0)
    for first in range(0, len(pixels), BAND):
        band = pixels[first : first + BAND]
        before = np.empty_like(band)
        before[:, 1:] = band[:, :-1]
        before[:, 0] = np.concatenate([[above], band[:-1, 0]])
        above = band[-1, 0]
        difference = (band - before).view(np.int16)  # modulo 2^16
        zigzag = ((difference << 1) ^ (difference >> 15)).view(np.uint16)
        planes[0, first : first + BAND] = zigzag >> 8
        planes[1, first : first + BAND] = zigzag & 255
    # Runs of zeros are nearly all that repeats in differences: looking for nothing else is faster, and no larger.
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return deflate.compress(planes.data) + deflate.flush()
