"""Grey values: stored bit patterns -> display values, 0 black to 65,535 white.

A table over the at most 65,536 bit patterns holds bit layout, Modality LUT, VOI and inversion at once, so that a
14-Mpx image costs one look-up a pixel.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam import header
from glam.breast import breast_mask, small
from glam.config import VoiPolicy
from glam.dicom import WHITE
from glam.luts import Values, looked_up, modality_values

if TYPE_CHECKING:
    from pydicom import Dataset

    from glam.pixels import Layout

Table = NDArray[np.uint16]

BREAST_RANGE = "breast range"
"""How the grey values were windowed where the header does not say, or is not asked."""
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


class Voi(NamedTuple):
    """A table of display values, 0 black and 1 white, before any inversion."""

    shown: Values
    name: str


def tone(dataset: "Dataset", stored: NDArray[Any], layout: "Layout", policy: VoiPolicy) -> Tone | None:
    """Return the display values of (rows, cols) bit patterns, tissue bright; None: there is no breast to show.

    ValueError where the header's tables or windows show nothing. PS3.3 C.11.1, C.11.2; C.7.6.3.1.2 (MONOCHROME1 is
    inverted after the VOI); C.7.5.1.1.2 (padding is background).
    """
    values = stored_values(layout, stored.dtype.itemsize)
    modality = modality_values(dataset, values)
    voi = _voi(dataset, modality, policy)
    inverted, odd = polarity(dataset)
    table = _table(voi.shown, inverted=inverted)
    padding = _is_padding(dataset, values)
    table[padding] = 0
    step = max(1, min(stored.shape) // SAMPLES_A_SIDE)
    sample = stored[::step, ::step]
    if is_inverted(table[sample]):
        table, odd = WHITE - table, (*odd, "inverted_tag")
        table[padding] = 0
    # What was decoded is looked up in place: new memory for 14 Mpx costs as much as the look-up itself.
    into = {"dst": stored} if stored.flags.writeable and stored.dtype == np.uint16 else {}
    pixels = np.asarray(cv2.LUT(stored, table, **into), np.uint16)
    if voi.name == BREAST_RANGE:
        odd = (*odd, "no_window") if policy != "breast" else odd
        limits = breast_range(pixels)
        if limits is None:
            return None
        stretched = (np.arange(WHITE + 1) - limits[0]) / max(limits[1] - limits[0], 1.0)
        pixels = np.asarray(cv2.LUT(pixels, _table(stretched), dst=pixels), np.uint16)
    return Tone(pixels, voi.name, (*odd, *["saturated"] * is_saturated(pixels[::step, ::step])))


def stored_values(layout: "Layout", itemsize: int) -> NDArray[np.int64]:
    """Return the value that each bit pattern stands for: the stored bits up to the high bit, the top one its sign."""
    patterns = np.arange(2 ** (8 * itemsize))
    values = patterns >> (layout.high_bit + 1 - layout.bits) & (2**layout.bits - 1)
    return values - (values >> (layout.bits - 1) << layout.bits) if layout.signed else values


def polarity(dataset: "Dataset") -> tuple[bool, tuple[str, ...]]:
    """Return whether large values are dark, and what is odd about it: PresentationLUTShape says it too, C.11.6.1.2."""
    inverted = header.text(dataset, "PhotometricInterpretation").strip() == "MONOCHROME1"
    shape = header.text(dataset, "PresentationLUTShape").strip()
    conflict = shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted
    return inverted, ("polarity_tags_differ",) * conflict


def is_inverted(sample: NDArray[Any]) -> bool:
    """Return whether a display picture has its tissue dark: a bright, even background with next to nothing brighter.

    The background is looked for along the left and the right border, inside any film edge: one of them has none of
    the breast. An even dark border settles that the picture is as it should be.
    """
    rows, cols = (length // 16 for length in sample.shape)
    inner = sample[rows : sample.shape[0] - rows, cols : sample.shape[1] - cols].astype(np.float64) / WHITE
    depth = max(1, inner.shape[1] // 12)
    spread = [np.percentile(side, (5, 50, 95)) for side in (inner[:, :depth], inner[:, -depth:])]
    levels = [middle for low, middle, high in spread if high - low < 0.1]
    if not levels or min(levels) < 0.5:
        return False
    darker, brighter = (inner < levels[0] - 0.1).mean(), (inner > levels[0] + 0.1).mean()
    return bool(darker > 0.1 and brighter < 0.1 * darker)


def is_saturated(sample: NDArray[Any]) -> bool:
    """Return whether a noticeable share of a display picture's tissue has the one largest value."""
    rows, cols = (length // 16 for length in sample.shape)
    inner = sample[rows : sample.shape[0] - rows, cols : sample.shape[1] - cols]
    tissue = inner[inner > 0.1 * WHITE]
    return bool(len(tissue) and (tissue == tissue.max()).mean() > SATURATED_SHARE)


def breast_range(picture: NDArray[Any]) -> tuple[float, float] | None:
    """Return the values of a display picture to show as black and white: from background and breast, not from labels.

    Black is the image's darkest percentile inside any bright border, white the breast's 99.9th. None: no breast.
    """
    shown = small(picture)
    breast = breast_mask(shown)
    if not breast.mask.any():
        return None
    return float(np.percentile(shown[breast.inner], 1)), float(np.percentile(shown[breast.mask], 99.9))


def _table(shown: Values, *, inverted: bool = False) -> Table:
    clipped = np.clip(shown, 0, 1)
    return np.rint((1 - clipped if inverted else clipped) * WHITE).astype(np.uint16)


def _voi(dataset: "Dataset", modality: Values, policy: VoiPolicy) -> Voi:
    """Return what the first source of the policy makes of modality values."""
    for has, show in POLICIES[policy]:
        if has(dataset):
            with np.errstate(all="ignore"):  # what comes of it is checked
                voi = show(dataset, modality)
            if not np.isfinite(voi.shown).all() or np.ptp(np.clip(voi.shown, 0, 1)) < 1 / 256:
                raise ValueError("the window leaves no contrast")
            return voi
    raise AssertionError("the last source of every policy has something for all")


def _has_lut(dataset: "Dataset") -> bool:
    return bool(header.items(dataset, "VOILUTSequence"))


def _has_window(dataset: "Dataset") -> bool:
    return bool(header.text(dataset, "WindowCenter") and header.text(dataset, "WindowWidth"))


def _has_anything(_: "Dataset") -> bool:
    return True


def _through_lut(dataset: "Dataset", modality: Values) -> Voi:
    luts = header.items(dataset, "VOILUTSequence")
    index, name = _chosen("VOILUTSequence", [header.text(lut, "LUTExplanation") for lut in luts])
    return Voi(looked_up(luts[index], modality), name)


def _through_window(dataset: "Dataset", modality: Values) -> Voi:
    centres, widths = header.numbers(dataset, "WindowCenter"), header.numbers(dataset, "WindowWidth")
    names = header.text(dataset, "WindowCenterWidthExplanation").split("\\")
    index, name = _chosen("window", (names + [""] * len(centres))[: len(centres)])
    function = header.text(dataset, "VOILUTFunction").strip() or "LINEAR"
    if index >= len(widths):
        raise ValueError("a window without a width")
    shown = WINDOWS[function](modality, centres[index], widths[index])
    return Voi(shown, f"{name}{', ' if len(centres) > 1 else ' '}{function}")


def _through_breast(_: "Dataset", modality: Values) -> Voi:
    """Spread all values evenly; the breast's range is taken from the picture they give."""
    low = modality.min()
    return Voi((modality - low) / (modality.max() - low), BREAST_RANGE)


def _chosen(kind: str, explanations: list[str]) -> tuple[int, str]:
    """Which of several to take, and how to say so: the one explained as NORMAL, else the first."""
    if not explanations:
        raise ValueError(f"no {kind} can be read")
    normal = [name.strip().upper() == "NORMAL" for name in explanations]
    index = normal.index(True) if any(normal) else 0
    if len(explanations) == 1:
        return 0, kind
    return index, f"{kind} {index + 1} of {len(explanations)}{' NORMAL' * normal[index]}"


def _linear(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.2.1: a width of 1 is a threshold."""
    if width < 1:
        raise ValueError("the width of a LINEAR window is at least 1")
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.2."""
    return (values - centre) / _positive(width) + 0.5


def _sigmoid(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.1."""
    return 1 / (1 + np.exp(-4 * (values - centre) / _positive(width)))


def _positive(width: float) -> float:
    if width <= 0:
        raise ValueError("the width of a window is above 0")
    return width


WINDOWS: Mapping[str, Callable[[Values, float, float], Values]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}
_Source = tuple[Callable[["Dataset"], bool], Callable[["Dataset", Values], Voi]]
_LUT: _Source = (_has_lut, _through_lut)
_WINDOW: _Source = (_has_window, _through_window)
_BREAST: _Source = (_has_anything, _through_breast)
POLICIES: Mapping[VoiPolicy, tuple[_Source, ...]] = {
    "header": (_LUT, _WINDOW, _BREAST),
    "window": (_WINDOW, _LUT, _BREAST),
    "breast": (_BREAST,),
}


def _is_padding(dataset: "Dataset", stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values are padding, PS3.3 C.7.5.1.1.2; a value written in the other signedness means the same bits."""
    first = header.number(dataset, "PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, bool)
    last = header.number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    if stored.min() < 0 and low > stored.max():
        low, high = low - 2**16, high - 2**16
    return (stored >= low) & (stored <= high)
