"""read_view: bytes, file or stream -> View, with the source of every decision; nothing is silently guessed.

pydicom and OpenCV are imported inside the functions: a View made in memory needs neither.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.config import FrameConfig, VoiPolicy
from glam.header import quiet_pydicom
from glam.identity import decide_side, decide_view
from glam.intake import Finding, InputError, finding, input_error
from glam.kind import kind_findings, kind_of
from glam.parse import Source, has_preamble, parse
from glam.picture import picture_format, show_picture
from glam.pixels import show_pixels
from glam.spacing import spacing_of

if TYPE_CHECKING:
    from pydicom import Dataset

ViewName = Literal["CC", "MLO"]
Side = Literal["L", "R"]

WHITE = 65_535
"""Display value of white; display values are whole numbers from 0, black."""
SAME_SPACING = 0.02
"""Share by which the caller's pixel spacing may differ from the header's."""


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
    voi: VoiPolicy | None = None
    """The policy of grey values that the file was read by. None: the View was made in memory, from no file."""
    acquired: tuple[str, float] = field(default=("", 0), repr=False)
    """Moment of the exposure and number of the image: which of two files is the later one."""

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not header.is_plausible_spacing(self.spacing_mm):
            raise ValueError(f"spacing_mm {self.spacing_mm} is that of no mammogram: leave it out if it is unknown")


def read_view(
    source: Source,
    config: FrameConfig,
    *,
    view: str | None = None,
    laterality: str | None = None,
    spacing_mm: float | None = None,
    where: str = "",
) -> View:
    """Return the mammogram in a DICOM file, or in a PNG, JPEG or TIFF picture, read by a configuration's policies.

    `view`, `laterality` and `spacing_mm` (of square pixels) are the caller's word: they fill what the header lacks.
    An InputError says when the header names another view or side; only descriptions and the name of a path come after
    the caller (docs/intake.md). `where` is the part of the request that errors name. A path that cannot be opened is
    an OSError.
    """
    asked = Asked(view, laterality, spacing_mm)
    file_name = Path(source).stem if isinstance(source, str | Path) else ""
    try:
        with quiet_pydicom():
            return _read(source, asked, file_name=file_name, voi=config.voi)
    except InputError as error:
        raise error.at(where) from None


class Asked(NamedTuple):
    """What the caller says of a file; None: nothing."""

    view: str | None = None
    laterality: str | None = None
    spacing_mm: float | None = None
    """Of square pixels."""


class Spacing(NamedTuple):
    """The distance of rows and of columns, and which source gave it."""

    mm: tuple[float, float] | None
    source: str
    findings: tuple[Finding, ...]


def _read(source: Source, asked: Asked, *, file_name: str, voi: VoiPolicy) -> View:
    _check_spacing(asked.spacing_mm)
    if picture_format(source):
        return _view_of_picture(source, asked, file_name=file_name, voi=voi)
    return _view(parse(source), asked, file_name=file_name, voi=voi)


def _view(dataset: "Dataset", asked: Asked, *, file_name: str, voi: VoiPolicy) -> View:
    is_image = "PixelData" in dataset
    if not is_image and not header.text(dataset, "Modality"):  # it ends before it says what it is
        raise input_error("no_pixel_data")
    kind = kind_of(dataset)
    if not is_image:
        raise input_error("no_pixel_data")
    view_decision = decide_view(dataset, asked.view, file_name=file_name)
    side_decision = decide_side(dataset, asked.laterality, file_name=file_name)
    shown = show_pixels(dataset, voi)
    spacing = _spacing(*spacing_of(dataset), asked.spacing_mm)
    provenance = {
        "view": view_decision.source,
        "laterality": side_decision.source,
        "spacing_mm": spacing.source,
        **shown.provenance,
    }
    preamble = () if has_preamble(dataset) else (finding("no_preamble"),)
    decided = (*kind_findings(dataset, kind), *view_decision.findings, *side_decision.findings)
    told = {found.code for found in decided}
    return View(
        pixels=shown.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing.mm,
        orientation=header.orientation_of(dataset),
        provenance=provenance,
        findings=(*decided, *preamble, *spacing.findings, *(finding(code) for code in shown.odd if code not in told)),
        is_mg=kind.is_mg,
        synthetic=kind.synthetic,
        partial=kind.partial,
        modifiers=kind.modifiers,
        patient_id=header.text(dataset, "PatientID"),
        study_uid=header.text(dataset, "StudyInstanceUID"),
        voi=voi,
        acquired=header.acquired_of(dataset),
    )


def _view_of_picture(source: Source, asked: Asked, *, file_name: str, voi: VoiPolicy) -> View:
    """Return the View of a file without a header: view and side from the caller or the file's name."""
    from pydicom import Dataset

    nothing = Dataset()
    view_decision = decide_view(nothing, asked.view, file_name=file_name)
    side_decision = decide_side(nothing, asked.laterality, file_name=file_name)
    shown = show_picture(source, voi)
    spacing = _spacing(None, "none", asked.spacing_mm)
    provenance = {"view": view_decision.source, "laterality": side_decision.source, "spacing_mm": spacing.source}
    decided = (*view_decision.findings, *side_decision.findings, finding("not_dicom_picture"))
    return View(
        pixels=shown.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing.mm,
        provenance=provenance | shown.provenance,
        findings=(*decided, *spacing.findings, *map(finding, shown.odd)),
        is_mg=False,
        voi=voi,
    )


def _check_spacing(spacing_mm: float | None) -> None:
    """Refuse a spacing of the caller's that no mammogram has."""
    if spacing_mm is not None and not header.is_plausible_spacing((spacing_mm, spacing_mm)):
        low, high = header.SPACING_MM
        raise input_error("bad_field", what=f"spacing_mm {spacing_mm:g} is not within {low:g} and {high:g} mm")


def _spacing(in_header: tuple[float, float] | None, source: str, asked_mm: float | None) -> Spacing:
    """Return the header's spacing, else the caller's; a finding where they differ, and where there is none."""
    if in_header is None and asked_mm is not None:
        return Spacing((asked_mm, asked_mm), "request", ())
    if in_header is None:
        return Spacing(None, source, (finding("no_spacing" if source == "none" else "odd_spacing"),))
    if asked_mm is not None and max(abs(mm / asked_mm - 1) for mm in in_header) > SAME_SPACING:
        return Spacing(in_header, source, (finding("spacing_differs", followed=source),))
    return Spacing(in_header, source, ())
