"""A small valid mammogram as DICOM bytes, with what a test changes about its header."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.samples import mammograms as samples

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
