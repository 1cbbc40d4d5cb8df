"""What an observer would mark in the views of a phantom, and the lengths between the marks: no image is drawn.

Places are (u, v) in mm on the detector of a left breast, as `ViewGeometry` gives them: u from the chest-wall edge of
the image, v upward from its middle.
"""

from typing import NamedTuple

import numpy as np

from glam.phantom.difficulty import Positioned
from glam.phantom.habitus import PectoralMuscle
from glam.phantom.mapping import ViewGeometry

Place = tuple[float, float]


class TrueLandmarks(NamedTuple):
    """The landmarks of one view."""

    nipple: Place
    """Where the nipple stands on the skin; its tip lies `render.NIPPLE_MM` further out."""
    foot: Place
    """Where the posterior nipple line meets the chest wall (CC) or the edge of the pectoral muscle (MLO)."""
    pectoral_line: tuple[Place, Place] | None
    """The upper and the lower end of the straight line closest to the muscle's edge. None: no muscle in the image."""


class Lengths(NamedTuple):
    """What the two views of a breast measure, as in a check of positioning."""

    cc_mm: float
    """From the nipple to the chest-wall edge of the CC image, along the rows."""
    mlo_mm: float
    """From the nipple to the pectoral line of the MLO image, perpendicular to it."""
    muscle_deg: float
    """Angle between the pectoral line and the chest-wall edge of the image."""

    @property
    def difference_mm(self) -> float:
        """Return by how much MLO is longer than CC."""
        return self.mlo_mm - self.cc_mm


def landmarks_of(geometry: ViewGeometry, muscle: PectoralMuscle | None, *, height_mm: float) -> TrueLandmarks:
    """Return the landmarks of a view on a detector of a height; `muscle` is that of the MLO view."""
    muscle = muscle if geometry.view == "MLO" else None
    tip = geometry.detector_of(np.array([1.0]), np.array([0.0]))
    y = geometry.body_of(*tip).y_mm
    foot = geometry.rotated(np.zeros(1) if muscle is None else muscle.edge_mm(y), y)
    line = None if muscle is None else _pectoral_line(geometry, muscle, height_mm)
    return TrueLandmarks(_place(*tip), _place(*foot), line)


def lengths_of(cc: TrueLandmarks, mlo: TrueLandmarks) -> Lengths | None:
    """Return the lengths of a breast; None where the MLO view shows no muscle to measure to."""
    if mlo.pectoral_line is None:
        return None
    top, bottom = (np.array(end) for end in mlo.pectoral_line)
    along = (bottom - top) / np.hypot(*(bottom - top))
    across = np.array([-along[1], along[0]])
    angle = np.degrees(np.arctan2(-along[0], -along[1]))
    return Lengths(cc.nipple[0], float(across @ (np.array(mlo.nipple) - top)), float(angle))


def lengths_in(views: Positioned, *, height_mm: float) -> Lengths | None:
    """Return the lengths of a breast from the geometry of its views; None where the MLO view shows no muscle."""
    cc, mlo = (landmarks_of(views.geometry[view], views.muscle, height_mm=height_mm) for view in ("CC", "MLO"))
    return lengths_of(cc, mlo)


def _pectoral_line(geometry: ViewGeometry, muscle: PectoralMuscle, height_mm: float) -> tuple[Place, Place] | None:
    """Return the least-squares line through the part of the muscle's edge that the image shows."""
    y = np.linspace(-200, 260, 461)
    u, v = geometry.rotated(muscle.edge_mm(y), y)
    shown = (u >= 0) & (np.abs(v) <= height_mm / 2)
    if shown.sum() < 2:
        return None
    slope, offset = np.polyfit(v[shown], u[shown], 1)
    top, bottom = float(v[shown].max()), float(v[shown].min())
    return (float(slope * top + offset), top), (float(slope * bottom + offset), bottom)


def _place(u: np.ndarray, v: np.ndarray) -> Place:
    return float(u[0]), float(v[0])
