"""Pixels on their way to the browser: 16 bits, lossless, small enough to be sent once. `decode.mjs` reads them.

A browser shows a 16-bit PNG in 8 bits, so it could set no window; and what compresses well is not the pixel but its
difference from the one before, high bytes and low bytes apart.
"""

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 1
"""Of gzip: higher ones take twice the time for a few per cent."""


def packed(pixels: NDArray[np.uint16]) -> bytes:
    """Return the (rows, cols) pixels as gzip of their differences, all high bytes, then all low bytes.

    From the left neighbour, in a row's first column from the pixel above; zig-zag, so that small ones have few bits.
    """
    before = np.zeros_like(pixels)
    before[:, 1:] = pixels[:, :-1]
    before[1:, 0] = pixels[:-1, 0]
    difference: NDArray[Any] = (pixels - before).view(np.int16)  # modulo 2^16
    zigzag = ((difference << 1) ^ (difference >> 15)).view(np.uint16)
    planes = np.stack([zigzag >> 8, zigzag & 255]).astype(np.uint8)
    return gzip.compress(planes.tobytes(), LEVEL, mtime=0)
