"""The pixel spacing in the breast, and the magnification by the header."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset

from glam.config import FrameConfig
from glam.reading.read import read_view
from glam.reading.spacing import NO_SPACING, Magnification, Spacing, decide_spacing, magnification_of, spacing_of
from tests.samples.answers import read_codes
from tests.samples.mammograms import item

FileOf = Callable[..., bytes]
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
    magnification = magnification_of(header_of("1.0", "650", "325"))
    assert magnification == Magnification(2.0, BY_DISTANCES, contradicting=(1.0,))


def test_a_factor_that_is_no_placeholder_is_followed_and_the_contradiction_kept() -> None:
    magnification = magnification_of(header_of("1.2", "650", "325"))
    assert magnification == Magnification(1.2, BY_FACTOR, contradicting=(2.0,))


def with_spacing(*rows_and_cols: str, **others: str) -> Dataset:
    """A header with ImagerPixelSpacing and other attributes."""
    dataset = Dataset()
    if rows_and_cols:
        dataset.ImagerPixelSpacing = list(rows_and_cols)
    for keyword, value in others.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (with_spacing(), NO_SPACING),
        (with_spacing("0.07", "0.08"), Spacing((0.07, 0.08), "ImagerPixelSpacing")),
        (
            with_spacing("0.1", "0.1", EstimatedRadiographicMagnificationFactor="2"),
            Spacing((0.05, 0.05), f"ImagerPixelSpacing / {BY_FACTOR}"),
        ),
        (with_spacing("0.001", "50"), Spacing(None, "ImagerPixelSpacing")),
        (with_spacing("0.07"), NO_SPACING),
        (with_spacing("0", "0.07"), NO_SPACING),
    ],
)
def test_the_header_gives_the_spacing_in_the_breast(dataset: Dataset, expected: Spacing) -> None:
    assert spacing_of(dataset) == expected


def test_a_calibrated_spacing_takes_the_place_of_an_impossible_one() -> None:
    dataset = with_spacing("0.001", "50")
    dataset.PixelSpacing = ["0.06", "0.06"]
    assert spacing_of(dataset) == Spacing((0.06, 0.06), "PixelSpacing")


@pytest.mark.parametrize(
    ("dataset", "requested_mm", "mm", "source", "codes"),
    [
        (with_spacing(), None, None, "none", ["no_spacing"]),
        (with_spacing(), 0.1, (0.1, 0.1), "request", []),
        (with_spacing("0.001", "50"), None, None, "ImagerPixelSpacing", ["odd_spacing"]),
        (with_spacing("0.001", "50"), 0.1, (0.1, 0.1), "request", []),
        (with_spacing("0.07", "0.07"), None, (0.07, 0.07), "ImagerPixelSpacing", []),
        (with_spacing("0.07", "0.07"), 0.071, (0.07, 0.07), "ImagerPixelSpacing", []),
        (with_spacing("0.07", "0.07"), 0.1, (0.07, 0.07), "ImagerPixelSpacing", ["spacing_differs"]),
    ],
)
def test_the_header_goes_before_the_request(
    dataset: Dataset,
    requested_mm: float | None,
    mm: tuple[float, float] | None,
    source: str,
    codes: list[str],
) -> None:
    spacing = decide_spacing(dataset, requested_mm)
    assert (spacing.mm, spacing.source) == (mm, source)
    assert [finding.code for finding in spacing.findings] == codes


@pytest.mark.parametrize(
    ("changes", "spacing_mm", "source"),
    [
        ({}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"PixelSpacing": ["0.3", "0.3"]}, (0.1, 0.2), "ImagerPixelSpacing"),
        (
            {"EstimatedRadiographicMagnificationFactor": "1.25"},
            (0.08, 0.16),
            "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor",
        ),
        (
            {"DistanceSourceToDetector": "650", "DistanceSourceToPatient": "325"},
            (0.05, 0.1),
            "ImagerPixelSpacing / (DistanceSourceToDetector / DistanceSourceToPatient)",
        ),
        ({"EstimatedRadiographicMagnificationFactor": "1"}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"EstimatedRadiographicMagnificationFactor": "0.5"}, (0.1, 0.2), "ImagerPixelSpacing"),
        ({"ImagerPixelSpacing": None, "PixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4), "PixelSpacing"),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.04, 0.05]},
            (0.04, 0.05),
            "NominalScannedPixelSpacing",
        ),
        ({"ImagerPixelSpacing": ["0", "0"]}, None, "none"),
        (
            {
                "ImagerPixelSpacing": None,
                "SharedFunctionalGroupsSequence": [item(PixelMeasuresSequence=[item(PixelSpacing=["0.1", "0.1"])])],
            },
            (0.1, 0.1),
            "PixelSpacing",
        ),
    ],
)
def test_the_spacing_is_that_within_the_breast(
    file_of: FileOf, changes: dict[str, Any], spacing_mm: tuple[float, float] | None, source: str
) -> None:
    view = read_view(file_of(**changes), FrameConfig())
    assert view.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm))
    assert view.provenance["spacing_mm"] == source


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("no_spacing", {"ImagerPixelSpacing": None}),
        ("odd_spacing", {"ImagerPixelSpacing": ["0.001", "50"]}),
    ],
)
def test_a_header_trips_its_code_and_no_other(file_of: FileOf, expected: str, changes: dict[str, Any]) -> None:
    assert read_codes(file_of(**changes)) == [expected]
