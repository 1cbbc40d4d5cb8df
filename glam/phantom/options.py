"""What may vary from phantom to phantom, and the random streams that keep every part of one independent of the rest."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np

ViewName = Literal["CC", "MLO"]
Laterality = Literal["L", "R"]
Seed = int | np.random.SeedSequence

HELD_OUT_SEED = 91_000_000
"""Exams drawn from it were neither trained on nor looked at while the model was designed; change it when they were."""
NUM_HELD_OUT = 1_000_000
"""Seeds from it on that no training phantom may be drawn by."""
DENSITY_CLASSES = ("a", "b", "c", "d")
DENSITY_THRESHOLDS = (0.025, 0.095, 0.25)  # gland fractions between a | b | c | d
LENGTHS_MM = (40.0, 130.0)
"""Bounds of the length of a breast from chest wall to nipple; the longest one fits on the detector."""
LESION_MIXES: tuple[tuple[str, ...], ...] = (
    (),
    ("mass",),
    ("calcification",),
    ("mass", "calcification"),
    ("distortion",),
    ("mass", "mass"),
    ("asymmetry",),
)


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How far positioning and exposure stray from the usual; spatial values in millimetres. The default: not at all."""

    no_muscle: float = 0.0
    """Share of MLO views without a pectoral muscle."""
    small_muscle: float = 0.0
    """Share of MLO views in which little of the muscle is on the detector."""
    large_muscle: float = 0.0
    """Share of MLO views in which the muscle reaches far down and forward."""
    truncated_mm: float = 0.0
    """Most that is missing behind the chest-wall edge of a CC view, and never more than a fifth of the breast."""
    rolled_deg: float = 0.0
    """Spread of the breast's rotation about its own axis, in both views."""
    quanta: tuple[float, float] = (1.0, 1.0)
    """Bounds of a factor of the number of photons: less is noisier."""
    marks: float = 0.0
    """Share of views with a view label, and of views with bright strips along the borders."""

    def __post_init__(self) -> None:
        shares = (self.no_muscle, self.small_muscle, self.large_muscle)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"the shares {shares} of views without, with little and with much muscle are none")
        if not 0 < self.quanta[0] <= self.quanta[1]:
            raise ValueError(f"quanta {self.quanta} is not an interval of factors")


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """How long breasts are in each view, and the angle of their pectoral muscles.

    The numbers are set so that what an observer measures in the images agrees with `glam.phantom.patients.PATIENTS`;
    `bench/phantom_geometry.py` compares the two. They differ a little from the table's because an observer draws a
    straight line along a muscle whose edge is curved.
    """

    cc_mm: float = 73.9
    """Mean length from the chest wall to the nipple in CC, including what a truncated view leaves out."""
    mlo_mm: float = 76.2
    """Mean length from the chest wall to the nipple in MLO."""
    person_spread: float = 0.2
    """Standard deviation of the logarithm of the length, for the part that comes from the person's size."""
    view_spread: float = 0.0665
    """Standard deviation of the logarithm of the length, for the part that compression adds in each view anew."""
    muscle_deg: tuple[float, float] = (20.9, 5.5)
    """Mean and standard deviation of the angle between the pectoral muscle and the chest-wall edge of the image."""

    def __post_init__(self) -> None:
        lengths, spreads = (self.cc_mm, self.mlo_mm), (self.person_spread, self.view_spread, self.muscle_deg[1])
        if not LENGTHS_MM[0] < min(lengths) <= max(lengths) < LENGTHS_MM[1]:
            raise ValueError(f"mean lengths of {lengths} mm are not within the {LENGTHS_MM} mm that fit the detector")
        if min(spreads) < 0:
            raise ValueError(f"spreads {spreads} cannot be negative")


@dataclass(frozen=True, kw_only=True)
class PhantomOptions:
    """The ranges a phantom is drawn from; everything spatial is in millimetres."""

    px_mm: float = 0.24
    """Pixel pitch: 0.24 gives 1024 x 832 pixels, 0.48 gives 512 x 416."""
    gland_fraction: tuple[float, float] = (0.008, 0.48)
    """Bounds of the one log-uniform law of the glandular volume fraction."""
    density_weights: tuple[float, float, float, float] | None = None
    """Shares of the classes a, b, c, d; log-uniform inside a class. None: the one law, without classes."""
    lesion_weights: tuple[float, ...] = (0.40, 0.22, 0.18, 0.10, 0.05, 0.05, 0.0)
    """Shares of `LESION_MIXES`: none, mass, calcification, both, distortion, two masses, asymmetry."""
    mass_mm: tuple[float, float] = (5.0, 35.0)
    """Bounds of a mass' diameter."""
    mass_median_mm: float = 13.0
    mass_densities: tuple[str, ...] = ("low", "equal", "high")
    """Densities a mass is drawn from."""
    theta_deg: tuple[float, float] = (40.0, 60.0)
    """Bounds of the gantry angle of the MLO view: it decides which tissue lies side by side in the image. The angle of
    the pectoral muscle does not follow from it and belongs to `proportions`."""
    positioning_mm: float = 2.5
    """Spread of how far tissue inside the breast lies from where the geometry alone would put it, drawn for each view.
    Skin and nipple stay; by how much the views differ in length is part of `proportions`."""
    proportions: Proportions = field(default_factory=Proportions)
    difficulty: Difficulty = field(default_factory=Difficulty)
    num_tissue_points: int = 200

    def __post_init__(self) -> None:
        if not 0.04 <= self.px_mm <= 2.0:
            raise ValueError(f"px_mm {self.px_mm} is not within 0.04 and 2 mm")
        low, high = self.gland_fraction
        if not 0 < low < DENSITY_THRESHOLDS[0] or not DENSITY_THRESHOLDS[-1] < high < 0.9:
            raise ValueError(f"gland_fraction {self.gland_fraction} does not reach the classes a to d")
        if len(self.lesion_weights) != len(LESION_MIXES) or sum(self.lesion_weights) <= 0:
            raise ValueError(f"lesion_weights needs {len(LESION_MIXES)} shares, not all of them 0")
        if self.density_weights is not None and sum(self.density_weights) <= 0:
            raise ValueError("density_weights are all 0: leave them out to draw from the one law")
        if not 0 < self.mass_mm[0] <= self.mass_mm[1] <= 60:
            raise ValueError(f"mass_mm {self.mass_mm} is not an interval of diameters up to 60 mm")

    @property
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns of an image: always the same detector of 246 x 200 mm."""
        return 8 * round(245.76 / self.px_mm / 8), 8 * round(199.68 / self.px_mm / 8)


def varied() -> PhantomOptions:
    """Return the phantoms that alignment is measured on: gantry angles of 30 to 60 degrees and every difficulty.

    Their proportions leave room for the difficulties, so that the lengths and angles an observer measures still agree
    with those of patients: CC is as much longer as its edge cuts off, and spreads are smaller.
    """
    difficulty = Difficulty(
        no_muscle=0.12,
        small_muscle=0.12,
        large_muscle=0.18,
        truncated_mm=15.0,
        rolled_deg=8.0,
        quanta=(0.25, 1.0),
        marks=0.3,
    )
    proportions = Proportions(cc_mm=81.2, mlo_mm=76.0, view_spread=0.049, muscle_deg=(20.9, 4.9))
    return PhantomOptions(theta_deg=(30.0, 60.0), proportions=proportions, difficulty=difficulty)


class Stream(IntEnum):
    """One random stream a purpose: what is drawn for one leaves the others as they are."""

    HABITUS = 0
    GEOMETRY_CC = 1
    GEOMETRY_MLO = 2
    GLAND = 3
    STRANDS = 4
    LESIONS = 5
    TISSUE = 6
    NOISE_CC = 7
    NOISE_MLO = 8
    MUSCLE = 9
    PATIENT = 10
    DIFFICULTY_CC = 11
    DIFFICULTY_MLO = 12
    MARKS_CC = 13
    MARKS_MLO = 14
    QUANTA = 15
    LENGTHS = 16


def stream(seed: Seed, purpose: Stream) -> np.random.Generator:
    """Return the generator of one purpose: child `purpose` of the seed, whatever else was spawned from it."""
    return np.random.default_rng(child(seed, purpose))


def child(seed: Seed, *path: int) -> np.random.SeedSequence:
    """Return the seed at `path` below a seed, as SeedSequence.spawn numbers its children, without its counter."""
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, *path))


def seed_text(seed: Seed) -> str:
    """Return entropy and spawn key as text: `7` or `7/3/0`."""
    sequence = child(seed)
    return "/".join(str(part) for part in (sequence.entropy, *sequence.spawn_key))


def density_class(gland_fraction: float) -> str:
    """Return the BI-RADS density a to d of a glandular volume fraction."""
    return DENSITY_CLASSES[int(np.searchsorted(DENSITY_THRESHOLDS, gland_fraction, side="right"))]


def class_bounds(gland_fraction: float, options: PhantomOptions) -> tuple[float, float]:
    """Return the interval of gland fractions that has the same density class."""
    edges = (options.gland_fraction[0], *DENSITY_THRESHOLDS, options.gland_fraction[1])
    index = DENSITY_CLASSES.index(density_class(gland_fraction))
    return edges[index], edges[index + 1]


def draw_gland_fraction(rng: np.random.Generator, options: PhantomOptions) -> float:
    """Return a glandular volume fraction: log-uniform, over all classes or inside one that was drawn first."""
    edges = (options.gland_fraction[0], *DENSITY_THRESHOLDS, options.gland_fraction[1])
    which, where = rng.random(2)
    if options.density_weights is None:
        low, high = edges[0], edges[-1]
    else:
        shares = np.cumsum(options.density_weights) / sum(options.density_weights)
        index = int(np.searchsorted(shares, which, side="right"))
        low, high = edges[index], edges[index + 1]
    return float(low * (high / low) ** where)
