"""The glandular volume of a breast, and what a parallel projection sees of it."""

from functools import cache

import numpy as np
from scipy import fft, sparse

from glam.phantom.image import white_spectrum
from glam.phantom.mapping import ViewGeometry

SHAPE = (96, 128, 128)  # xi, e, z
_EXTENT_MM = (90.0, 130.0, 130.0)  # what the box stands for when wave lengths are in mm; along xi strands are longer


def draw_gland(rng: np.random.Generator, gland_fraction: float) -> np.ndarray:
    """Return the gland fraction (96, 128, 128) over (xi, e, z): power-law noise of beta = 3, cut at its quantile.

    Gland gathers behind the nipple in the upper outer part; septa (ligaments of Cooper) run all over. Outside the unit
    disc of a slice it is 0.
    """
    xi, across = _axes()
    dense = gland_fraction > 0.25
    centre = rng.normal((0.50, 0.10, 0.08), (0.05, 0.07, 0.07))
    wide_xi, wide = rng.uniform((0.26, 0.42), (0.36, 0.60)) * ((1.25, 1.3) if dense else (1.0, 1.0))
    along = -0.8 * ((xi - centre[0]) / wide_xi) ** 2
    around = -0.9 * ((across[:, None] - centre[1]) ** 2 + (across - centre[2]) ** 2) / wide**2
    noise = _noise(rng, _power_law())
    noise += along[:, None, None].astype(np.float32)
    noise += around.astype(np.float32)
    inside = _disc()
    sample = noise[::3, ::2][:, inside[::2]]
    cut = np.partition(sample, rank := int((1 - gland_fraction) * sample.size), axis=None).ravel()[rank]
    noise -= cut
    noise *= 1 / (2 * 0.17)
    np.tanh(noise, out=noise)
    noise += 1
    noise *= 0.5
    septa = _noise(rng, _septa_band())
    septa *= 10
    np.multiply(septa, -septa, out=septa)
    np.exp(septa, out=septa)
    septa *= np.float32(rng.uniform(0.16, 0.26))
    np.maximum(noise, septa, out=noise)
    noise *= inside
    return noise


def gland_seen(gland: np.ndarray, geometry: ViewGeometry) -> np.ndarray:
    """Return the mean gland fraction (96, 128) along the rays of a view, over (xi, nu')."""
    flat = gland.reshape(SHAPE[0], -1)
    total = gland.sum(axis=2) if geometry.theta == 0 else (_ray_sums(geometry.theta) @ flat.T).T
    _, across = _axes()
    chord = np.maximum(2 * np.sqrt(1 - across**2), 0.12)
    return (total * (across[1] - across[0]) / chord).astype(np.float32)


def gland_at(gland: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the gland fraction of the voxels that hold points (n, 3) in cylinder coordinates."""
    return gland[voxel_of(points)]


def voxel_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxel indices of points (n, 3) in cylinder coordinates."""
    scaled = (points + np.array([0, 1, 1])) * (SHAPE[0], SHAPE[1] / 2, SHAPE[2] / 2)
    index = np.clip(scaled.astype(int), 0, np.array(SHAPE) - 1)
    return index[:, 0], index[:, 1], index[:, 2]


@cache
def _axes() -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(SHAPE[0]) + 0.5) / SHAPE[0], (np.arange(SHAPE[1]) + 0.5) / SHAPE[1] * 2 - 1


@cache
def _disc() -> np.ndarray:
    _, across = _axes()
    return across[:, None] ** 2 + across**2 <= 1


def _noise(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
    """Return noise of unit expected variance (SHAPE) whose spectrum has an amplitude (a, b, c), 0 beyond these terms.

    Axis by axis, the zeros put in as late as can be: half the time of a transform of the whole box.
    """
    spectrum = white_spectrum(rng, amplitude)
    for axis in (0, 1):
        low, high = np.split(spectrum, 2, axis=axis)
        missing = [*spectrum.shape]
        missing[axis] = SHAPE[axis] - spectrum.shape[axis]
        spectrum = np.concatenate([low, np.zeros(missing, np.complex64), high], axis=axis)
        spectrum = np.asarray(fft.ifft(spectrum, axis=axis, overwrite_x=True))
    return np.asarray(fft.irfft(spectrum, n=SHAPE[2], axis=2, overwrite_x=True))


def _frequency(kept: tuple[int, int, int]) -> np.ndarray:
    """Return the cycles per mm of the lowest terms of each axis (a, b, c): both signs of two axes, one of the last."""
    cycles_xi, cycles_e = (fft.fftfreq(count, d=1 / count) for count in kept[:2])
    f_xi, f_e, f_z = (
        cycles / extent for cycles, extent in zip((cycles_xi, cycles_e, np.arange(kept[2])), _EXTENT_MM, strict=True)
    )
    return np.sqrt((1.3 * f_xi[:, None, None]) ** 2 + f_e[:, None] ** 2 + f_z**2)


@cache
def _power_law() -> np.ndarray:
    return _unit((_frequency((72, 96, 48)) ** 2 + (1 / 80) ** 2) ** -0.75)


@cache
def _septa_band() -> np.ndarray:
    frequency = np.maximum(_frequency((48, 64, 32)), 1e-6)
    return _unit(np.exp(-0.5 * (np.log(frequency * 15) / 0.45) ** 2))


def _unit(amplitude: np.ndarray) -> np.ndarray:
    """Return an amplitude scaled so that the noise it shapes has unit expected variance."""
    amplitude[0, 0, 0] = 0
    weight = np.full(amplitude.shape[-1], 2.0)  # the terms of the last axis stand for their conjugates too
    weight[0] = 1
    power = (amplitude**2 * weight).sum() * 2  # of real and imaginary part
    return (amplitude * np.prod(SHAPE) / np.sqrt(power)).astype(np.float32)


def _ray_sums(theta: float) -> sparse.csr_array:
    """Return the matrix (128, 16384) that adds the voxels of a slice to bins of nu', linearly between two bins."""
    _, across = _axes()
    index = np.flatnonzero(_disc())
    e, z = across[index // SHAPE[2]], across[index % SHAPE[2]]
    place = np.clip((e * np.cos(theta) + z * np.sin(theta) + 1) * SHAPE[1] / 2 - 0.5, 0, SHAPE[1] - 1.001)
    low = place.astype(int)
    part = (place - low).astype(np.float32)
    values, rows = np.concatenate([1 - part, part]), np.concatenate([low, low + 1])
    return sparse.csr_array((values, (rows, np.tile(index, 2))), shape=(SHAPE[1], SHAPE[1] * SHAPE[2]))
