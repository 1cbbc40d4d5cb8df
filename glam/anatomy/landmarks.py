"""Nipple, pectoral line and chest-nipple axis of an upright view: what each was taken from, and how sure it is."""

from typing import Literal, NamedTuple

import numpy as np

from glam.anatomy import breast, pectoral
from glam.anatomy.breast import Axis, Line, Mask
from glam.anatomy.nipple import Nipple, chest_nipple_axis, find_nipple, nipple_axis
from glam.anatomy.pectoral import USUAL_ANGLE_DEG
from glam.anatomy.upright import Upright, turned_over
from glam.findings import Finding, finding
from glam.frame import compose, transform
from glam.view import ViewName

AxisSource = Literal["muscle", "nipple", "usual", "chest wall"]

FAR_FROM_USUAL_DEG = 25.0
"""Largest difference from the usual angle at which an axis by the skin around the nipple is believed."""
MIN_DEPTH = 0.12
"""Least depth of the breast in front of a pectoral line, as a share of the breast's height."""
SURE_MUSCLE = 0.3
"""Least confidence of a muscle in the picture turned over; lines without a muscle reach 0.25 on the films of
docs/alignment.md."""
SAME_NIPPLE = 5.0
"""Pixels of the small picture within which the phases of its pixels see one nipple."""
CLEARER = 1.5
"""Ratio by which its confidence must exceed that of a muscle in the picture as it stands."""


class Landmarks(NamedTuple):
    """Points and lines of an upright picture."""

    line: Line
    """The zero of the columns: pectoral line of an aligned MLO view, chest-wall edge of any other."""
    source: AxisSource
    """What the angle of the line was taken from."""
    nipple: Nipple
    axis: Axis
    confidence: float
    """Of the axis: 0..1; 0 for the usual angle."""

    @property
    def has_muscle(self) -> bool:
        """Whether the line is the edge of a muscle that was seen."""
        return self.source == "muscle"


class UprightLandmarks(NamedTuple):
    """Landmarks, and the picture they lie in, which may have been turned over."""

    upright: Upright
    landmarks: Landmarks
    findings: tuple[Finding, ...]


def find_landmarks(upright: Upright, view: ViewName, *, aligned: bool) -> UprightLandmarks:
    """Return the landmarks of a view; `aligned` False leaves an MLO view as it stands."""
    if view == "CC" or not aligned:
        line = breast.chest_wall(upright.mask)
        return UprightLandmarks(upright, *_with_nipple(upright, line, "chest wall", _nipple(upright, 0.0)))
    line = _believed(pectoral.pectoral_line(upright.picture, upright.mask), upright.mask)
    findings: tuple[Finding, ...] = ()
    if (over := _line_upside_down(upright, line)) is not None:
        upright, line = over
        findings = (finding("upside_down"),)
    nipple = _nipple(upright, USUAL_ANGLE_DEG if line is None else line.angle_deg)
    source: AxisSource = "muscle"
    if line is None:
        line, source = _line_without_muscle(upright.mask, nipple)
        code = "axis_from_nipple" if source == "nipple" else "no_pectoral_line"
        findings = (*findings, finding(code, angle=f"{line.angle_deg:.0f}"))
    landmarks, nipple_findings = _with_nipple(upright, line, source, nipple)
    return UprightLandmarks(upright, landmarks, (*findings, *nipple_findings))


def _nipple(upright: Upright, angle_deg: float) -> Nipple:
    """Return the nipple; of a field that is not exact, the mean of where most phases of its pixels see about the same.

    From one phase to the next the nipple of a film moves by up to 1.5 mm.
    """
    nipple = find_nipple(upright.mask, angle_deg)
    if not upright.others or not nipple.confidence:
        return nipple
    places = [(nipple.x, nipple.y)]
    for other in upright.others:
        seen = find_nipple(other.mask, angle_deg)
        if seen.confidence:
            to_upright = compose(np.linalg.inv(other.matrix).astype(np.float64), upright.matrix)
            places.extend(map(tuple, transform(to_upright, [(seen.x, seen.y)])))
    distances = np.hypot(*np.subtract(places, np.array(places)[:, None]).T)
    groups = distances <= SAME_NIPPLE
    x, y = np.array(places)[groups[int(np.argmax(groups.sum(axis=1)))]].mean(axis=0)
    return nipple._replace(x=float(x), y=float(y))


def _believed(line: Line | None, mask: Mask) -> Line | None:
    """Return the line, unless it would leave next to nothing of the breast in front of it."""
    if line is None:
        return None
    depth = float((breast.skin_points(mask) @ line.normal).max()) - line.offset
    return line if depth > MIN_DEPTH * np.count_nonzero(mask.any(axis=1)) else None


def _with_nipple(
    upright: Upright, line: Line, source: AxisSource, nipple: Nipple
) -> tuple[Landmarks, tuple[Finding, ...]]:
    """Return the landmarks of a line; without a nipple in profile the axis ends at the skin furthest from the line."""
    findings = () if nipple.confidence else (finding("no_nipple"),)
    if findings:
        nipple = Nipple(*breast.furthest(breast.skin_points(upright.mask), line), 0.0)
    confidence = {"muscle": line.confidence, "nipple": line.confidence, "usual": 0.0, "chest wall": nipple.confidence}
    axis = chest_nipple_axis(nipple, line)
    return Landmarks(line, source, nipple, axis, float(confidence[source])), findings


def _line_upside_down(upright: Upright, line: Line | None) -> tuple[Upright, Line] | None:
    """Return picture and line of a muscle in the lower chest-wall corner; None: there is none, or `line` is clear."""
    least = SURE_MUSCLE if line is None else max(SURE_MUSCLE, CLEARER * line.confidence)
    if least > CLEARER * SURE_MUSCLE:
        return None
    over = turned_over(upright)
    lower = _believed(pectoral.pectoral_line(over.picture, over.mask), over.mask)
    return None if lower is None or lower.confidence < least else (over, lower)


def _line_without_muscle(mask: Mask, nipple: Nipple) -> tuple[Line, AxisSource]:
    """Return a line of the angle halfway between what the skin around the nipple says and the usual one.

    On films both are about as uncertain. It is the usual angle without a nipple in profile, or where the skin gives an
    angle too far from that.
    """
    length = (nipple.x - breast.chest_wall(mask).offset) / float(np.cos(np.deg2rad(USUAL_ANGLE_DEG)))
    seen = nipple_axis(mask, nipple, length) if nipple.confidence else None
    if seen is None or abs(seen - USUAL_ANGLE_DEG) > FAR_FROM_USUAL_DEG:
        return pectoral.line_of_angle(mask, USUAL_ANGLE_DEG, 0.0), "usual"
    line = pectoral.line_of_angle(mask, (seen + USUAL_ANGLE_DEG) / 2, nipple.confidence / 2)
    return line, "nipple"
