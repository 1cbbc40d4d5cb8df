"""Lesions of the 3-D breast: what they are in BI-RADS words, where they lie, and the body each is made of."""

from dataclasses import dataclass, replace

import numpy as np

from glam.phantom.gland import gland_at
from glam.phantom.options import LESION_MIXES, PhantomOptions

SHAPES = ("round", "oval", "irregular")
CALC_TYPES = (
    "punctate",
    "amorphous",
    "coarse heterogeneous",
    "fine pleomorphic",
    "fine linear branching",
    "popcorn",
)
DISTRIBUTIONS = ("grouped", "linear", "segmental", "regional")
_AXES = {"round": (1.0, 1.0, 1.0), "oval": (1.0, 0.72, 0.62), "irregular": (1.0, 0.85, 0.75)}
_GRAIN_MM = {
    "punctate": (0.30, 0.50),
    "amorphous": (0.18, 0.30),
    "coarse heterogeneous": (0.5, 1.1),
    "fine pleomorphic": (0.25, 0.6),
    "fine linear branching": (0.25, 0.5),
    "popcorn": (0.7, 1.5),
}
_CLUSTER_MM = {"grouped": (5, 12), "linear": (12, 25), "segmental": (18, 32), "regional": (25, 45)}
_TO_NIPPLE = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True, kw_only=True)
class Lesion3D:
    """One finding: its words (empty where they do not apply), its place, its size, and the seed of its own details."""

    kind: str
    point: tuple[float, float, float]
    """Centre in cylinder coordinates (xi, e, z)."""
    size_mm: float
    shape: str = ""
    margin: str = ""
    density: str = ""
    calc_type: str = ""
    distribution: str = ""
    detail_seed: int = 0

    @property
    def birads(self) -> int:
        """The assessment 2 to 5 that the words call for."""
        return _ASSESSMENTS[self.kind](self)


def draw_kinds(rng: np.random.Generator, options: PhantomOptions) -> tuple[str, ...]:
    """Return the kinds of lesion of one breast."""
    shares = np.cumsum(options.lesion_weights) / sum(options.lesion_weights)
    return LESION_MIXES[int(np.searchsorted(shares, rng.random(), side="right"))]


def draw_lesion(rng: np.random.Generator, kind: str, options: PhantomOptions) -> Lesion3D:
    """Return a lesion of a kind, not yet placed."""
    return replace(_DRAWS[kind](rng, options), detail_seed=int(rng.integers(2**31)))


def draw_points(rng: np.random.Generator, kind: str, gland: np.ndarray, count: int) -> np.ndarray:
    """Return places (n, 3), n <= count, where a lesion of a kind may lie: mostly where there is gland."""
    points = rng.uniform((0.15, -0.75, -0.75), (0.86, 0.75, 0.75), (count, 3))
    chance = (0.25 if kind == "mass" else 0.04) + 0.75 * gland_at(gland, points)
    return points[(points[:, 1] ** 2 + points[:, 2] ** 2 < 0.6) & (rng.random(count) < chance)]


def _draw_mass(rng: np.random.Generator, options: PhantomOptions) -> Lesion3D:
    shape = str(rng.choice(SHAPES, p=(0.25, 0.35, 0.40)))
    if shape == "irregular":
        margin = str(rng.choice(("spiculated", "indistinct", "microlobulated"), p=(0.5, 0.3, 0.2)))
    else:
        margin = str(rng.choice(("circumscribed", "indistinct", "obscured"), p=(0.65, 0.15, 0.2)))
    size = np.clip(rng.lognormal(np.log(options.mass_median_mm), 0.4), *options.mass_mm)
    density = str(rng.choice(options.mass_densities))
    return Lesion3D(kind="mass", point=(0, 0, 0), size_mm=float(size), shape=shape, margin=margin, density=density)


def _draw_calcification(rng: np.random.Generator, options: PhantomOptions) -> Lesion3D:
    weights = np.array([1.0, 0.35, 1.0, 1.0, 1.0, 0.35])
    calc_type = str(rng.choice(CALC_TYPES, p=weights / weights.sum()))
    distribution = "grouped" if calc_type == "popcorn" else str(rng.choice(DISTRIBUTIONS, p=(0.5, 0.2, 0.2, 0.1)))
    size = 2.5 if calc_type == "popcorn" else rng.uniform(*_CLUSTER_MM[distribution])
    return Lesion3D(
        kind="calcification", point=(0, 0, 0), size_mm=float(size), calc_type=calc_type, distribution=distribution
    )


def _draw_distortion(rng: np.random.Generator, options: PhantomOptions) -> Lesion3D:
    return Lesion3D(kind="distortion", point=(0, 0, 0), size_mm=float(rng.uniform(14, 26)))


def _draw_asymmetry(rng: np.random.Generator, options: PhantomOptions) -> Lesion3D:
    return Lesion3D(kind="asymmetry", point=(0, 0, 0), size_mm=float(rng.uniform(15, 30)))


_DRAWS = {
    "mass": _draw_mass,
    "calcification": _draw_calcification,
    "distortion": _draw_distortion,
    "asymmetry": _draw_asymmetry,
}


def _assess_mass(lesion: Lesion3D) -> int:
    if lesion.margin == "spiculated" or (lesion.shape == "irregular" and lesion.density == "high"):
        return 5
    if lesion.shape == "irregular" or lesion.margin in ("indistinct", "microlobulated"):
        return 4
    return 2 if lesion.density == "low" and lesion.margin == "circumscribed" and lesion.shape == "round" else 3


def _assess_calcification(lesion: Lesion3D) -> int:
    if lesion.calc_type == "popcorn":
        return 2
    if lesion.calc_type == "punctate":
        return 3 if lesion.distribution == "grouped" else 4
    in_a_duct = lesion.calc_type == "fine pleomorphic" and lesion.distribution in ("linear", "segmental")
    return 5 if in_a_duct or lesion.calc_type == "fine linear branching" else 4


_ASSESSMENTS = {
    "mass": _assess_mass,
    "calcification": _assess_calcification,
    "distortion": lambda lesion: 4,
    "asymmetry": lambda lesion: 3,
}


@dataclass(frozen=True)
class MassBody:
    """A closed surface: in direction d (mass frame) its radius is R exp(sum a_k cos(K_k . d + psi_k))."""

    radius_mm: float
    axes: np.ndarray  # (3,)
    rotation: np.ndarray  # (3, 3): mass frame = offsets @ rotation
    amplitudes: np.ndarray  # (k,)
    waves: np.ndarray  # (k, 3)
    phases: np.ndarray  # (k,)
    soft_mm: float

    def inside(self, offsets_mm: np.ndarray) -> np.ndarray:
        """Return how much of the mass is at offsets (n, 3) from its centre: 0 outside, 1 inside."""
        local = (offsets_mm @ self.rotation / self.axes).astype(np.float32)
        distance = np.sqrt((local**2).sum(axis=1))
        inside = np.zeros(len(local), np.float32)
        near = np.flatnonzero(distance < self.radius_mm * 1.65 + 4 * self.soft_mm)
        direction = local[near] / np.maximum(distance[near], 1e-6)[:, None]
        phase = direction @ self.waves.T.astype(np.float32) + self.phases.astype(np.float32)
        bumps = np.cos(phase, out=phase) @ self.amplitudes.astype(np.float32)
        surface = self.radius_mm * np.exp(np.minimum(bumps, 0.5))
        inside[near] = 0.5 + 0.5 * np.tanh((surface - distance[near]) / (2 * self.soft_mm))
        return inside


def mass_body(lesion: Lesion3D) -> MassBody:
    """Return the body of a mass."""
    rng = np.random.default_rng(lesion.detail_seed)
    rough = {"round": 0.02, "oval": 0.03, "irregular": 0.13}[lesion.shape]
    lobulated = lesion.margin == "microlobulated"
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    waves = _directions(rng, 14) * rng.uniform(1.5, 9 if lobulated else 5, (14, 1))
    soft = {"circumscribed": 0.35, "microlobulated": 0.5, "obscured": 0.5, "indistinct": 1.6, "spiculated": 0.55}
    return MassBody(
        radius_mm=lesion.size_mm / 2,
        axes=np.array(_AXES[lesion.shape]),
        rotation=rotation,
        amplitudes=rough * (1.3 if lobulated else 1) * rng.normal(1, 0.3, 14) * 1.6 / np.sqrt(14),
        waves=waves,
        phases=rng.uniform(0, 2 * np.pi, 14),
        soft_mm=soft[lesion.margin],
    )


def spicules(lesion: Lesion3D) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 3) in mm from the centre and weights (n,) of the spicules of a mass or a distortion."""
    rng = np.random.default_rng([lesion.detail_seed, 1])
    alone = lesion.kind == "distortion"
    count = int(rng.integers(30, 48) if alone else rng.integers(22, 42))
    lengths = lesion.size_mm * rng.uniform(0.5, 1.3, count) * (0.9 if alone else 1)
    start = lesion.size_mm * (0.06 if alone else 0.42)
    heading, bend = _directions(rng, count), 0.35 * rng.standard_normal((count, 3))
    steps = np.arange(int(lengths.max() / 0.25) + 1) * 0.25  # mm along the spicule
    part = steps[None, :] / lengths[:, None]  # (spicule, step)
    away = heading[:, None] * (start + steps[None, :, None]) + bend[:, None] * (part * steps)[..., None]
    kept = part < 1
    return away[kept], np.interp(part[kept], (0, 1), (1, 0.15))


def grains(lesion: Lesion3D) -> tuple[np.ndarray, np.ndarray]:
    """Return places (n, 3) in mm from the centre and diameters (n,) in mm of the grains of a calcification."""
    rng = np.random.default_rng([lesion.detail_seed, 2])
    popcorn = lesion.calc_type == "popcorn"
    count = 16 if popcorn else int(rng.integers(7, 28) * (1.8 if lesion.distribution == "regional" else 1))
    places = _scatter(rng, lesion, count)
    if lesion.calc_type == "fine linear branching":
        rod = np.arange(int(rng.integers(3, 8))) * 0.3
        heading = _TO_NIPPLE + 0.35 * rng.standard_normal((count, 3))
        places = (places[:, None] + rod[:, None] * heading[:, None]).reshape(-1, 3)
    elif lesion.calc_type == "fine pleomorphic":
        places = np.repeat(places, 3, axis=0) + 0.2 * rng.standard_normal((3 * count, 3))
    return places, rng.uniform(*_GRAIN_MM[lesion.calc_type], len(places))


def _scatter(rng: np.random.Generator, lesion: Lesion3D, count: int) -> np.ndarray:
    """Places (n, 3) of grains after their distribution: a ball, a line to the nipple, or a cone opening from it."""
    ball = _directions(rng, count) * rng.random((count, 1)) ** (1 / 3)
    if lesion.distribution in ("grouped", "regional"):
        return ball * lesion.size_mm / 2
    along = rng.uniform(-0.5, 0.5, (count, 1)) * lesion.size_mm
    if lesion.distribution == "linear":
        return along * _TO_NIPPLE + 0.6 * ball
    return along * _TO_NIPPLE + ball * (0.25 * (lesion.size_mm / 2 - along) + 1.0)


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
