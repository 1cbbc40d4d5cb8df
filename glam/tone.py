"""Grey values: the table that turns every stored value into a display value, 0 black to 65,535 white.

A table over the at most 65,536 stored values holds Modality LUT, VOI and inversion at once, so that a 14-Mpx image
costs one look-up a pixel.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glam.breast import breast_mask, small
from glam.dicom import WHITE
from glam.header import text

if TYPE_CHECKING:
    from pydicom import Dataset

Table = NDArray[np.uint16]
Range = tuple[float, float]


def tone_table(
    dataset: "Dataset", dtype: np.dtype[Any], tissue_range: Callable[[bool], Range | None]
) -> tuple[Table | None, str]:
    """Return the display value of every stored value, indexed by its bits as unsigned, and how it was windowed.

    `tissue_range` is asked for the stored range to show when the header has no window: None from it, None from here.
    PS3.3 C.11.2, C.7.6.3.1.2 (MONOCHROME1 is inverted after the VOI), C.7.5.1.1.2 (padding is background).
    """
    stored = _stored_values(dtype)
    inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if dataset.get("VOILUTSequence") or (text(dataset, "WindowCenter") and text(dataset, "WindowWidth")):
        shown, voi = _windowed(dataset, stored)
    else:
        limits = tissue_range(inverted)
        if limits is None:
            return None, "none"
        shown, voi = (stored - limits[0]) / max(limits[1] - limits[0], 1.0), "breast range"
    shown = np.clip(shown, 0, 1)
    table = np.rint((1 - shown if inverted else shown) * WHITE).astype(np.uint16)
    table[_padding(dataset, stored)] = 0
    return table, voi


def breast_range(raw: NDArray[Any], *, inverted: bool) -> Range | None:
    """Return the stored values to show as black and white, from background and breast, not from labels or strips.

    Black is the image's darkest percentile inside any bright border, white the breast's 99.9th. None: no breast.
    """
    picture = small(raw)
    shown = picture.max() - picture if inverted else picture
    breast = breast_mask(shown)
    if not breast.mask.any():
        return None
    inner = shown[breast.inner]
    low, high = np.percentile(inner, 1), np.percentile(shown[breast.mask], 99.9)
    if inverted:
        return float(picture.max() - high), float(picture.max() - low)
    return float(low), float(high)


def _stored_values(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Every value of an integer type, in the order of its bits read as unsigned."""
    return np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype).astype(np.int64)


def _windowed(dataset: "Dataset", stored: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return display values, 0 black and 1 white, of stored ones; ValueError where they show nothing."""
    with np.errstate(all="ignore"):  # what comes of it is checked
        shown, voi = _through_window(dataset, stored)
    if not np.isfinite(shown).all() or np.ptp(np.clip(shown, 0, 1)) < 1 / 256:
        raise ValueError("the window leaves no contrast")
    return shown, voi


def _through_window(dataset: "Dataset", stored: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Apply the Modality LUT, then the VOI LUT or else the window."""
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    modality = np.asarray(apply_modality_lut(stored, dataset))
    if dataset.get("VOILUTSequence"):
        return _looked_up(dataset.VOILUTSequence[0], modality), "VOILUTSequence"
    low, high = _output_range(dataset)
    values = np.asarray(apply_windowing(modality, dataset, _normal(dataset)), np.float64)
    return (values - low) / np.float64(high - low), f"window {dataset.get('VOILUTFunction') or 'LINEAR'}"


def _looked_up(item: "Dataset", modality: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a VOI LUT, PS3.3 C.11.2.1.1; pydicom's own wraps around in a table of 8 bits and over 256 entries."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    data = item.LUTData
    packed = np.uint8 if isinstance(data, bytes) and len(data) == (entries or 2**16) else np.dtype("<u2")
    table = np.frombuffer(data, packed) if isinstance(data, bytes) else np.asarray(data)
    index = np.clip(np.rint(modality) - first, 0, len(table) - 1).astype(np.intp)
    return table[index] / (2.0**bits - 1)


def _output_range(dataset: "Dataset") -> Range:
    """Return what a window maps to: the range of the stored bits, rescaled, as pydicom does. PS3.3 C.11.2.1.2."""
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    low = -(2 ** (bits - 1)) if signed else 0
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return low * slope + intercept, (low + 2**bits - 1) * slope + intercept


def _normal(dataset: "Dataset") -> int:
    """Which of several windows to take: the one explained as NORMAL, else the first."""
    names = dataset.get("WindowCenterWidthExplanation") or ()
    names = [names] if isinstance(names, str) else [str(name).upper() for name in names]
    return names.index("NORMAL") if "NORMAL" in names else 0


def _padding(dataset: "Dataset", stored: NDArray[Any]) -> NDArray[np.bool_]:
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, bool)
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit", first))
    return (stored >= min(first, last)) & (stored <= max(first, last))
