"""Views that are positioned or exposed worse than usual: what `Difficulty` asks for, laid over the usual geometry."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from glam.phantom.habitus import PectoralMuscle
from glam.phantom.mapping import ViewGeometry
from glam.phantom.options import PhantomOptions, Seed, Stream, ViewName, stream

_DIFFICULTY: dict[ViewName, Stream] = {"CC": Stream.DIFFICULTY_CC, "MLO": Stream.DIFFICULTY_MLO}


class Positioned(NamedTuple):
    """Both views and the muscle of one of them, after the difficulty."""

    geometry: dict[ViewName, ViewGeometry]
    muscle: PectoralMuscle | None
    """None: the MLO view shows no muscle."""


def positioned(
    seed: Seed, geometry: dict[ViewName, ViewGeometry], muscle: PectoralMuscle, options: PhantomOptions
) -> Positioned:
    """Return how the views are really positioned: rolled, truncated, with much, little or no muscle."""
    rng = {view: stream(seed, purpose) for view, purpose in _DIFFICULTY.items()}
    cc, mlo = (_rolled(geometry[view], rng[view], options) for view in ("CC", "MLO"))
    cc = replace(cc, origin_u_mm=cc.origin_u_mm - options.difficulty.truncated_mm * rng["CC"].random())
    extent = _muscle_extent(rng["MLO"].random(), options)
    shift, turn = rng["MLO"].random(2).tolist()
    if extent == "large":
        mlo = replace(mlo, origin_u_mm=25 + 25 * shift, alpha=mlo.alpha + float(np.radians(8 * turn)))
    elif extent == "small":
        mlo = replace(mlo, origin_u_mm=-30 + 25 * shift, alpha=float(np.radians(8 + 10 * turn)))
    elif extent == "none":
        mlo = replace(mlo, origin_u_mm=-10 + 20 * shift)
    return Positioned({"CC": cc, "MLO": mlo}, None if extent == "none" else muscle)


def quanta_factor(seed: Seed, view: ViewName, options: PhantomOptions) -> float:
    """Return by how much the number of photons differs from the usual: log-uniform, each view its own."""
    low, high = options.difficulty.quanta
    cc, mlo = stream(seed, Stream.QUANTA).random(2).tolist()
    return float(low * (high / low) ** (cc if view == "CC" else mlo))


def _rolled(geometry: ViewGeometry, rng: np.random.Generator, options: PhantomOptions) -> ViewGeometry:
    return replace(geometry, theta=geometry.theta + float(np.radians(options.difficulty.rolled_deg)) * rng.normal())


def _muscle_extent(share: float, options: PhantomOptions) -> str:
    difficulty = options.difficulty
    edges = np.cumsum((difficulty.no_muscle, difficulty.small_muscle, difficulty.large_muscle))
    return ("none", "small", "large", "usual")[int(np.searchsorted(edges, share, side="right"))]
