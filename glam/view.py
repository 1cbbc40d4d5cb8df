"""View: what a file became, the input of preparation; Field: the part of it inside its borders. numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.config import VoiPolicy
from glam.findings import Finding

ViewName = Literal["CC", "MLO"]
Side = Literal["L", "R"]
ViewKey = Literal["cc", "mlo"]
VIEW_KEYS: tuple[ViewKey, ViewKey] = ("cc", "mlo")
"""Names of the two views as fields of requests, of answers and of tables."""

WHITE = 65_535
"""Display value of white; display values are whole numbers from 0, black."""
SPACING_MM = (0.01, 2.0)
"""Detectors and scanners have 0.04 to 0.1 mm; an image that was shrunk may have a millimetre."""


class Field(NamedTuple):
    """Rows and columns of an image inside its borders."""

    rows: slice
    cols: slice
    bright_border: bool = False
    """Whether one of the borders is brighter than the field beside it."""
    dark_border: bool = False
    """Whether one is darker."""
    exact: bool = True
    """Whether its sides are known to a stored pixel, and nothing in it is covered by a plate or a box."""

    @property
    def is_part(self) -> bool:
        """Whether there is a border at all."""
        return self.bright_border or self.dark_border

    def crop(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the part of the image."""
        return image[self.rows, self.cols]

    def inverted(self) -> "Field":
        """Return the field of the inverted image."""
        return self._replace(bright_border=self.dark_border, dark_border=self.bright_border)


@dataclass(frozen=True, kw_only=True)
class View:
    """One mammogram, ready to be prepared."""

    pixels: NDArray[np.uint16]
    """(rows, cols), 0 black to WHITE, tissue bright, in the orientation of the file."""
    view: ViewName
    laterality: Side
    spacing_mm: tuple[float, float] | None = None
    """Distance of rows and of columns; None: the header has none."""
    orientation: tuple[str, str] | None = None
    """Where rows and columns point in the patient, e.g. ("A", "R"). None: the usual, chest wall by side, head up."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Each decision and where it came from; never a value of the patient."""
    findings: tuple[Finding, ...] = ()
    is_mg: bool = True
    """False: film or secondary capture."""
    synthetic: bool = False
    """A 2-D image made from tomosynthesis."""
    partial: bool = False
    """The breast did not fit into one image."""
    modifiers: tuple[str, ...] = ()
    """How the view departs from the plain one, e.g. ("spot compression",): glam/reading/codes.py."""
    patient_id: str = field(default="", repr=False)
    """In memory for the check of a pair; never logged, never in an answer. So is `study_uid`."""
    study_uid: str = field(default="", repr=False)
    voi: VoiPolicy | None = None
    """The policy of grey values that the file was read by. None: the View was made in memory, from no file."""
    exposed: Field | None = field(default=None, repr=False)
    """What lies inside the borders that reading saw: a scanner plate, a white frame. None: it saw none."""
    acquired: tuple[str, float] = field(default=("", 0), repr=False)
    """Moment of the exposure and number of the image: which of two files is the later one."""

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not is_plausible_spacing(self.spacing_mm):
            raise ValueError(f"spacing_mm {self.spacing_mm} is that of no mammogram: leave it out if it is unknown")


def is_plausible_spacing(spacing_mm: Sequence[float]) -> bool:
    """Return whether pixels of a mammogram may be so far apart: 0.01 to 2 mm, one direction at most twice the other."""
    low, high = min(spacing_mm), max(spacing_mm)
    return SPACING_MM[0] <= low and high <= SPACING_MM[1] and high <= 2 * low
