"""Views in memory: a plain breast of known grey values, and phantoms that are drawn once."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.options import PhantomOptions
from glam.phantom.pair import Pair, draw_pair
from glam.view import WHITE, Side, View, ViewName

PHANTOM = PhantomOptions(px_mm=0.48)


@cache
def phantom_pair(seed: int = 1, *, laterality: Side = "L", options: PhantomOptions = PHANTOM) -> Pair:
    """A phantom breast from both sides."""
    return draw_pair(seed, options, laterality=laterality)


def phantom_view(name: ViewName, *, seed: int = 1, options: PhantomOptions = PHANTOM) -> View:
    """A view of a left phantom breast."""
    pair = phantom_pair(seed, options=options)
    return view_of(pair.cc if name == "CC" else pair.mlo, FrameConfig())


def plain_breast(
    view: ViewName = "CC", *, shift: int = 0, depth: int = 300, slope: float = 0.002, spacing_mm: float | None = None
) -> View:
    """Half an ellipse without nipple and muscle, its chest wall `shift` px from the left; grey is 0.3 + slope * x."""
    y, x = np.mgrid[:600, :500] + 0.5
    inside = ((x - shift) / depth) ** 2 + ((y - 310) / 250) ** 2 < 1
    grey = (np.where(inside, 0.3 + slope * x, 0) * WHITE).astype(np.uint16)
    return View(pixels=grey, view=view, laterality="L", spacing_mm=spacing_mm and (spacing_mm, spacing_mm))


def with_pixels(view: View, change: Callable[[np.ndarray], np.ndarray], **changes: Any) -> View:
    """The view with its pixels changed by a function, and other fields replaced."""
    return replace(view, pixels=np.ascontiguousarray(change(view.pixels)), **changes)
