"""From attenuation to a FOR PRESENTATION image: scatter, quanta, peripheral equalisation, contrast."""

from functools import cache

import numpy as np

from glam.phantom.image import blur, upsampled

MU_FAT, MU_GLAND, MU_MUSCLE, MU_SKIN = 0.050, 0.080, 0.079, 0.082  # 1 / mm at about 20 keV
MAX_STORED = 4095  # 12 bit
_QUANTA = 2.6e5 * 0.06  # photons a detector element of 0.1 mm counts behind air
_TONES = 16384


def detected(attenuation: np.ndarray, rng: np.random.Generator, *, px_mm: float, quanta: float = 1.0) -> np.ndarray:
    """Return the intensity (rows, cols) that the detector counts, 1 behind air, with scatter and quantum noise.

    `quanta` is a factor of the usual number of photons.
    """
    intensity = np.exp(-attenuation)
    step = _sparse_step(12, px_mm)
    scatter = blur(intensity[step // 2 :: step, step // 2 :: step], 12 / (step * px_mm))
    intensity += 0.08 * upsampled(scatter, step, intensity.shape)
    noise = rng.standard_normal(intensity.shape, dtype=np.float32)
    noise *= np.sqrt(intensity * np.float32(1 / (_QUANTA * quanta * (px_mm / 0.1) ** 2)))
    intensity += noise
    return np.maximum(intensity, 1e-6, out=intensity)


def presented(
    intensity: np.ndarray, body: np.ndarray, equalised: np.ndarray, *, thickness_mm: float, px_mm: float
) -> np.ndarray:
    """Return the 12-bit image (rows, cols): tissue bright, 0 outside the body.

    `equalised` is added to the log exposure: what the breast lacks in thickness toward its edge.
    """
    shown = -np.log(intensity)
    shown += equalised
    step = _sparse_step(6, px_mm)
    corner = slice(step // 2, None, step)
    inside = body[corner, corner].astype(np.float32)
    sigma = 6 / (step * px_mm)
    around = blur(shown[corner, corner] * inside, sigma) / np.maximum(blur(inside, sigma), 1e-3)
    shown *= 1.7  # unsharp mask of weight 0.7
    shown -= 0.7 * upsampled(around.astype(np.float32), step, shown.shape)
    sample = shown[::3, ::3][body[::3, ::3]]
    low = np.partition(sample, rank := sample.size // 100)[rank] - 0.14
    shown -= low
    shown *= _TONES / (1.12 + 0.0105 * thickness_mm)
    index = np.clip(shown, 0, 1.3 * _TONES - 1, out=shown).astype(np.int32)
    return np.where(body, _tone_curve()[index], np.uint16(0))


def coarse_step(px_mm: float) -> int:
    """Return how many pixels make the 0.96 mm of the coarse grid."""
    return max(1, round(0.96 / px_mm))


def _sparse_step(sigma_mm: float, px_mm: float) -> int:
    """How many pixels apart samples may be for a blur of this size."""
    return max(1, round(sigma_mm / 3 / px_mm))


@cache
def _tone_curve() -> np.ndarray:
    y = np.arange(int(1.3 * _TONES) + 1) / _TONES
    return np.clip(260 + 3400 * (1 - np.exp(-1.5 * y**1.2)) / 0.78, 0, MAX_STORED).astype(np.uint16)
