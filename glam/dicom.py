"""read_view: bytes or file -> View, with the source of every decision; nothing is silently guessed.

pydicom and OpenCV are imported inside the functions: a View made in memory needs neither.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.header import quiet_pydicom
from glam.intake import Finding, InputError, finding, input_error

if TYPE_CHECKING:
    from pydicom import Dataset

Source = bytes | Path | BinaryIO
ViewName = Literal["CC", "MLO"]
Side = Literal["L", "R"]

WHITE = 65_535
"""Display value of white; display values are whole numbers from 0, black."""
MAX_PIXELS = 64_000_000
"""Largest image that is decoded; mammograms have up to about 30 million pixels."""
MAX_SIDE = 65_535
"""Largest value of Rows and Columns that the standard can write."""
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"


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
        return _view(_parse(source, where), view, laterality, where)


def _view(dataset: "Dataset", view: str | None, laterality: str | None, where: str) -> View:
    is_mg = header.is_digital(dataset, where)
    view_decision = header.decide_view(dataset, view, where)
    side_decision = header.decide_side(dataset, laterality, where)
    decoder = _check_pixels(dataset, where)
    pixels, voi = _display(dataset, _decode(dataset, where), where)
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


def _parse(source: Source, where: str) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    with _opened(source) as stream:
        try:
            _refuse_deflated(stream, where)
            return dcmread(stream)
        except InputError:
            raise
        except InvalidDicomError:
            raise input_error("not_dicom", where) from None
        except header.broken_errors():
            raise input_error("truncated", where) from None


def _refuse_deflated(stream: BinaryIO, where: str) -> None:
    """Refuse a deflated file from its file meta: pydicom would inflate it at once, a thousandfold if it is made so."""
    from pydicom.filereader import (
        _read_file_meta_info,  # pyright: ignore[reportPrivateUsage]  # dcmread asks it too: both see the same syntax
        read_preamble,
    )
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    start = stream.tell()
    read_preamble(stream, force=False)
    if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise input_error("unsupported_syntax", where, syntax=DeflatedExplicitVRLittleEndian.name)
    stream.seek(start)


def _opened(source: Source) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        return source.open("rb")
    return nullcontext(BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)


def _check_pixels(dataset: "Dataset", where: str) -> dict[str, str]:
    """Refuse what cannot or should not be decoded, from the header alone; return transfer syntax and decoder."""
    if "PixelData" not in dataset:
        raise input_error("no_pixel_data", where)
    rows, cols = (header.number(dataset, name) or 0 for name in ("Rows", "Columns"))
    if not (1 <= rows <= MAX_SIDE and 1 <= cols <= MAX_SIDE):
        raise input_error("bad_value", where, attribute="Rows or Columns")
    if rows * cols > MAX_PIXELS:
        raise input_error("too_large", where, pixels=round(rows * cols / 1e6), limit=MAX_PIXELS // 1_000_000)
    if header.number(dataset, "SamplesPerPixel") not in (None, 1):
        raise input_error("not_monochrome", where)
    return _decoder(dataset, where)


def _decoder(dataset: "Dataset", where: str) -> dict[str, str]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    meta = getattr(dataset, "file_meta", {})
    syntax = UID(meta.get("TransferSyntaxUID") or IMPLICIT_LITTLE_ENDIAN)
    name = syntax.name if syntax.name != syntax else "that the file names"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise input_error("unsupported_syntax", where, syntax=name) from None
    if not decoder.is_available:
        raise input_error("unsupported_syntax", where, syntax=name)
    plugins = decoder.available_plugins
    return {"transfer_syntax": name, "decoder": plugins[0] if plugins else "native"}


def _decode(dataset: "Dataset", where: str) -> NDArray[Any]:
    """Return the (rows, cols) stored values."""
    try:
        return dataset.pixel_array
    except (RuntimeError, *header.broken_errors()):
        raise input_error("truncated", where) from None


def _display(dataset: "Dataset", stored: NDArray[Any], where: str) -> tuple[NDArray[np.uint16], str]:
    """Return pixels of 0 to WHITE with tissue bright, and how the grey values were windowed."""
    import cv2

    from glam.tone import breast_range, tone_table

    if stored.ndim != 2 or stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise input_error("bad_value", where, attribute="BitsAllocated or pixel format")
    try:
        table, voi = tone_table(dataset, stored.dtype, lambda inverted: breast_range(stored, inverted=inverted))
    except header.broken_errors():
        raise input_error("bad_value", where, attribute="Modality LUT, window or VOI LUT") from None
    if table is None:
        raise input_error("no_breast", where)
    return np.asarray(cv2.LUT(stored.view(f"u{stored.dtype.itemsize}"), table), np.uint16), voi


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
