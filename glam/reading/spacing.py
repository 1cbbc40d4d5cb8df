"""How large a pixel is in the breast: the spacing that a header gives, and the magnification it is divided by."""

from typing import TYPE_CHECKING, NamedTuple

from glam.reading.header import functional_groups, items, number, numbers
from glam.view import is_plausible_spacing

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_MAGNIFICATION = 4.0
"""A larger factor is a slip of the pen: magnification stands reach about 2."""
MAGNIFIED = 1.3
"""An image that is larger than the breast by this factor is a magnification view, coded as one or not."""
SAME_MAGNIFICATION = 1.15
"""Ratio up to which the factor and the distances agree: where in the breast a distance ends is not said."""
SOURCE_TO_DETECTOR = (40.0, 2000.0)
"""Plausible distances: 65 cm and 650 mm, whichever the writer took for the unit; only their ratio counts."""
FACTOR = "EstimatedRadiographicMagnificationFactor"
DISTANCES = ("DistanceSourceToDetector", "DistanceSourceToPatient")


class Magnification(NamedTuple):
    """By how much the breast is enlarged on the detector."""

    factor: float
    """1 where the header does not say, or says nonsense."""
    source: str
    """The attributes that decided."""
    others: tuple[float, ...] = ()
    """What other attributes say that do not agree."""


def spacing_of(dataset: "Dataset") -> tuple[tuple[float, float] | None, str]:
    """Return the distance of rows and of columns in the breast in mm, and the attributes it came from.

    At the detector and divided by the magnification (PS3.3 10.7.1.3, C.8.11.7); else as calibrated, or as scanned.
    None with an attribute: what it says is no pixel of a mammogram, and no other one says better.
    """
    implausible = "none"
    measures = [item for group in functional_groups(dataset) for item in items(group, "PixelMeasuresSequence")[:1]]
    places = [(dataset, name) for name in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing")]
    for place, name in (*places, *((item, "PixelSpacing") for item in measures)):
        values = numbers(place, name)
        if len(values) != 2 or min(values) <= 0:
            continue
        source, enlarged = name, magnification_of(dataset)
        if name == "ImagerPixelSpacing" and enlarged.factor > 1:
            values = [value / enlarged.factor for value in values]
            source = f"{name} / {enlarged.source}"
        if is_plausible_spacing(values):
            return (values[0], values[1]), source
        implausible = source
    return None, implausible


def magnification_of(dataset: "Dataset") -> Magnification:
    """Return the magnification as the header states it, else as the distances from the source give it.

    A factor of exactly 1 is what devices write where they do not know, and so are two equal distances: those of a
    magnification stand go before such a factor, and such distances contradict no factor.
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
        return Magnification(measured, by_distances, others=(stated,))
    return Magnification(stated, FACTOR, others=(measured,))


def _factor(value: float | None) -> float | None:
    return value if value is not None and 1 <= value <= MAX_MAGNIFICATION else None
