"""How large the breast appears on the detector, by whichever attribute says so."""

from typing import Any

import pytest
from pydicom import Dataset

from glam.reading.spacing import Magnification, magnification_of

BY_DISTANCES = "(DistanceSourceToDetector / DistanceSourceToPatient)"
BY_FACTOR = "EstimatedRadiographicMagnificationFactor"


def header_of(factor: str | None, detector: str | None, patient: str | None) -> Dataset:
    dataset: Any = Dataset()
    if factor is not None:
        dataset.EstimatedRadiographicMagnificationFactor = factor
    if detector is not None:
        dataset.DistanceSourceToDetector = detector
    if patient is not None:
        dataset.DistanceSourceToPatient = patient
    return dataset


@pytest.mark.parametrize(
    ("factor", "detector", "patient", "expected", "source"),
    [
        (None, None, None, 1.0, "none"),
        ("1.5", None, None, 1.5, BY_FACTOR),
        (None, "650", "325", 2.0, BY_DISTANCES),
        (None, "65", "32.5", 2.0, BY_DISTANCES),
        (None, "660", "640", 660 / 640, BY_DISTANCES),
        ("1.05", "660", "640", 1.05, BY_FACTOR),
        ("1.8", "650", "650", 1.8, BY_FACTOR),
        ("0.5", "650", "325", 2.0, BY_DISTANCES),
        ("40", "650", "325", 2.0, BY_DISTANCES),
        ("0", "650", "325", 2.0, BY_DISTANCES),
        ("0.5", None, None, 1.0, "none"),
        (None, "650", "100", 1.0, "none"),
        (None, "650", "700", 1.0, "none"),
        (None, "2", "1", 1.0, "none"),
        (None, "650", "0", 1.0, "none"),
        (None, "650", "-325", 1.0, "none"),
        (None, "0", "325", 1.0, "none"),
        (None, "650", None, 1.0, "none"),
    ],
)
def test_the_factor_goes_before_plausible_distances(
    factor: str | None, detector: str | None, patient: str | None, expected: float, source: str
) -> None:
    assert magnification_of(header_of(factor, detector, patient)) == Magnification(pytest.approx(expected), source)


def test_distances_of_a_magnification_stand_go_before_a_factor_of_one() -> None:
    found = magnification_of(header_of("1.0", "650", "325"))
    assert found == Magnification(2.0, BY_DISTANCES, others=(1.0,))


def test_a_factor_that_is_no_placeholder_is_followed_and_the_contradiction_kept() -> None:
    found = magnification_of(header_of("1.2", "650", "325"))
    assert found == Magnification(1.2, BY_FACTOR, others=(2.0,))
