"""What a lesion adds to the attenuation of one view, and the box around it."""

from dataclasses import dataclass

import numpy as np

from glam.phantom.image import blur, cubic_weights, splat
from glam.phantom.lesions import Lesion3D, grains, mass_body, spicules
from glam.phantom.mapping import ViewGeometry

_STRETCH = 1.10  # compression spreads a lesion in the plane
_CONTRAST = {"low": 0.026, "equal": 0.0315, "high": 0.040}  # attenuation of a mass over what it replaces, 1 / mm
_CALCIUM = 0.85  # attenuation of a grain over tissue, 1 / mm
_SPICULE = 0.0081  # attenuation x mm^2 of one point of a spicule
_MASS_GRID = (44, 44, 36)  # samples across the image and along the ray


@dataclass(frozen=True)
class Stamp:
    """Attenuation (rows, cols) to add at `row`, `col` of an image of a left breast, and the box [x0, y0, x1, y1]."""

    row: int
    col: int
    signal: np.ndarray
    box: tuple[float, float, float, float]

    def added_to(self, image: np.ndarray) -> None:
        """Add the signal to an image in place; what lies over its border is cut."""
        rows, cols = image.shape
        top, left = max(self.row, 0), max(self.col, 0)
        bottom, right = min(self.row + len(self.signal), rows), min(self.col + self.signal.shape[1], cols)
        if top < bottom and left < right:
            part = self.signal[top - self.row : bottom - self.row, left - self.col : right - self.col]
            image[top:bottom, left:right] += part


@dataclass(frozen=True)
class _Plane:
    """The image plane around a lesion: offsets in mm to pixels from its centre, at a place of the pixel grid."""

    geometry: ViewGeometry
    px_mm: float
    centre: np.ndarray  # (2,) stored pixels

    def pixels_of(self, offsets: np.ndarray) -> np.ndarray:
        """Pixels (n, 2) of offsets (n, 3) in mm along (anterior, lateral, superior)."""
        across = offsets[:, 1] * np.cos(self.geometry.theta) + offsets[:, 2] * np.sin(self.geometry.theta)
        x, y = _STRETCH * offsets[:, 0], _STRETCH * across
        cos, sin = np.cos(self.geometry.alpha), np.sin(self.geometry.alpha)
        return self.centre + np.stack([x * cos + y * sin, x * sin - y * cos], axis=-1) / self.px_mm

    def offsets_of(self, right_mm: np.ndarray, down_mm: np.ndarray, ray_mm: np.ndarray) -> np.ndarray:
        """Offsets (n, 3) in mm of places right and down in the image and along the ray."""
        cos, sin = np.cos(self.geometry.alpha), np.sin(self.geometry.alpha)
        x, y = (right_mm * cos + down_mm * sin) / _STRETCH, (right_mm * sin - down_mm * cos) / _STRETCH
        cos, sin = np.cos(self.geometry.theta), np.sin(self.geometry.theta)
        return np.stack([x, y * cos - ray_mm * sin, y * sin + ray_mm * cos], axis=-1)


def stamps_of(lesion: Lesion3D, geometry: ViewGeometry, centre: np.ndarray, px_mm: float) -> list[Stamp]:
    """Return what a lesion adds around its centre (pixels of a left image); the first one has the lesion's box."""
    plane = _Plane(geometry, px_mm, centre)
    if lesion.kind == "mass":
        stamps = [_mass(lesion, plane)]
        return [*stamps, _lines(lesion, plane)] if lesion.margin == "spiculated" else stamps
    if lesion.kind == "calcification":
        return [_grains(lesion, plane)]
    return [_lines(lesion, plane)] if lesion.kind == "distortion" else [_haze(lesion, plane)]


def _mass(lesion: Lesion3D, plane: _Plane) -> Stamp:
    body = mass_body(lesion)
    reach = 1.65 * body.radius_mm + 3 * body.soft_mm
    across, _, deep = (np.linspace(-reach, reach, count) for count in _MASS_GRID)
    down, right, ray = (axis.ravel() for axis in np.meshgrid(across, across, deep, indexing="ij"))
    inside = body.inside(plane.offsets_of(right, down, ray)).reshape(_MASS_GRID)
    thickness = inside.sum(axis=2) * np.float32(deep[1] - deep[0])  # (down, right) in mm
    contrast = _CONTRAST[lesion.density] * (0.6 if lesion.margin == "obscured" else 0.8)
    row, col, signal = _resampled(thickness * np.float32(contrast), reach, plane)
    return Stamp(row, col, signal, _extent(signal > 0.15 * signal.max(), row, col))


def _haze(lesion: Lesion3D, plane: _Plane) -> Stamp:
    """Return a focal asymmetry: gland without a border."""
    reach = 1.2 * lesion.size_mm
    across = np.linspace(-reach, reach, 32)
    distance = np.hypot(across[:, None], across) / lesion.size_mm
    signal = (0.014 * lesion.size_mm * np.exp(-((2 * distance) ** 2))).astype(np.float32)
    row, col, signal = _resampled(signal, reach, plane)
    return Stamp(row, col, signal, _extent(signal > 0.35 * signal.max(), row, col))


def _resampled(signal: np.ndarray, reach: float, plane: _Plane) -> tuple[int, int, np.ndarray]:
    """Row, column and values on the pixel grid of samples (n, n) that span +- reach mm about the centre."""
    half = int(reach / plane.px_mm)
    col, row = (np.floor(plane.centre).astype(int) - half).tolist()
    matrices = []
    for first, centre in ((row, plane.centre[1]), (col, plane.centre[0])):
        offset = (first + np.arange(2 * half + 1) + 0.5 - centre) * plane.px_mm
        matrices.append(cubic_weights((offset + reach) / (2 * reach) * (len(signal) - 1), len(signal)))
    fine = matrices[0] @ np.ascontiguousarray((matrices[1] @ np.ascontiguousarray(signal.T)).T)
    return row, col, np.maximum(fine, 0)


def _lines(lesion: Lesion3D, plane: _Plane) -> Stamp:
    offsets, weights = spicules(lesion)
    factor = 1.5 if lesion.kind == "distortion" else 1.0
    row, col, signal = _splatted(plane.pixels_of(offsets), weights * factor * _SPICULE, 0.30, plane)
    core = plane.pixels_of(offsets[np.linalg.norm(offsets, axis=1) < 0.5 * lesion.size_mm])
    return Stamp(row, col, signal, (*core.min(axis=0).tolist(), *core.max(axis=0).tolist()))


def _grains(lesion: Lesion3D, plane: _Plane) -> Stamp:
    offsets, diameters = grains(lesion)
    pixels = plane.pixels_of(offsets)
    weights = np.pi / 6 * diameters**3 * _CALCIUM
    sigma_mm = np.maximum(0.55 * plane.px_mm, diameters / 2.6)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    margin = int(4 * sigma_mm.max() / plane.px_mm) + 2
    col, row = (np.floor(low).astype(int) - margin).tolist()
    cols, rows = (np.ceil(high - low).astype(int) + 2 * margin + 1).tolist()
    along_x = _bells(pixels[:, 0] - col, sigma_mm / plane.px_mm, cols)  # (grain, col)
    along_y = _bells(pixels[:, 1] - row, sigma_mm / plane.px_mm, rows)
    signal = np.einsum("gy,gx->yx", along_y * (weights / plane.px_mm**2)[:, None], along_x, optimize=True)
    edge = diameters.max() / plane.px_mm
    return Stamp(row, col, signal.astype(np.float32), (*(low - edge).tolist(), *(high + edge).tolist()))


def _bells(place: np.ndarray, sigma: np.ndarray, count: int) -> np.ndarray:
    """Gaussians (n, count) of unit sum at places, pixel centres at i + 0.5."""
    scaled = (np.arange(count) + 0.5 - place[:, None]) / sigma[:, None]
    return np.exp(-0.5 * scaled**2) / (np.sqrt(2 * np.pi) * sigma[:, None])


def _splatted(pixels: np.ndarray, weights: np.ndarray, sigma_mm: float, plane: _Plane) -> tuple[int, int, np.ndarray]:
    margin = int(4 * sigma_mm / plane.px_mm) + 3
    col, row = (np.floor(pixels.min(axis=0)).astype(int) - margin).tolist()
    cols, rows = (np.ceil(np.ptp(pixels, axis=0)).astype(int) + 2 * margin + 1).tolist()
    points = splat(pixels[:, 0] - col, pixels[:, 1] - row, weights / plane.px_mm**2, (rows, cols))
    return row, col, blur(points, sigma_mm / plane.px_mm)


def _extent(mask: np.ndarray, row: int, col: int) -> tuple[float, float, float, float]:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(col + xs[0]), float(row + ys[0]), float(col + xs[-1] + 1), float(row + ys[-1] + 1)
