"""read_view: bytes, file or stream -> View, with the source of every decision; nothing is silently guessed.

pydicom and OpenCV are imported inside the functions: a View made in memory needs neither.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.config import VoiPolicy
from glam.header import quiet_pydicom
from glam.identity import decide_side, decide_view
from glam.intake import Finding, finding
from glam.kind import kind_findings, kind_of
from glam.parse import Source, has_preamble, parse
from glam.picture import picture_format, show_picture
from glam.pixels import show_pixels

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
    synthetic: bool = False
    """A 2-D image made from tomosynthesis."""
    partial: bool = False
    """The breast did not fit into one image."""
    modifiers: tuple[str, ...] = ()
    """How the view departs from the plain one, e.g. ("spot compression",): glam/codes.py."""
    patient_id: str = field(default="", repr=False)
    """In memory for the check of a pair; never logged, never in an answer. So is `study_uid`."""
    study_uid: str = field(default="", repr=False)
    acquired: tuple[str, float] = field(default=("", 0), repr=False)
    """Moment of the exposure and number of the image: which of two files is the later one."""

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not header.is_plausible_spacing(self.spacing_mm):
            raise ValueError(f"spacing_mm {self.spacing_mm} is that of no mammogram: leave it out if it is unknown")


def read_view(
    source: Source,
    *,
    view: str | None = None,
    laterality: str | None = None,
    where: str = "",
    voi: VoiPolicy = "header",
) -> View:
    """Return the mammogram in a DICOM file, or in a PNG, JPEG or TIFF picture.

    `view` and `laterality` are the caller's word: they fill what the header lacks, and an InputError says when the
    header disagrees; only descriptions and the name of a path come after them (docs/intake.md). `where` is the part of
    the request that errors name, `voi` the policy of `FrameConfig.voi`. A path that cannot be opened is an OSError.
    """
    file_name = source.stem if isinstance(source, Path) else ""
    with quiet_pydicom():
        if picture_format(source):
            return _view_of_picture(source, view, laterality, where, file_name=file_name, voi=voi)
        return _view(parse(source, where), view, laterality, where, file_name=file_name, voi=voi)


def _view(
    dataset: "Dataset", view: str | None, laterality: str | None, where: str, *, file_name: str, voi: VoiPolicy
) -> View:
    kind = kind_of(dataset, where)
    view_decision = decide_view(dataset, view, where, file_name=file_name)
    side_decision = decide_side(dataset, laterality, where, file_name=file_name)
    shown = show_pixels(dataset, voi, where)
    spacing_mm, spacing_source = header.spacing_of(dataset)
    provenance = {
        "view": view_decision.source,
        "laterality": side_decision.source,
        "spacing_mm": spacing_source,
        **shown.provenance,
    }
    odd = {
        "no_preamble": not has_preamble(dataset),
        "no_spacing": spacing_source == "none",
        "odd_spacing": spacing_mm is None and spacing_source != "none",
    }
    codes = (*(code for code, holds in odd.items() if holds), *shown.odd)
    decided = (*kind_findings(dataset, kind), *view_decision.findings, *side_decision.findings)
    return View(
        pixels=shown.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing_mm,
        orientation=header.orientation_of(dataset),
        provenance=provenance,
        findings=(*decided, *map(finding, codes)),
        is_mg=kind.is_mg,
        synthetic=kind.synthetic,
        partial=kind.partial,
        modifiers=kind.modifiers,
        patient_id=header.text(dataset, "PatientID"),
        study_uid=header.text(dataset, "StudyInstanceUID"),
        acquired=header.acquired_of(dataset),
    )


def _view_of_picture(
    source: Source, view: str | None, laterality: str | None, where: str, *, file_name: str, voi: VoiPolicy
) -> View:
    """Return the View of a file without a header: view and side from the caller or the file's name."""
    from pydicom import Dataset

    nothing = Dataset()
    view_decision = decide_view(nothing, view, where, file_name=file_name)
    side_decision = decide_side(nothing, laterality, where, file_name=file_name)
    shown = show_picture(source, voi, where)
    provenance = {"view": view_decision.source, "laterality": side_decision.source, "spacing_mm": "none"}
    codes = ("not_dicom_picture", "no_spacing", *shown.odd)
    return View(
        pixels=shown.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        provenance=provenance | shown.provenance,
        findings=(*view_decision.findings, *side_decision.findings, *map(finding, codes)),
        is_mg=False,
    )
