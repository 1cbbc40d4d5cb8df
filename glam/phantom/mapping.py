"""Where a place of the breast falls in an image, and back: the geometry of one view.

The reference breast is the half ball of xi (0 chest wall, 1 nipple), eta (lateral) and zeta (superior). In cylinder
coordinates (xi, e, z) = (xi, eta / s, zeta / s), s = sqrt(1 - xi^2), every anterior-posterior slice is the unit disc.
A view at gantry angle theta sees a place at (xi, nu), nu = s (e cos theta + z sin theta): the plane that this file lays
out in millimetres (compression, outline, droop, rotation) and in stored pixels. A right breast is computed as a left
one and mirrored.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glam.phantom.options import Laterality, ViewName

Array = np.ndarray
_MIN_RADIUS = 0.05  # of a slice at the nipple, where the disc shrinks to a point
_ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 8193)
_R = np.linspace(0.0, 1.0, 4097)
_FLAT = 0.4 * _R + 0.6 * np.sqrt(1 - (1 - _R**2) ** 1.5)  # a half ball pressed to a slab, its volume kept


@dataclass(frozen=True, kw_only=True)
class PlaneWave:
    """A displacement `amplitude_mm * sin(k . (xi, nu) + phase)` along one axis."""

    amplitude_mm: float
    k_xi: float
    k_nu: float
    phase: float

    def at(self, xi: Array, nu: Array) -> Array:
        """Return the displacement in millimetres."""
        return self.amplitude_mm * np.sin(self.k_xi * xi + self.k_nu * nu + self.phase)


@dataclass(frozen=True, kw_only=True)
class BodyPlace:
    """What lies under points of an image: arrays of one shape."""

    xi: Array
    nu: Array  # across the slice, as seen: s * nu'
    depth_mm: Array  # below the skin line, negative outside
    x_mm: Array  # along the posterior nipple line, 0 at the chest wall
    y_mm: Array  # along the chest wall

    @property
    def across(self) -> Array:
        """The cylinder coordinate nu' = e cos theta + z sin theta, -1 to 1 over a slice."""
        return self.nu / slice_radius(self.xi)


@dataclass(frozen=True, kw_only=True)
class ViewGeometry:
    """The compressed breast in one view of the left side; millimetres and radians."""

    view: ViewName
    theta: float
    alpha: float
    """Between the posterior nipple line and the rows of the image; the angle of the pectoral muscle to the columns."""
    length_mm: float
    top_mm: float
    bottom_mm: float
    thickness_mm: float
    exponent: float
    """Of the superellipse that is the outline."""
    droop_mm: float
    origin_u_mm: float
    origin_v_mm: float
    ripple: tuple[tuple[int, float, float], ...]
    """Order, amplitude and phase of the outline's ripples."""
    waves_x: tuple[PlaneWave, ...]
    waves_y: tuple[PlaneWave, ...]

    def body_of(self, u: Array, v: Array) -> BodyPlace:
        """Return what lies under detector places (u from the chest wall edge, v upward from the middle row), in mm."""
        cos, sin = math.cos(self.alpha), math.sin(self.alpha)
        u, v = u - self.origin_u_mm, v - self.origin_v_mm
        x, y_image = u * cos - v * sin, u * sin + v * cos
        ahead = np.maximum(x, 0) / self.length_mm
        y = y_image + self.droop_mm * ahead**2
        half = np.where(y > 0, self.top_mm + 0.02 * np.minimum(x, 0) ** 2, self.bottom_mm)
        phi = np.arctan2(y / half, ahead)
        rho = np.hypot(ahead, y / half) / _at_angle(self._outline_table, phi)
        r = np.interp(rho, _FLAT, _R).astype(u.dtype, copy=False)  # float32 is enough for a picture, and faster
        xi, nu = self._displaced(r * np.cos(phi), r * np.sin(phi), r)
        ray = np.hypot(ahead * self.length_mm, y)
        depth = ray * (1 / np.maximum(rho, 1e-6) - 1) * _at_angle(self._incidence_table, phi)
        return BodyPlace(xi=xi, nu=nu, depth_mm=depth, x_mm=x, y_mm=y_image)

    def detector_of(self, xi: Array, nu: Array, *, iterations: int = 60) -> tuple[Array, Array]:
        """Return the detector places (u, v) in mm of body places (xi, nu): the inverse of `body_of` where x >= 0.

        What the positioning of a view leaves behind the chest wall comes out at x < 0, off the film in CC.
        """
        xi_rest, nu_rest = xi, nu
        for _ in range(iterations):  # a contraction: the waves are kept below the fold
            xi_moved, nu_moved = self._displaced(xi_rest, nu_rest, np.hypot(xi_rest, nu_rest))
            step_xi, step_nu = xi - xi_moved, nu - nu_moved
            xi_rest, nu_rest = xi_rest + step_xi, nu_rest + step_nu
            if max(np.abs(step_xi).max(initial=0), np.abs(step_nu).max(initial=0)) < 1e-8:
                break
        phi = np.arctan2(nu_rest, np.maximum(xi_rest, 0))
        rho = np.interp(np.hypot(xi_rest, nu_rest), _R, _FLAT) * _at_angle(self._outline_table, phi)
        x = (rho * np.cos(phi) + np.minimum(xi_rest, 0)) * self.length_mm
        y = rho * np.sin(phi) * np.where(phi > 0, self.top_mm, self.bottom_mm)
        return self.rotated(x, y - self.droop_mm * (np.maximum(x, 0) / self.length_mm) ** 2)

    def rotated(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the detector places (u, v) of places along (x) and across (y) the posterior nipple line."""
        cos, sin = math.cos(self.alpha), math.sin(self.alpha)
        return x * cos + y * sin + self.origin_u_mm, y * cos - x * sin + self.origin_v_mm

    def across(self, points: Array) -> Array:
        """Return nu' of points (n, 3) in cylinder coordinates, or nu of points in half-ball coordinates."""
        return points[:, 1] * math.cos(self.theta) + points[:, 2] * math.sin(self.theta)

    def detector_of_points(self, points: Array, *, iterations: int = 60) -> tuple[Array, Array]:
        """Return the detector places (u, v) in mm of points (n, 3) in cylinder coordinates (xi, e, z)."""
        xi = points[:, 0]
        return self.detector_of(xi, self.across(points) * slice_radius(xi), iterations=iterations)

    def skin_mm(self) -> tuple[Array, Array]:
        """Return detector places (u, v) of the skin in mm, from its lower to its upper end, the nipple apart."""
        return self.detector_of(np.cos(_ANGLES[::64]), np.sin(_ANGLES[::64]))

    @cached_property
    def _outline_table(self) -> Array:
        """Radius of the outline over _ANGLES, in units of its half axes."""
        phi = _ANGLES
        shape = (np.abs(np.cos(phi)) ** self.exponent + np.abs(np.sin(phi)) ** self.exponent) ** (-1 / self.exponent)
        for order, amplitude, phase in self.ripple:
            shape = shape * (1 + amplitude * np.cos(order * phi + phase))
        return shape

    @cached_property
    def _incidence_table(self) -> Array:
        """Cosine between the ray from the origin and the normal of the outline, over _ANGLES."""
        slope = np.gradient(self._outline_table, _ANGLES) / self._outline_table
        return np.clip(1 / np.sqrt(1 + slope**2), 0.35, 1)

    def _displaced(self, xi: Array, nu: Array, r: Array) -> tuple[Array, Array]:
        envelope = np.clip(4 * (1 - r), 0, 1)  # nothing moves through the skin
        shift_x = sum((wave.at(xi, nu) for wave in self.waves_x), start=np.zeros_like(xi))
        shift_y = sum((wave.at(xi, nu) for wave in self.waves_y), start=np.zeros_like(xi))
        return xi - shift_x * envelope / self.length_mm, nu - shift_y * envelope / self.bottom_mm


def _at_angle(table: Array, phi: Array) -> Array:
    """Values of a table over _ANGLES, linear in between."""
    place = (phi + np.pi / 2) * ((len(table) - 1) / np.pi)
    low = np.minimum(place.astype(np.int32), len(table) - 2)
    part = place - low
    return table[low] * (1 - part) + table[low + 1] * part


def slice_radius(xi: Array) -> Array:
    """Return s = sqrt(1 - xi^2), the radius of a slice, kept above a small floor at the nipple."""
    return np.sqrt(np.maximum(1 - np.clip(xi, 0, 1) ** 2, _MIN_RADIUS**2))


@dataclass(frozen=True, kw_only=True)
class Detector:
    """The grid of stored pixels: x = column, y = row, the centre of pixel i at i + 0.5."""

    rows: int
    cols: int
    px_mm: float
    laterality: Laterality

    def pixels_of(self, u: Array, v: Array) -> Array:
        """Return stored pixels (n, 2) as x, y of detector places in mm."""
        x, y = u / self.px_mm, self.rows / 2 - v / self.px_mm
        return np.stack([self.cols - x if self.laterality == "R" else x, y], axis=-1)

    def places_of(self, pixels: Array) -> tuple[Array, Array]:
        """Return the detector places (u, v) in mm of stored pixels (n, 2)."""
        x, y = pixels[:, 0], pixels[:, 1]
        x = self.cols - x if self.laterality == "R" else x
        return x * self.px_mm, (self.rows / 2 - y) * self.px_mm
