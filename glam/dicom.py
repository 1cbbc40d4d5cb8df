"""read_view: bytes or file -> View, with the source of every decision; nothing is silently guessed.

pydicom and OpenCV are imported inside the functions: a View made in memory needs neither.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.header import quiet_pydicom
from glam.intake import Finding, finding
from glam.parse import Source, parse
from glam.pixels import check_pixels, decode, display

if TYPE_CHECKING:
    from pydicom import Dataset

ViewName = Literal["CC", "MLO"]
Side = Literal["L", "R"]

WHITE = 65_535
"""Display value of white; display values are whole numbers from 0, black."""


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
    patient_id: str = field(default="", repr=False)
    """In memory for the check of a pair; never logged, never in an answer. So is `study_uid`."""
    study_uid: str = field(default="", repr=False)


def read_view(source: Source, *, view: str | None = None, laterality: str | None = None, where: str = "") -> View:
    """Return the mammogram in a DICOM file.

    `view` and `laterality` are the caller's word: they fill what the header lacks, and an InputError says when the
    header disagrees. `where` is the part of the request that errors name. A path that cannot be opened is an OSError.
    """
    with quiet_pydicom():
        return _view(parse(source, where), view, laterality, where)


def _view(dataset: "Dataset", view: str | None, laterality: str | None, where: str) -> View:
    is_mg = header.is_digital(dataset, where)
    view_decision = header.decide_view(dataset, view, where)
    side_decision = header.decide_side(dataset, laterality, where)
    decoder = check_pixels(dataset, where)
    pixels, voi = display(dataset, decode(dataset, where), where)
    spacing_mm, spacing_source = header.spacing_of(dataset)
    provenance = {
        "view": view_decision.source,
        "laterality": side_decision.source,
        "spacing_mm": spacing_source,
        "voi": voi,
        **decoder,
    }
    return View(
        pixels=pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing_mm,
        orientation=header.orientation_of(dataset),
        provenance=provenance,
        findings=tuple(_findings(dataset, is_mg=is_mg, provenance=provenance)),
        is_mg=is_mg,
        patient_id=header.text(dataset, "PatientID"),
        study_uid=header.text(dataset, "StudyInstanceUID"),
    )


def _findings(dataset: "Dataset", *, is_mg: bool, provenance: dict[str, str]) -> Iterator[Finding]:
    odd = {
        "film": not is_mg,
        "side_tags_differ": header.sides_differ(dataset),
        "orientation_unclear": header.orientation_unclear(dataset),
        "no_spacing": provenance["spacing_mm"] == "none",
        "no_window": provenance["voi"] == "breast range",
        "burned_in": header.text(dataset, "BurnedInAnnotation") == "YES",
        "lossy": header.text(dataset, "LossyImageCompression") == "01",
        "implant": header.text(dataset, "BreastImplantPresent") == "YES",
    }
    return (finding(code) for code, holds in odd.items() if holds)
