"""Grey values: stored bit patterns -> display values, 0 black to 65,535 white.

A table over the at most 65,536 bit patterns holds bit layout, Modality LUT, VOI and inversion at once, so that a
14-Mpx image costs one look-up a pixel.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy.breast import breast_mask
from glam.anatomy.field import Field, has_border, small_field, whole_field
from glam.config import VoiPolicy
from glam.findings import input_error
from glam.reading import header
from glam.reading.bits import filled_layout, is_padding, stored_values
from glam.reading.luts import Values, modality_values
from glam.reading.voi import BREAST_RANGE, POLICIES, voi_of
from glam.view import WHITE

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.reading.pixels import Layout

Table = NDArray[np.uint16]

SATURATED_SHARE = 0.05
"""Share of the tissue at its largest value from which an image is called saturated."""
SAMPLES_A_SIDE = 200
"""What polarity and saturation are judged by: every so many rows and columns."""


class Tone(NamedTuple):
    """An image as display values."""

    pixels: NDArray[np.uint16]
    voi: str
    """How the grey values were windowed."""
    odd: tuple[str, ...]
    """Codes of what is odd about them."""
    exposed: Field
    """What lies inside any borders."""


def tone(dataset: "Dataset", stored: NDArray[Any], layout: "Layout", policy: VoiPolicy) -> Tone:
    """Return the display values of (rows, cols) bit patterns, which may be overwritten; tissue is bright.

    InputError: `no_breast` where there is none to show; a HeaderError names the attribute that leaves nothing.
    PS3.3 C.11.1, C.11.2; C.7.6.3.1.2 (MONOCHROME1 is inverted after the VOI); C.7.5.1.1.2 (padding is background).
    """
    filled = filled_layout(dataset, stored, layout)
    padding = is_padding(dataset, filled, stored.dtype.itemsize)
    modality = modality_values(dataset, stored_values(filled, stored.dtype.itemsize))
    voi = voi_of(dataset, modality.values, POLICIES[policy])
    shown = _over_image(voi.shown, stored, padding) if POLICIES[policy].stretched else voi.shown
    if shown is None:
        raise input_error("no_breast")
    inverted, odd = polarity(dataset)
    odd = (*(["bits_differ"] if filled != layout else []), *odd, *modality.findings, *voi.findings)
    table = _table(shown, inverted=inverted)
    table[padding] = 0
    step = max(1, min(stored.shape) // SAMPLES_A_SIDE)
    exposed = _exposed(stored, table, step)
    sample = exposed.crop(stored)[::step, ::step]
    if is_inverted(table[sample]):
        table, odd, exposed = WHITE - table, (*odd, "inverted_tag"), exposed.inverted()
        table[padding] = 0
    # What was decoded is looked up in place: new memory for 14 Mpx costs as much as the look-up itself.
    into = {"dst": stored} if stored.flags.writeable and stored.dtype == np.uint16 else {}
    pixels = np.asarray(cv2.LUT(stored, table, **into), np.uint16)
    if voi.name == BREAST_RANGE:
        limits = breast_range(exposed.crop(pixels))
        if limits is None:
            raise input_error("no_breast")
        stretched = (np.arange(WHITE + 1) - limits[0]) / max(limits[1] - limits[0], 1.0)
        pixels = np.asarray(cv2.LUT(pixels, _table(stretched), dst=pixels), np.uint16)
    if is_saturated(exposed.crop(pixels)[::step, ::step]):
        odd = (*odd, "saturated")
    return Tone(pixels, voi.name, odd, exposed)


def polarity(dataset: "Dataset") -> tuple[bool, tuple[str, ...]]:
    """Return whether large values are dark, and what is odd about it: PresentationLUTShape says it too, C.11.6.1.2."""
    inverted = header.text(dataset, "PhotometricInterpretation").strip().upper() == "MONOCHROME1"
    shape = header.text(dataset, "PresentationLUTShape").strip().upper()
    conflict = shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted
    return inverted, ("polarity_tags_differ",) if conflict else ()


def _exposed(stored: NDArray[Any], table: Table, step: int) -> Field:
    """Return what lies inside the borders of (rows, cols) bit patterns.

    They are looked for before the breast's range clips border and tissue alike, and in every so many rows and columns:
    only an image that has some is looked at as a whole.
    """
    if not has_border(table[stored[::step, ::step]]):
        return whole_field(stored)
    return small_field(cv2.LUT(stored, table)).field


def is_inverted(sample: NDArray[Any]) -> bool:
    """Return whether a display picture has its tissue dark; `sample` has no borders, glam/field.py.

    A bright, even background with next to nothing brighter says so, and so does a picture in which no breast can be
    seen; but either is believed only where a breast can be seen once the picture is inverted. The background is looked
    for along the left and the right side: one of them has none of the breast. An even dark side settles that the
    picture is as it should be.
    """
    picture = sample.astype(np.float32)
    low, high = (float(value) for value in np.percentile(picture, (1, 99)))
    if high <= low:
        return False
    rows, cols = (length // 16 for length in picture.shape)
    inner = np.clip((picture[rows : len(picture) - rows, cols : picture.shape[1] - cols] - low) / (high - low), 0, 1)
    depth = max(1, inner.shape[1] // 12)
    spread = [np.percentile(side, (5, 50, 95)) for side in (inner[:, :depth], inner[:, -depth:])]
    levels = [middle for low, middle, high in spread if high - low < 0.1]
    if levels and min(levels) < 0.5:
        return False
    if levels:
        darker, brighter = (inner < levels[0] - 0.1).mean(), (inner > levels[0] + 0.1).mean()
        suspect = darker > 0.1 and brighter < 0.1 * darker
    else:
        suspect = not breast_mask(picture).mask.any()
    return bool(suspect and breast_mask(-picture).mask.any())


def is_saturated(sample: NDArray[Any]) -> bool:
    """Return whether a noticeable share of a display picture's tissue has the one largest value."""
    rows, cols = (length // 16 for length in sample.shape)
    inner = sample[rows : sample.shape[0] - rows, cols : sample.shape[1] - cols]
    tissue = inner[inner > 0.1 * WHITE]
    return bool(len(tissue) and (tissue == tissue.max()).mean() > SATURATED_SHARE)


def breast_range(picture: NDArray[Any]) -> tuple[float, float] | None:
    """Return the values of a display picture to show as black and white: from background and breast, not from labels.

    Black is the darkest percentile inside any border, white the breast's 99.9th. None: no breast.
    """
    shown = small_field(picture).picture
    breast = breast_mask(shown)
    if not breast.mask.any():
        return None
    return float(np.percentile(shown[breast.inner], 1)), float(np.percentile(shown[breast.mask], 99.9))


def _table(shown: Values, *, inverted: bool = False) -> Table:
    clipped = np.clip(shown, 0, 1)
    return np.rint((1 - clipped if inverted else clipped) * WHITE).astype(np.uint16)


def _over_image(shown: Values, stored: NDArray[Any], padding: NDArray[np.bool_]) -> Values | None:
    """Return display values of bit patterns spread from the image's darkest pixel to its brightest; None: all alike.

    Padding is neither.
    """
    size = len(padding)
    present = cv2.calcHist([stored], [0], None, [size], [0, size]).ravel() > 0
    clipped = np.clip(shown, 0, 1)
    seen = clipped[present & ~padding]
    return (clipped - seen.min()) / np.ptp(seen) if len(seen) and np.ptp(seen) else None
