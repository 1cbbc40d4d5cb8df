"""The largest bright body of a picture with dark air: numpy in, numpy out."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]

SKIN_LEVEL = 0.045
"""The skin line, as a share of the way from background to tissue."""
GLOW_WIDTH = 1 / 18
"""Bright bands narrower than this share of the picture (film glow along a border, folds) are cut off the breast."""
NIPPLE_SIZE = 0.12
"""A nipple is no larger than this share of the picture."""
NIPPLE_GAP = 7
"""Pixels of darkness that may lie between a faint nipple and the skin."""


def largest_body(scaled: Picture) -> tuple[Mask, float]:
    """Return the largest piece above a threshold between air and tissue, without thin tails and holes.

    Return also the area of the second largest, as a share of the largest's.
    """
    background = float(np.percentile(scaled[::4, ::4], 2))
    otsu, _ = cv2.threshold((scaled * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = scaled[scaled > otsu / 255]
    if not len(bright):
        return np.zeros(scaled.shape, bool), 0.0
    level = background + SKIN_LEVEL * (float(bright.mean()) - background)
    binary = (scaled > level).astype(np.uint8)
    radius = round(max(scaled.shape) * GLOW_WIDTH / 4)  # of a disc in a picture of half the size
    core, rival = _largest_pieces(_opened(binary[::2, ::2], disc(radius)))
    around_core = cv2.resize(cv2.dilate(core, disc(radius + 1)), binary.shape[::-1], interpolation=cv2.INTER_NEAREST)
    body = _largest_filled(binary & np.asarray(around_core, np.uint8))
    return _largest_filled(_with_nipple(binary, body)).astype(bool), rival


@cache
def disc(radius: int) -> NDArray[np.uint8]:
    """Return a round structuring element."""
    side = 2 * max(1, radius) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


def _with_nipple(binary: NDArray[np.uint8], body: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add the small piece that was cut off the breast and stands free of the borders: a nipple, fainter than the skin.

    What is cut off along a border is glow, and what lies apart from the breast is a label. Looked for at half the size.
    """
    apart = np.ascontiguousarray((binary & (1 - body))[::2, ::2])
    around = np.asarray(cv2.dilate(np.ascontiguousarray(body[::2, ::2]), disc(NIPPLE_GAP // 2 + 1)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(apart, connectivity=8)
    is_near = np.bincount(labels[(around & apart) > 0], minlength=count) > 0
    rows, cols = apart.shape
    left, top, width, height, area = stats.T
    is_free = (left > 0) & (top > 0) & (left + width < cols) & (top + height < rows)
    is_of_size = (np.maximum(width, height) <= NIPPLE_SIZE * max(rows, cols)) & (4 * area >= NIPPLE_GAP**2)
    is_nipple = is_near & is_free & is_of_size
    if not is_nipple.any():
        return body
    piece = (labels == int(np.argmax(np.where(is_nipple, area, 0)))).astype(np.uint8)
    piece = np.asarray(cv2.resize(piece, binary.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8) & binary
    return np.asarray(cv2.morphologyEx(body | piece, cv2.MORPH_CLOSE, disc(NIPPLE_GAP)), np.uint8)


def _opened(binary: NDArray[np.uint8], kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Open the picture as if it were dark outside: film glow along a border goes, as any thin piece does."""
    pad = kernel.shape[0]
    padded = cv2.copyMakeBorder(binary, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=[0])
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)
    return np.asarray(opened, np.uint8)[pad:-pad, pad:-pad]


def _largest_pieces(binary: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return the largest piece, and the area of the next as a share of its own."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(binary), connectivity=8)
    if count < 2:
        return np.zeros_like(binary), 0.0
    areas = stats[1:, cv2.CC_STAT_AREA]
    *_, second, largest = (0, *np.sort(areas).tolist())
    return (labels == 1 + int(np.argmax(areas))).astype(np.uint8), second / largest


def _largest_filled(binary: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest piece without its holes, by its outer contour."""
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(binary)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, [1], thickness=cv2.FILLED)
    return filled
