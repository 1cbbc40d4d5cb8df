"""The anatomy of a breast in stored pixels, for drawings and answers."""

from typing import Any, NamedTuple

import cv2
import numpy as np

from glam.anatomy.landmarks import AxisSource, Landmarks
from glam.anatomy.nipple import contour
from glam.anatomy.upright import Upright
from glam.frame import Matrix, Points, transform

XY = tuple[float, float]


class Anatomy(NamedTuple):
    """Points as (x, y) of the stored image, the centre of pixel i at i + 0.5; confidences 0..1."""

    outline: Points
    """(n, 2): the contour of the breast."""
    nipple: XY
    nipple_confidence: float
    """0: none in profile; the skin furthest from the chest wall stands in for it."""
    axis: tuple[XY, XY]
    """The chest-nipple axis: its foot on the pectoral line or chest wall, and the nipple."""
    axis_confidence: float
    axis_from: AxisSource
    """What its angle was taken from."""
    pectoral_line: tuple[XY, XY] | None
    """From the upper border of the image to the foot of the axis. None: no muscle was seen."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON types, rounded to what the small picture can tell, without the outline."""
        return {
            "nipple": _rounded(self.nipple),
            "nipple_confidence": round(self.nipple_confidence, 3),
            "axis": [_rounded(point) for point in self.axis],
            "axis_confidence": round(self.axis_confidence, 3),
            "axis_from": self.axis_from,
            "pectoral_line": self.pectoral_line and [_rounded(point) for point in self.pectoral_line],
        }


def anatomy_in_pixels(upright: Upright, marks: Landmarks) -> Anatomy:
    """Return the outline and the landmarks of an upright picture in the pixels of the stored image."""
    back = np.linalg.inv(upright.matrix).astype(np.float64)
    foot, tip = (_xy(point) for point in transform(back, [marks.axis.foot, marks.axis.nipple]))
    return Anatomy(
        outline=transform(back, _simplified(contour(upright.mask))),
        nipple=tip,
        nipple_confidence=marks.nipple.confidence,
        axis=(foot, tip),
        axis_confidence=marks.confidence,
        axis_from=marks.source,
        pectoral_line=_pectoral_line(marks, back) if marks.has_muscle else None,
    )


def _pectoral_line(marks: Landmarks, back: Matrix) -> tuple[XY, XY]:
    """Return the line between the picture's upper border and where the line meets the chest-wall edge or the axis."""
    line = marks.line
    _, sin = line.normal
    down = line.tangent
    start = line.normal * line.offset
    top = start - down * (start[1] / down[1])
    bottom = np.array(marks.axis.foot)
    if bottom[0] < 0 and abs(sin) > 1e-6:
        bottom = start - down * (start[0] / down[0])
    first, last = (_xy(point) for point in transform(back, [top, bottom]))
    return first, last


def _simplified(outline: Points) -> Points:
    """Return the corners of an outline that lies within half a pixel of it."""
    return np.asarray(cv2.approxPolyDP(outline.astype(np.float32), 0.5, True), np.float64).reshape(-1, 2)


def _rounded(point: XY) -> list[float]:
    return [round(number, 1) for number in point]


def _xy(point: Points) -> XY:
    return float(point[0]), float(point[1])
