"""Attention as transparent pictures to lay over a viewer's own image; nothing of the mammogram is in them."""

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from glam.attention import OTHER, Attention, Region, default_query, query_map, return_query, tissue_patches
from glam.drawing.paint import heat_colours, heat_opacity, heat_values
from glam.frame import Frame
from glam.view import ViewKey

LONGER_SIDE = 512
"""Of an overlay, in pixels: a patch of the model has far more of the stored image than one of them."""
EVEN_FACTOR = 3
"""The last colour is at least this many times an even spread: noise must not look like a finding."""


class Overlay(NamedTuple):
    """Where the model looks from a region of one view, as a picture to stretch over the other view as stored."""

    query: Region
    over: ViewKey
    """The view that the picture belongs on."""
    width: int
    height: int
    top: float
    """Share of the attention that has the last colour."""
    png: bytes
    """RGBA; transparent where the model does not look."""


def overlays(
    attention: Attention, squares: Mapping[ViewKey, np.ndarray], frames: Mapping[ViewKey, Frame]
) -> tuple[Overlay, Overlay]:
    """Draw the composed map of the region whose attention is most concentrated in the breast, and the one back.

    `squares`: what the model saw, (S, S) each.
    """
    grid = attention.grid
    tissue: dict[ViewKey, np.ndarray] = {}
    for key, square in squares.items():
        tissue[key] = tissue_patches(square, grid=grid)
    query = default_query(attention, tissue)
    back = return_query(attention, query, grid=grid)
    maps = {region: query_map(attention, region, grid=grid) for region in (query, back)}
    top = heat_top(attention, *maps.values())
    there, again = (_overlay(region, heat, frames[OTHER[region.view]], top) for region, heat in maps.items())
    return there, again


def heat_top(attention: Attention, *maps: np.ndarray) -> float:
    """Return the share of attention that gets the last colour in pictures of these maps."""
    even = attention.side / attention.grid**2  # the share of a patch, were one AP slice evenly lit
    return float(max(EVEN_FACTOR * even, *(heat.max() for heat in maps)))


def _overlay(query: Region, heat: np.ndarray, frame: Frame, top: float) -> Overlay:
    factor = min(1.0, LONGER_SIDE / max(frame.rows, frame.cols))
    width, height = max(round(frame.cols * factor), 1), max(round(frame.rows * factor), 1)
    values = heat_values(heat, frame, (width, height), (width / frame.cols, height / frame.rows)) / top
    alpha = (255 * heat_opacity(values)).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.dstack([heat_colours(values), alpha])).save(file, "PNG")
    return Overlay(query, OTHER[query.view], width, height, top, file.getvalue())
