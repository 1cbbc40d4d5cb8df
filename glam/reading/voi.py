"""The sources of a display range: VOI LUTs, windows, and the policies that put them in order. PS3.3 C.11.2."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glam.config import VoiPolicy
from glam.reading import header
from glam.reading.luts import Values, table_of, through, used_bits

if TYPE_CHECKING:
    from pydicom import Dataset

BREAST_RANGE = "breast range"
"""The grey values are spread over the breast's own range."""
IMAGE_RANGE = "image range"
"""The grey values are spread from the darkest to the brightest pixel."""
LEAST_CONTRAST = 1 / 256
"""Share of the grey scale between darkest and brightest value below which a source cannot be used."""
TOO_WIDE = 0.5
"""Share of the grey scale below which a source is reported to leave most of it unused (`window_too_wide`)."""


class Voi(NamedTuple):
    """A display value for each modality value, 0 black and 1 white, before any inversion."""

    display: Values
    name: str
    """Name of the source."""
    codes: tuple[str, ...] = ()
    """Codes of findings about the source."""


VoiSource = Callable[["Dataset", Values], Iterator[Voi | None]]
"""The windows or VOI LUTs of a header, the best first; None for one that cannot be used."""


class Policy(NamedTuple):
    """Order of the sources of a display range."""

    sources: tuple[VoiSource, ...]
    fallback: str
    """Range to spread the values over where no source can be used."""
    stretched: bool = False
    """The display values of a source are spread over the image's range, too."""


def voi_of(dataset: "Dataset", modality: Values, policy: Policy) -> Voi:
    """Return the display values of modality values by the first source of a policy that can be used.

    These cannot: a table without entries, a window without a number or a width, an unknown function, a source without
    contrast. Where no source can be used, the values are spread evenly, named after the fallback.
    """
    passed_over: tuple[str, ...] = ()
    with np.errstate(all="ignore"):  # values that are not finite are checked for
        for voi in (candidate for source in policy.sources for candidate in source(dataset, modality)):
            contrast = 0.0 if voi is None else _contrast(voi.display)
            if voi is not None and contrast >= LEAST_CONTRAST:
                too_wide = ("window_too_wide",) if contrast < TOO_WIDE else ()
                name = f"{voi.name}, {policy.fallback}" if policy.stretched else voi.name
                return Voi(voi.display, name, (*voi.codes, *passed_over, *too_wide))
            passed_over = ("voi_passed_over",)
    evenly = (modality - modality.min()) / np.ptp(modality)
    return Voi(evenly, policy.fallback, (*passed_over, "no_window") if policy.sources else ())


def _contrast(display: Values) -> float:
    """Return the share of the grey scale between the darkest and the brightest value; 0 for values not finite."""
    return float(np.ptp(np.clip(display, 0, 1))) if np.isfinite(display).all() else 0.0


def _luts(dataset: "Dataset", modality: Values) -> Iterator[Voi | None]:
    luts = header.items(dataset, "VOILUTSequence")
    for index, name in _in_order("VOILUTSequence", [header.text(lut, "LUTExplanation") for lut in luts]):
        table = table_of(luts[index], "VOILUTSequence", modality)
        if table is None:
            yield None
            continue
        bits = used_bits(table)
        differs = table.is_swapped or bits != table.bits
        yield Voi(through(table, modality) / (2.0**bits - 1), name, ("lut_differs",) if differs else ())


def _windows(dataset: "Dataset", modality: Values) -> Iterator[Voi | None]:
    centres, widths = header.decimals(dataset, "WindowCenter"), header.decimals(dataset, "WindowWidth")
    if not centres or not widths:
        return
    names = header.text(dataset, "WindowCenterWidthExplanation").split("\\")
    function = header.text(dataset, "VOILUTFunction").strip(" \0").upper() or "LINEAR"
    for index, name in _in_order("window", (names + [""] * len(centres))[: len(centres)]):
        centre, width = centres[index], widths[index] if index < len(widths) else math.nan
        display = _window(modality, centre, width, function)
        yield None if display is None else Voi(display, f"{name}{', ' if len(centres) > 1 else ' '}{function}")


def _in_order(kind: str, explanations: list[str]) -> list[tuple[int, str]]:
    """Return index and name of each of several windows or tables, those explained as NORMAL first."""
    if len(explanations) == 1:
        return [(0, kind)]
    normal = [explanation.strip(" \0").upper() == "NORMAL" for explanation in explanations]
    order = sorted(range(len(explanations)), key=lambda index: not normal[index])
    return [
        (index, f"{kind} {index + 1} of {len(explanations)}{' NORMAL' if normal[index] else ''}") for index in order
    ]


def _window(modality: Values, centre: float, width: float, function: str) -> Values | None:
    """Return the display values of a window; None where it cannot be used."""
    formula = WINDOWS.get(function)
    if formula is None or not math.isfinite(centre) or not math.isfinite(width) or width <= 0:
        return None
    if function == "LINEAR" and width < 1:  # less than LINEAR allows; written where the slope is small
        display = _linear_exact(modality, centre, width)
        return display if len(np.unique(np.clip(display, 0, 1))) > 3 else None
    return formula(modality, centre, width)


def _linear(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.2.1: a width of 1 is a threshold."""
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.2."""
    return (values - centre) / width + 0.5


def _sigmoid(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.1."""
    return 1 / (1 + np.exp(-4 * (values - centre) / width))


WINDOWS: Mapping[str, Callable[[Values, float, float], Values]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}
POLICIES: Mapping[VoiPolicy, Policy] = {
    "header": Policy((_luts, _windows), BREAST_RANGE),
    "window": Policy((_windows, _luts), BREAST_RANGE),
    "breast": Policy((), BREAST_RANGE),
    "voi_lut": Policy((_luts, _windows), IMAGE_RANGE, stretched=True),
    "minmax": Policy((), IMAGE_RANGE, stretched=True),
}
