"""The size of a breast and how the two views compress it: numbers only."""

import math
from dataclasses import dataclass

import numpy as np

from glam.phantom.mapping import PlaneWave, ViewGeometry
from glam.phantom.options import LENGTHS_MM, PhantomOptions, Seed, Stream, ViewName, draw_gland_fraction, stream

MUSCLE_DEG = (7.0, 39.0)
"""Bounds of the angle of the pectoral muscle."""
HALF_WIDTHS_MM = (58.0, 112.0)
"""Bounds of half a breast's width in CC. We know of no measured widths: mean and spread were chosen by looking."""


@dataclass(frozen=True, kw_only=True)
class Habitus:
    """What both breasts of a person share."""

    size: float
    """Standard normal: the common part of thickness, length and width."""
    thickness_mm: float
    gland_fraction: float


@dataclass(frozen=True, kw_only=True)
class PectoralMuscle:
    """The muscle of an MLO view; its edge lies at x = curve_mm (y / 100)^2 - 1 mm."""

    thickness_mm: float
    reach_mm: float
    curve_mm: float

    def edge_mm(self, y: np.ndarray) -> np.ndarray:
        """Return where the edge lies along x at places y of the chest wall."""
        return self.curve_mm * (np.clip(y, -80, 160) / 100) ** 2 - 1


def draw_habitus(seed: Seed, options: PhantomOptions) -> Habitus:
    """Return a person's size, compressed thickness and gland fraction."""
    rng = stream(seed, Stream.HABITUS)
    gland_fraction = draw_gland_fraction(rng, options)
    size, own = rng.standard_normal(2)
    dense = np.clip(np.log(gland_fraction / 0.06) / np.log(0.45 / 0.06), 0, 1)
    thickness = np.clip(58 + 11 * (0.7 * size + 0.7 * own) - 15 * dense, 28, 88)  # dense breasts press thinner
    return Habitus(size=float(size), thickness_mm=float(thickness), gland_fraction=gland_fraction)


def draw_geometry(seed: Seed, habitus: Habitus, options: PhantomOptions) -> dict[ViewName, ViewGeometry]:
    """Return the geometry of both views of a left breast."""
    rng, lengths = stream(seed, Stream.GEOMETRY_CC), draw_lengths(seed, habitus, options)
    length = lengths["CC"]
    half = float(np.clip(82 + 10 * habitus.size + 5 * rng.standard_normal(), *HALF_WIDTHS_MM))
    cc = ViewGeometry(
        view="CC",
        theta=0.0,
        alpha=0.0,
        length_mm=length,
        top_mm=half,
        bottom_mm=half * rng.uniform(0.92, 1.05),
        thickness_mm=habitus.thickness_mm,
        exponent=rng.uniform(2.05, 2.4),
        droop_mm=7 * rng.standard_normal(),
        origin_u_mm=0.0,
        origin_v_mm=6 * rng.standard_normal(),
        ripple=_ripple(rng),
        waves_x=_waves(rng, options.positioning_mm, length),
        waves_y=_waves(rng, options.positioning_mm, half),
    )
    return {"CC": cc, "MLO": _draw_mlo(stream(seed, Stream.GEOMETRY_MLO), cc, lengths["MLO"], options)}


def draw_lengths(seed: Seed, habitus: Habitus, options: PhantomOptions) -> dict[ViewName, float]:
    """Return the lengths in mm from chest wall to nipple: one of the person's size, stretched anew in each view."""
    law = options.proportions
    own = stream(seed, Stream.LENGTHS).standard_normal(2)
    spread = math.hypot(law.person_spread, law.view_spread)
    stretch = np.exp(law.person_spread * habitus.size + law.view_spread * own - spread**2 / 2)  # of mean 1
    cc, mlo = np.clip(stretch * (law.cc_mm, law.mlo_mm), *LENGTHS_MM).tolist()
    return {"CC": cc, "MLO": mlo}


def draw_muscle(seed: Seed) -> PectoralMuscle:
    """Return the pectoral muscle of the MLO view."""
    rng = stream(seed, Stream.MUSCLE)
    return PectoralMuscle(thickness_mm=rng.uniform(7, 13), reach_mm=rng.uniform(8, 18), curve_mm=rng.uniform(-4, 8))


def _draw_mlo(rng: np.random.Generator, cc: ViewGeometry, length: float, options: PhantomOptions) -> ViewGeometry:
    low, high = options.theta_deg
    theta = np.clip((low + high) / 2 - 2 + (high - low) / 4 * rng.standard_normal(), low, high)
    origin_v = rng.uniform(-14, 4)
    rows, _ = options.image_shape
    to_top = rows / 2 * options.px_mm - origin_v
    alpha = float(np.radians(np.clip(rng.normal(*options.proportions.muscle_deg), *MUSCLE_DEG)))
    to_axilla = 1.04 * to_top / np.cos(alpha)  # the breast runs out of the image above
    return ViewGeometry(
        view="MLO",
        theta=float(np.radians(theta)),
        alpha=alpha,
        length_mm=length,
        top_mm=float(max(cc.top_mm * rng.uniform(1.4, 1.65), to_axilla)),
        bottom_mm=cc.top_mm * rng.uniform(0.92, 1.05),
        thickness_mm=float(np.clip(cc.thickness_mm * rng.normal(1.05, 0.06), 26, 92)),
        exponent=rng.uniform(1.9, 2.2),
        droop_mm=rng.uniform(4, 16),
        origin_u_mm=float(np.clip(rng.normal(12, 6), 1, 28)),
        origin_v_mm=origin_v,
        ripple=_ripple(rng),
        waves_x=_waves(rng, options.positioning_mm, length),
        waves_y=_waves(rng, options.positioning_mm, cc.top_mm),
    )


def _ripple(rng: np.random.Generator) -> tuple[tuple[int, float, float], ...]:
    return tuple((order, 0.006 * rng.standard_normal(), rng.uniform(0, 2 * np.pi)) for order in (2, 3, 5))


def _waves(rng: np.random.Generator, spread_mm: float, extent_mm: float) -> tuple[PlaneWave, ...]:
    """Two waves of N(0, spread), no wave steeper than 0.2: steeper ones would fold the tissue over itself."""
    waves = []
    for _ in range(2):
        amplitude = spread_mm * min(max(rng.standard_normal(), -2.0), 2.0)
        k_xi, k_nu, phase = (*rng.uniform(-5, 5, 2).tolist(), rng.uniform(0, 2 * np.pi))
        gentle = min(1.0, 0.2 * extent_mm / max(abs(amplitude) * math.hypot(k_xi, k_nu), 1e-9))
        waves.append(PlaneWave(amplitude_mm=amplitude, k_xi=k_xi * gentle, k_nu=k_nu * gentle, phase=phase))
    return tuple(waves)
