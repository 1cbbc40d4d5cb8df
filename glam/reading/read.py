"""read_view: bytes, file or stream to View, with the source of every decision."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from glam.config import FrameConfig, VoiPolicy
from glam.findings import finding, input_error
from glam.reading import header
from glam.reading.header import quiet_pydicom
from glam.reading.identity import decide_side, decide_view
from glam.reading.image_file import picture_format, stored_picture
from glam.reading.kind import kind_findings, kind_of
from glam.reading.parse import has_preamble, parse
from glam.reading.pixels import Layout, check_pixels_follow, stored_pixels
from glam.reading.source import OwnBytes, Source, content
from glam.reading.spacing import decide_spacing
from glam.reading.tone import tone
from glam.reading.view_text import side_of_request
from glam.view import SPACING_MM, Field, Side, View, ViewName, is_plausible_spacing

if TYPE_CHECKING:
    from pydicom import Dataset


def read_view(
    source: Source | OwnBytes,
    config: FrameConfig,
    *,
    view: str | None = None,
    laterality: str | None = None,
    spacing_mm: float | None = None,
    file_name: str | None = None,
) -> View:
    """Return the mammogram in a DICOM file, or in a PNG, JPEG or TIFF picture, read by a configuration's policies.

    `view`, `laterality` and `spacing_mm` (of square pixels) are the caller's word: they fill what the header lacks.
    An InputError says when the header names another view or side; only descriptions and the name of a path come after
    the caller (docs/intake.md). `file_name`, without its suffix, is that of bytes which came from elsewhere; a path
    has its own. A path that cannot be opened is an OSError.
    """
    requested = CallerFacts(view, side_of_request(view, laterality), spacing_mm)
    if file_name is None:
        file_name = Path(source).stem if isinstance(source, str | Path) else ""
    with quiet_pydicom():
        return _read(source, requested, file_name=file_name, voi=config.voi)


class CallerFacts(NamedTuple):
    """What a request says of a file; None: it says nothing."""

    view: str | None = None
    laterality: str | None = None
    spacing_mm: float | None = None
    """Of square pixels."""


def _read(source: Source | OwnBytes, requested: CallerFacts, *, file_name: str, voi: VoiPolicy) -> View:
    _check_spacing(requested.spacing_mm)
    data = content(source)  # once: a stream may not be read twice
    if picture_format(data):
        return _view_of_picture(data, requested, file_name=file_name, voi=voi)
    return _view(parse(data), requested, file_name=file_name, voi=voi)


def _view(dataset: "Dataset", requested: CallerFacts, *, file_name: str, voi: VoiPolicy) -> View:
    check_pixels_follow(dataset)
    kind = kind_of(dataset)
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data")
    view_decision = decide_view(dataset, requested.view, file_name=file_name)
    side_decision = decide_side(dataset, requested.laterality, file_name=file_name)
    display = _display_pixels(dataset, voi)
    spacing = decide_spacing(dataset, requested.spacing_mm)
    provenance = {
        "view": view_decision.source,
        "laterality": side_decision.source,
        "spacing_mm": spacing.source,
        **display.provenance,
    }
    preamble = () if has_preamble(dataset) else (finding("no_preamble"),)
    decided = (*kind_findings(dataset, kind), *view_decision.findings, *side_decision.findings)
    codes = {each.code for each in decided}
    return View(
        pixels=display.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing.mm,
        orientation=header.orientation_of(dataset),
        provenance=provenance,
        findings=(
            *decided,
            *preamble,
            *spacing.findings,
            *(finding(code) for code in display.codes if code not in codes),
        ),
        is_mg=kind.is_mg,
        synthetic=kind.synthetic,
        partial=kind.partial,
        modifiers=kind.modifiers,
        patient_id=header.text(dataset, "PatientID"),
        study_uid=header.text(dataset, "StudyInstanceUID"),
        voi=voi,
        exposed=display.exposed,
        acquired=header.acquired_of(dataset),
    )


def _view_of_picture(source: Source | OwnBytes, requested: CallerFacts, *, file_name: str, voi: VoiPolicy) -> View:
    """Return the View of a file without a header: view and side from the caller or the file's name."""
    from pydicom import Dataset

    no_header = Dataset()
    view_decision = decide_view(no_header, requested.view, file_name=file_name)
    side_decision = decide_side(no_header, requested.laterality, file_name=file_name)
    display = _display_values_of_picture(source, voi)
    spacing = decide_spacing(no_header, requested.spacing_mm)
    provenance = {"view": view_decision.source, "laterality": side_decision.source, "spacing_mm": spacing.source}
    decided = (*view_decision.findings, *side_decision.findings, finding("not_dicom_picture"))
    return View(
        pixels=display.pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing.mm,
        provenance=provenance | display.provenance,
        findings=(*decided, *spacing.findings, *map(finding, display.codes)),
        is_mg=False,
        voi=voi,
        exposed=display.exposed,
    )


class DisplayPixels(NamedTuple):
    """An image as display values."""

    pixels: NDArray[np.uint16]
    """(rows, cols), 0 black to WHITE, tissue bright."""
    provenance: dict[str, str]
    """Transfer syntax, decoder and how the grey values were windowed."""
    codes: tuple[str, ...]
    """Codes of findings about the pixels."""
    exposed: Field | None
    """The part inside its borders; None: it has none."""


def _display_pixels(dataset: "Dataset", voi: VoiPolicy) -> DisplayPixels:
    """Return the display values of a data set, whose PixelData is deleted; an InputError where there are none."""
    stored = stored_pixels(dataset)
    del dataset.PixelData  # an array over its bytes keeps them as long as they are needed
    grey = tone(dataset, stored.values, stored.layout, voi)
    provenance = {"voi": grey.voi, "transfer_syntax": stored.syntax, "decoder": stored.decoder}
    return DisplayPixels(grey.pixels, provenance, (*stored.codes, *grey.codes), grey.exposed)


def _display_values_of_picture(source: Source | OwnBytes, voi: VoiPolicy) -> DisplayPixels:
    """Return a picture's display values, tissue bright; an InputError where there is nothing to show.

    It has no window: black and white follow from the breast, whatever the policy.
    """
    from pydicom import Dataset

    stored = stored_picture(source)
    rows, cols = stored.values.shape
    bits = 8 * stored.values.itemsize
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    layout = Layout(rows, cols, allocated=bits, bits=bits, high_bit=bits - 1, signed=False)
    grey = tone(dataset, stored.values, layout, voi)
    provenance = {"voi": grey.voi, "transfer_syntax": stored.format, "decoder": stored.decoder}
    if stored.orientation != 1:
        provenance["upright"] = f"EXIF orientation {stored.orientation}"
    return DisplayPixels(grey.pixels, provenance, grey.codes, grey.exposed)


def _check_spacing(spacing_mm: float | None) -> None:
    """Refuse a spacing of the caller's that no mammogram has."""
    if spacing_mm is not None and not is_plausible_spacing((spacing_mm, spacing_mm)):
        low, high = SPACING_MM
        raise input_error("bad_field", problem=f"spacing_mm {spacing_mm:g} is not within {low:g} and {high:g} mm")
