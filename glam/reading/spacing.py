"""Pixel spacing in the breast: by the header and its magnification, else by the request."""

from typing import TYPE_CHECKING, NamedTuple

from glam.findings import Finding, finding
from glam.reading.header import functional_groups, items, number, numbers
from glam.view import is_plausible_spacing

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_MAGNIFICATION = 4.0
"""Largest factor that is believed; magnification stands reach about 2."""
MAGNIFIED = 1.3
"""Factor from which an image is a magnification view, whether or not it is coded as one."""
SAME_MAGNIFICATION = 1.15
"""Ratio up to which factor and distances agree; the header does not say where in the breast a distance ends."""
SOURCE_TO_DETECTOR = (40.0, 2000.0)
"""Plausible distances: 65 cm and 650 mm, whichever the writer took for the unit; only their ratio counts."""
SAME_SPACING = 0.02
"""Share by which the request's pixel spacing may differ from the header's."""
FACTOR = "EstimatedRadiographicMagnificationFactor"
DISTANCES = ("DistanceSourceToDetector", "DistanceSourceToPatient")


class Magnification(NamedTuple):
    """By how much the breast is enlarged on the detector."""

    factor: float
    """1 where the header has none, or none that is possible."""
    source: str
    """The attributes it was taken from; "none" where there are none."""
    contradicting: tuple[float, ...] = ()
    """Factors by other attributes, which do not agree."""


class Spacing(NamedTuple):
    """The pixel spacing of an image."""

    mm: tuple[float, float] | None
    """Distance of rows and of columns in the breast; None: it is not known."""
    source: str
    """The attributes it was taken from, or "request"; "none" where nothing gives a spacing."""
    findings: tuple[Finding, ...] = ()


NO_SPACING = Spacing(None, "none")


def decide_spacing(dataset: "Dataset", requested_mm: float | None) -> Spacing:
    """Return the header's spacing, else the request's, of square pixels; a finding where they differ or are missing.

    A picture without a header has an empty data set.
    """
    by_header = spacing_of(dataset)
    if by_header.mm is None:
        if requested_mm is not None:
            return Spacing((requested_mm, requested_mm), "request")
        code = "no_spacing" if by_header == NO_SPACING else "odd_spacing"
        return by_header._replace(findings=(finding(code),))
    if requested_mm is not None and max(abs(mm / requested_mm - 1) for mm in by_header.mm) > SAME_SPACING:
        return by_header._replace(findings=(finding("spacing_differs", followed=by_header.source),))
    return by_header


def spacing_of(dataset: "Dataset") -> Spacing:
    """Return the spacing that the header gives, without findings.

    At the detector and divided by the magnification (PS3.3 10.7.1.3, C.8.11.7); else as calibrated, or as scanned.
    Where no attribute gives a spacing of mammograms, `mm` is None and `source` the last one that gives another.
    """
    unusable = NO_SPACING
    measures = [item for group in functional_groups(dataset) for item in items(group, "PixelMeasuresSequence")[:1]]
    places = [(dataset, name) for name in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing")]
    for place, name in (*places, *((item, "PixelSpacing") for item in measures)):
        values = numbers(place, name)
        if len(values) != 2 or min(values) <= 0:
            continue
        source, magnification = name, magnification_of(dataset)
        if name == "ImagerPixelSpacing" and magnification.factor > 1:
            values = [value / magnification.factor for value in values]
            source = f"{name} / {magnification.source}"
        if is_plausible_spacing(values):
            return Spacing((values[0], values[1]), source)
        unusable = Spacing(None, source)
    return unusable


def magnification_of(dataset: "Dataset") -> Magnification:
    """Return the magnification as the header states it, else as the distances from the source give it.

    Devices write a factor of exactly 1, or two equal distances, where they do not know: the distances of a
    magnification stand go before such a factor, and equal distances contradict no factor.
    """
    detector, patient = (number(dataset, name) for name in DISTANCES)
    low, high = SOURCE_TO_DETECTOR
    measured = detector / patient if detector and patient and low <= detector <= high else None
    stated, measured = _factor(number(dataset, FACTOR)), _factor(measured)
    by_distances = f"({' / '.join(DISTANCES)})"
    if stated is None:
        return Magnification(measured or 1.0, by_distances if measured else "none")
    if measured is None or measured == 1 or max(stated, measured) / min(stated, measured) <= SAME_MAGNIFICATION:
        return Magnification(stated, FACTOR)
    if stated == 1 and measured >= MAGNIFIED:
        return Magnification(measured, by_distances, contradicting=(stated,))
    return Magnification(stated, FACTOR, contradicting=(measured,))


def _factor(value: float | None) -> float | None:
    return value if value is not None and 1 <= value <= MAX_MAGNIFICATION else None
