"""A small valid mammogram as DICOM bytes, with what a test changes about its header; a phantom breast of each side."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glam.phantom.pair import Pair
from tests.samples import mammograms as samples
from tests.samples.views import phantom_pair

ALSO: dict[str, Any] = {"PatientSex": "F", "ImageType": ["DERIVED", "PRIMARY"]}
PEAK = 4000
"""Below the largest value of 12 bits: nothing is saturated."""


@pytest.fixture
def file_of() -> Callable[..., bytes]:
    """A function: attributes to set, None for those to leave out -> the bytes of the file."""

    def encoded(pixels: np.ndarray | None = None, **changes: Any) -> bytes:
        values = samples.breast_values(peak=PEAK) if pixels is None else pixels
        return samples.file_of(values, **(ALSO | changes))

    return encoded


@pytest.fixture(scope="session")
def left() -> Pair:
    """A left phantom breast."""
    return phantom_pair()


@pytest.fixture(scope="session")
def right() -> Pair:
    """The same breast on the right."""
    return phantom_pair(laterality="R")
