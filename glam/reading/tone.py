"""Grey values: stored bit patterns -> display values, 0 black to 65,535 white.

A table over the at most 65,536 bit patterns holds bit layout, Modality LUT, VOI and inversion at once, so that a
14-Mpx image costs one look-up a pixel.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.plates import without_plates
from glam.config import VoiPolicy
from glam.findings import input_error
from glam.reading import header
from glam.reading.bits import filled_layout, is_padding, stored_values
from glam.reading.luts import Values, modality_values
from glam.reading.tissue import breast_range, exposed_field, is_inverted
from glam.reading.voi import BREAST_RANGE, POLICIES, voi_of
from glam.view import WHITE, Field

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

Table = NDArray[np.uint16]

SATURATED_SHARE = 0.05
"""Share of the tissue at its largest value from which an image is called saturated."""
SAMPLES_A_SIDE = 200
"""About how many rows and columns polarity and saturation are judged by."""


class Tone(NamedTuple):
    """An image as display values."""

    pixels: NDArray[np.uint16]
    voi: str
    """Source of the display range."""
    codes: tuple[str, ...]
    """Codes of findings about them."""
    exposed: Field | None
    """The part inside its borders; None: it has none."""


def tone(dataset: "Dataset", stored: NDArray[Any], layout: "Layout", policy: VoiPolicy) -> Tone:
    """Return the display values of (rows, cols) bit patterns, which may be overwritten; tissue is bright.

    InputError: `no_breast` where there is none to show; a HeaderError names the attribute that leaves nothing.
    PS3.3 C.11.1, C.11.2; C.7.6.3.1.2 (MONOCHROME1 is inverted after the VOI); C.7.5.1.1.2 (padding is background).
    """
    filled = filled_layout(dataset, stored, layout)
    padding = is_padding(dataset, filled, stored.dtype.itemsize)
    modality = modality_values(dataset, stored_values(filled, stored.dtype.itemsize))
    voi = voi_of(dataset, modality.values, POLICIES[policy])
    display = _over_image(voi.display, stored, padding) if POLICIES[policy].stretched else voi.display
    if display is None:
        raise input_error("no_breast")
    layout_codes = ("bits_differ",) if filled != layout else ()
    inverted, polarity_codes = polarity(dataset)
    grey = tone_of_table(stored, _table(display, inverted=inverted), padding, voi=voi.name)
    return grey._replace(codes=(*layout_codes, *polarity_codes, *modality.codes, *voi.codes, *grey.codes))


def tone_of_table(stored: NDArray[Any], table: Table, padding: NDArray[np.bool_], *, voi: str) -> Tone:
    """Return the display values of (rows, cols) bit patterns by a table over them; both may be overwritten.

    Tissue is bright in the table, unless the pixels show otherwise (`inverted_tag`); `padding` are the patterns of
    background, and `voi` is the source of the table's display range. InputError `no_breast` where that is the breast's
    range and no breast is seen.
    """
    table[padding] = 0
    codes: tuple[str, ...] = ()
    step = max(1, min(stored.shape) // SAMPLES_A_SIDE)
    exposed = exposed_field(stored, table, step)
    sample = exposed.crop(stored)[::step, ::step]
    if is_inverted(table[sample]):
        table, codes, exposed = WHITE - table, ("inverted_tag",), exposed.inverted()
        table[padding] = 0
    # What was decoded is looked up in place: new memory for 14 Mpx costs as much as the look-up itself.
    into = {"dst": stored} if stored.flags.writeable and stored.dtype == np.uint16 else {}
    pixels = np.asarray(cv2.LUT(stored, table, **into), np.uint16)
    if voi == BREAST_RANGE:
        limits = breast_range(exposed.crop(pixels))
        if limits is None:
            raise input_error("no_breast")
        stretched = (np.arange(WHITE + 1) - limits[0]) / max(limits[1] - limits[0], 1.0)
        pixels = np.asarray(cv2.LUT(pixels, _table(stretched), dst=pixels), np.uint16)
    if is_saturated(exposed.crop(pixels)[::step, ::step]):
        codes = (*codes, "saturated")
    return Tone(pixels, voi, codes, exposed if exposed.is_part else None)


def polarity(dataset: "Dataset") -> tuple[bool, tuple[str, ...]]:
    """Return whether large values are dark, and the codes of findings: PresentationLUTShape may differ, C.11.6.1.2."""
    inverted = header.text(dataset, "PhotometricInterpretation").strip().upper() == "MONOCHROME1"
    shape = header.text(dataset, "PresentationLUTShape").strip().upper()
    conflict = shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted
    return inverted, ("polarity_tags_differ",) if conflict else ()


def is_saturated(sample: NDArray[Any]) -> bool:
    """Return whether a noticeable share of a display picture's tissue, plates aside, has the one largest value."""
    rows, cols = (length // 16 for length in sample.shape)
    inner = without_plates(sample.astype(np.float32))[rows : sample.shape[0] - rows, cols : sample.shape[1] - cols]
    tissue = inner[inner > 0.1 * WHITE]
    return bool(len(tissue) and (tissue == tissue.max()).mean() > SATURATED_SHARE)


def _table(display: Values, *, inverted: bool = False) -> Table:
    clipped = np.clip(display, 0, 1)
    return np.rint((1 - clipped if inverted else clipped) * WHITE).astype(np.uint16)


def _over_image(display: Values, stored: NDArray[Any], padding: NDArray[np.bool_]) -> Values | None:
    """Return display values of bit patterns spread from the image's darkest pixel to its brightest; None: all alike.

    Padding is neither.
    """
    size = len(padding)
    present = cv2.calcHist([stored], [0], None, [size], [0, size]).ravel() > 0
    clipped = np.clip(display, 0, 1)
    seen = clipped[present & ~padding]
    return (clipped - seen.min()) / np.ptp(seen) if len(seen) and np.ptp(seen) else None
