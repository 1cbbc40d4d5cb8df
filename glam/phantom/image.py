"""Arrays on a grid: points to densities, coarse to fine, coloured noise. Nothing here knows of a breast."""

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage, sparse


def splat(x: np.ndarray, y: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image (rows, cols) of weights shared among the 4 pixels around each place; pixel centres at i + 0.5."""
    rows, cols = shape
    col, row = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
    kept = (col >= 0) & (col < cols - 1) & (row >= 0) & (row < rows - 1)
    col, row, x, y, weights = col[kept], row[kept], x[kept], y[kept], weights[kept]
    right, down = x - 0.5 - col, y - 0.5 - row
    image = np.zeros(rows * cols)
    for step, part in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (cols, (1 - right) * down),
        (cols + 1, right * down),
    ):
        image += np.bincount(row * cols + col + step, weights * part, minlength=rows * cols)
    return image.reshape(shape).astype(np.float32)


def blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Return a Gaussian blur of an image, its border repeated."""
    return ndimage.gaussian_filter(image, sigma_px, mode="nearest", truncate=3.0)


def upsampled(coarse: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of `shape` from one whose pixels are `factor` times as large, by cubic interpolation."""
    if factor == 1:
        return coarse[: shape[0], : shape[1]]
    rows = cubic_matrix(shape[0], coarse.shape[0], factor)
    cols = cubic_matrix(shape[1], coarse.shape[1], factor)
    across = np.ascontiguousarray((cols @ np.ascontiguousarray(coarse.T)).T)  # (coarse row, fine col)
    return rows @ across


@lru_cache(maxsize=64)
def cubic_matrix(fine: int, coarse: int, factor: int) -> sparse.csr_array:
    """Return the matrix (fine, coarse) of Catmull-Rom interpolation along one axis, its ends repeated."""
    place = (np.arange(fine) + 0.5) / factor - 0.5
    return cubic_weights(place, coarse)


def cubic_weights(place: np.ndarray, count: int) -> sparse.csr_array:
    """Return the matrix (len(place), count) of Catmull-Rom interpolation at places counted in samples."""
    low = np.floor(place).astype(int)
    t = place - low
    weights = np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=1,
    )
    index = np.clip(low[:, None] + np.arange(-1, 3), 0, count - 1)
    rows = np.repeat(np.arange(len(place)), 4)
    return sparse.csr_array((weights.ravel().astype(np.float32), (rows, index.ravel())), shape=(len(place), count))


def fine_texture(rng: np.random.Generator, shape: tuple[int, int], px_mm: float) -> np.ndarray:
    """Return noise (rows, cols) of unit variance: the power law above 0.22 cycles / mm, where the volume stops."""
    amplitude = _texture_amplitude(shape, px_mm)
    return np.asarray(fft.irfft2(white_spectrum(rng, amplitude), s=shape, overwrite_x=True))


def white_spectrum(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
    """Return complex noise shaped by an amplitude: uniform bytes, whose sum in the transform is normal enough."""
    steps = np.frombuffer(rng.bytes(2 * amplitude.size), np.int8).reshape(*amplitude.shape, 2)
    noise = np.empty(steps.shape, np.float32)
    np.multiply(steps, (amplitude * np.float32(1 / 73.9))[..., None], out=noise, dtype=np.float32)  # their deviation
    return noise.view(np.complex64)[..., 0]


@lru_cache(maxsize=32)
def _texture_amplitude(shape: tuple[int, int], px_mm: float) -> np.ndarray:
    rows, cols = shape
    frequency = np.hypot(fft.fftfreq(rows, px_mm)[:, None], fft.rfftfreq(cols, px_mm))
    frequency[0, 0] = 1
    amplitude = frequency**-1.5 * (1 - np.exp(-((frequency / 0.22) ** 4)))
    amplitude[0, 0] = 0
    return (amplitude * rows * cols / np.sqrt(4 * (amplitude**2).sum())).astype(np.float32)
