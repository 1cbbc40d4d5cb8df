"""read_view: bytes or file -> View, with the source of every decision; nothing is silently guessed.

pydicom is imported inside the functions: a View made in memory needs none. Text attributes are read as raw bytes, so
that no value of a patient can end in a warning or an error message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glam.intake import Finding, finding, input_error

if TYPE_CHECKING:
    from pydicom import Dataset

Source = bytes | Path | BinaryIO
ViewName = Literal["CC", "MLO"]
Side = Literal["L", "R"]

MAX_PIXELS = 64_000_000
"""Largest image that is decoded; mammograms have up to about 30 million pixels."""

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FILM_MODALITIES = ("MG", "CR", "RG")
REFUSED_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1.2.1": "for_processing",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "multi_frame",
    "1.2.840.10008.5.1.4.1.1.13.1.4": "multi_frame",
    "1.2.840.10008.5.1.4.1.1.13.1.5": "multi_frame",
}

# PS3.16 CID 4014, as SNOMED CT and as its older SRT codes (SNM3 and 99SDM are SRT by another name).
VIEW_CODES = {
    "399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO", "399260004": "ML", "R-10224": "ML",
    "399352003": "LM", "R-10228": "LM", "399099002": "LMO", "R-10230": "LMO", "399196006": "FB", "R-10244": "FB",
    "399188001": "SIO", "R-102D0": "SIO", "441555000": "ISO", "R-40AAA": "ISO", "399192008": "XCCL",
    "R-1024A": "XCCL", "399101009": "XCCM", "R-1024B": "XCCM", "127457009": "specimen", "G-8310": "specimen",
}  # fmt: skip
CODE_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM")
VIEW_NAMES = frozenset(VIEW_CODES.values())


@dataclass(frozen=True, kw_only=True)
class View:
    """One mammogram, ready to be prepared."""

    pixels: NDArray[np.float32]
    """(rows, cols) in [0, 1], tissue bright, in the orientation of the file."""
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


@dataclass(frozen=True)
class Decision:
    """A value and the attribute it came from."""

    value: str
    source: str


def read_view(source: Source, *, view: str | None = None, laterality: str | None = None, where: str = "") -> View:
    """Return the mammogram in a DICOM file.

    `view` and `laterality` are the caller's word: they fill what the header lacks, and an InputError says when the
    header disagrees. `where` is the part of the request that errors name.
    """
    dataset = _read(source, where)
    is_mg = _check_kind(dataset, where)
    view_decision = decide_view(dataset, view, where)
    side_decision = decide_side(dataset, laterality, where)
    raw, pixel_source = _decode(dataset, where)
    pixels, voi = _presentation(dataset, raw, where)
    spacing_mm, spacing_source = _spacing(dataset)
    return View(
        pixels=pixels,
        view=cast(ViewName, view_decision.value),
        laterality=cast(Side, side_decision.value),
        spacing_mm=spacing_mm,
        orientation=_orientation(dataset),
        provenance={
            "view": view_decision.source,
            "laterality": side_decision.source,
            "spacing_mm": spacing_source,
            "voi": voi,
            **pixel_source,
        },
        findings=tuple(_findings(dataset, is_mg=is_mg, spacing_mm=spacing_mm, voi=voi)),
        is_mg=is_mg,
        patient_id=_text(dataset, "PatientID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
    )


def decide_view(dataset: "Dataset", given: str | None, where: str = "") -> Decision:
    """Return CC or MLO and its source; anything else, ML included, is an InputError."""
    found = [Decision(value, name) for name, read in VIEW_SOURCES.items() if (value := read(dataset)) in VIEW_NAMES]
    wanted = (given or "").upper()
    if found and wanted and wanted != found[0].value:
        what = f"the request says {_known(wanted, VIEW_NAMES)}, the header {found[0].value}"
        raise input_error("view_mismatch", where, what=what)
    if len({decision.value for decision in found}) > 1:
        what = " but ".join(f"{decision.source} says {decision.value}" for decision in found)
        raise input_error("view_mismatch", where, what=what)
    decision = found[0] if found else Decision(wanted, "request")
    if decision.value not in ("CC", "MLO"):
        shown = f"this is the view {decision.value}" if found else "the header does not say which view this is"
        raise input_error("unknown_view", where, what=shown)
    return decision


def decide_side(dataset: "Dataset", given: str | None, where: str = "") -> Decision:
    """Return L or R and its source: ImageLaterality, which belongs to the image, before the series' Laterality."""
    found = [Decision(value, name) for name in ("ImageLaterality", "Laterality") if (value := _text(dataset, name))]
    wanted = (given or "").upper()
    decision = found[0] if found else Decision(wanted, "request")
    if decision.value not in ("L", "R"):
        shown = "the header names both sides or none" if found else "the header does not say which breast this is"
        raise input_error("unknown_laterality", where, what=shown)
    if wanted and wanted != decision.value:
        what = f"the request says {_known(wanted, ('L', 'R'))}, the header {decision.value}"
        raise input_error("side_mismatch", where, what=what)
    return decision


def _known(value: str, names: frozenset[str] | tuple[str, ...]) -> str:
    return value if value in names else "otherwise"


def _view_code(dataset: "Dataset") -> str:
    for item in _items(dataset, "ViewCodeSequence"):
        if _text(item, "CodingSchemeDesignator") in CODE_SCHEMES:
            return VIEW_CODES.get(_text(item, "CodeValue"), "")
    return ""


def _view_position(dataset: "Dataset") -> str:
    return _text(dataset, "ViewPosition").upper()


def _view_as_orientation(dataset: "Dataset") -> str:
    return _text(dataset, "PatientOrientation").upper()


VIEW_SOURCES: dict[str, Callable[["Dataset"], str]] = {
    "ViewCodeSequence": _view_code,
    "ViewPosition": _view_position,
    "PatientOrientation": _view_as_orientation,  # CBIS-DDSM writes the view there
}


def _read(source: Source, where: str) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    stream = BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    try:
        return dcmread(stream)
    except InvalidDicomError:
        raise input_error("not_dicom", where) from None
    except (EOFError, ValueError, KeyError, NotImplementedError, AttributeError, TypeError, OverflowError):
        raise input_error("truncated", where) from None


def _check_kind(dataset: "Dataset", where: str) -> bool:
    """Return whether the file is a digital mammogram (True) or a film; refuse everything else. PS3.3 A.26, C.8.11."""
    sop_class = _text(dataset, "SOPClassUID")
    frames = _number(dataset, "NumberOfFrames") or 1
    refused = REFUSED_CLASSES.get(sop_class)
    if refused == "multi_frame" or frames > 1:
        raise input_error("multi_frame", where, frames=int(frames))
    if refused or _text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise input_error("for_processing", where)
    if sop_class == MG_FOR_PRESENTATION:
        return True
    modality, part = _text(dataset, "Modality"), _text(dataset, "BodyPartExamined")
    if modality not in FILM_MODALITIES or (modality != "MG" and part != "BREAST"):
        raise input_error("not_a_mammogram", where)
    return False


def _decode(dataset: "Dataset", where: str) -> tuple[NDArray[Any], dict[str, str]]:
    """Return the (rows, cols) stored values, and the transfer syntax and decoder they came through."""
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data", where)
    rows, cols = _number(dataset, "Rows") or 0, _number(dataset, "Columns") or 0
    if rows < 1 or cols < 1:
        raise input_error("bad_value", where, attribute="Rows or Columns")
    if rows * cols > MAX_PIXELS:
        raise input_error("too_large", where, pixels=round(rows * cols / 1e6), limit=MAX_PIXELS // 1_000_000)
    if (_number(dataset, "SamplesPerPixel") or 1) != 1:
        raise input_error("not_monochrome", where)
    decoder = _decoder(dataset, where)
    try:
        return dataset.pixel_array, decoder
    except (RuntimeError, ValueError, AttributeError, EOFError, TypeError):
        raise input_error("truncated", where) from None


def _decoder(dataset: "Dataset", where: str) -> dict[str, str]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    syntax = UID(syntax or "1.2.840.10008.1.2")
    if not syntax.is_encapsulated:
        return {"transfer_syntax": syntax.name, "decoder": "native"}
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise input_error("unsupported_syntax", where, syntax="it names") from None
    if not decoder.is_available:
        raise input_error("unsupported_syntax", where, syntax=syntax.name)
    return {"transfer_syntax": syntax.name, "decoder": decoder.available_plugins[0]}


def _presentation(dataset: "Dataset", raw: NDArray[Any], where: str) -> tuple[NDArray[np.float32], str]:
    """Return pixels in [0, 1] with tissue bright, and how the grey values were windowed."""
    from glam.tone import breast_range, tone_table

    try:
        table, voi = tone_table(dataset, raw.dtype, lambda inverted: breast_range(raw, inverted=inverted))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError):
        raise input_error("bad_value", where, attribute="grey-scale transformation (VOI or Modality LUT)") from None
    if table is None:
        raise input_error("no_breast", where)
    offset = -int(np.iinfo(raw.dtype).min)
    index = raw if offset == 0 else raw.view(f"u{raw.dtype.itemsize}")
    return table[index], voi


def _spacing(dataset: "Dataset") -> tuple[tuple[float, float] | None, str]:
    """Return (row, column) millimetres and their attribute. PS3.3 10.7.1.3: at the detector, unless calibrated."""
    for name in ("ImagerPixelSpacing", "PixelSpacing"):
        numbers = _numbers(dataset, name)
        if len(numbers) == 2 and min(numbers) > 0:
            return (numbers[0], numbers[1]), name
    return None, "none"


def _orientation(dataset: "Dataset") -> tuple[str, str] | None:
    """Return the directions of rows and columns (PS3.3 C.7.6.1.1.1), if they are directions."""
    parts = _text(dataset, "PatientOrientation").split("\\")
    if len(parts) == 2 and parts[0][:1] in ("A", "P") and parts[1]:
        return parts[0], parts[1]
    return None


def _findings(dataset: "Dataset", *, is_mg: bool, spacing_mm: object, voi: str) -> Iterator[Finding]:
    odd = {
        "film": not is_mg,
        "no_spacing": spacing_mm is None,
        "no_window": voi == "breast range",
        "burned_in": _text(dataset, "BurnedInAnnotation") == "YES",
        "lossy": _text(dataset, "LossyImageCompression") == "01",
        "implant": _text(dataset, "BreastImplantPresent") == "YES",
    }
    return (finding(code) for code, holds in odd.items() if holds)


def _text(dataset: "Dataset", keyword: str) -> str:
    """Return an attribute as text, "" if absent, from its bytes: pydicom's validation would quote it in a warning."""
    if keyword not in dataset:
        return ""
    value = dataset.get_item(keyword).value  # type: ignore[union-attr]
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    return "" if value is None else "\\".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _numbers(dataset: "Dataset", keyword: str) -> list[float]:
    try:
        return [float(part) for part in _text(dataset, keyword).split("\\") if part]
    except ValueError:
        return []


def _number(dataset: "Dataset", keyword: str) -> float | None:
    """Return an integer attribute (US or IS); None if it is absent or no number."""
    try:
        return float(str(dataset.get(keyword)))
    except (ValueError, TypeError):
        return None


def _items(dataset: "Dataset", keyword: str) -> list["Dataset"]:
    try:
        return list(dataset.get(keyword) or ())
    except (ValueError, TypeError, AttributeError):
        return []
