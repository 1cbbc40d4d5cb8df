"""Views that are positioned or exposed worse than usual: what `Difficulty` asks for, laid over the usual geometry."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from glam.phantom.habitus import Habitus, PectoralMuscle, draw_geometry, draw_muscle
from glam.phantom.mapping import ViewGeometry
from glam.phantom.options import PhantomOptions, Seed, Stream, ViewName, stream

_DIFFICULTY: dict[ViewName, Stream] = {"CC": Stream.DIFFICULTY_CC, "MLO": Stream.DIFFICULTY_MLO}

MOST_TRUNCATED = 0.2
"""Of a breast's length in CC: no more is missing of a short breast."""
MOST_HIDDEN = 0.4
"""Of a breast's length in MLO: the chest wall lies no further behind the edge of an image with little muscle."""
SKIN_MARGIN_MM = 3.0
"""Between the skin and the upper and lower border of an image."""


class Positioned(NamedTuple):
    """Both views and the muscle of one of them, after the difficulty."""

    geometry: dict[ViewName, ViewGeometry]
    muscle: PectoralMuscle | None
    """None: the MLO view shows no muscle."""


def positioned(seed: Seed, habitus: Habitus, options: PhantomOptions) -> Positioned:
    """Return how the views of a person's breast are positioned: rolled, truncated, with much, little or no muscle."""
    geometry, muscle = draw_geometry(seed, habitus, options), draw_muscle(seed)
    rng = {view: stream(seed, purpose) for view, purpose in _DIFFICULTY.items()}
    cc, mlo = (_rolled(geometry[view], rng[view], options) for view in ("CC", "MLO"))
    most_mm = min(options.difficulty.truncated_mm, MOST_TRUNCATED * cc.length_mm)
    cc = replace(cc, origin_u_mm=cc.origin_u_mm - most_mm * rng["CC"].random())
    extent = _muscle_extent(rng["MLO"].random(), options)
    shift, turn = rng["MLO"].random(2).tolist()
    if extent == "large":
        mlo = replace(mlo, origin_u_mm=25 + 25 * shift, alpha=mlo.alpha + float(np.radians(8 * turn)))
    elif extent == "small":
        shift_mm = max(-30 + 25 * shift, -MOST_HIDDEN * mlo.length_mm)
        mlo = replace(mlo, origin_u_mm=shift_mm, alpha=float(np.radians(8 + 10 * turn)))
    elif extent == "none":
        mlo = replace(mlo, origin_u_mm=-10 + 20 * shift)
    height = options.image_shape[0] * options.px_mm
    on_detector: dict[ViewName, ViewGeometry] = {view.view: _on_detector(view, height) for view in (cc, mlo)}
    return Positioned(on_detector, None if extent == "none" else muscle)


def quanta_factor(seed: Seed, view: ViewName, options: PhantomOptions) -> float:
    """Return by how much the number of photons differs from the usual: log-uniform, each view its own."""
    low, high = options.difficulty.quanta
    cc, mlo = stream(seed, Stream.QUANTA).random(2).tolist()
    return float(low * (high / low) ** (cc if view == "CC" else mlo))


def _rolled(geometry: ViewGeometry, rng: np.random.Generator, options: PhantomOptions) -> ViewGeometry:
    return replace(geometry, theta=geometry.theta + float(np.radians(options.difficulty.rolled_deg)) * rng.normal())


def _on_detector(geometry: ViewGeometry, height_mm: float) -> ViewGeometry:
    """Return the view moved along the chest wall so that its skin ends on the detector; above, an MLO view goes on."""
    u, v = geometry.skin_mm()
    lowest, highest = v[u >= 0].min(), v[u >= 0].max()
    room = height_mm / 2 - SKIN_MARGIN_MM
    up = max(0.0, -room - lowest)
    down = max(0.0, highest - room) if geometry.view == "CC" else 0.0
    return geometry if up == down else replace(geometry, origin_v_mm=geometry.origin_v_mm + float(up - down))


def _muscle_extent(share: float, options: PhantomOptions) -> str:
    difficulty = options.difficulty
    edges = np.cumsum((difficulty.no_muscle, difficulty.small_muscle, difficulty.large_muscle))
    return ("none", "small", "large", "usual")[int(np.searchsorted(edges, share, side="right"))]
