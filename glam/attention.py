"""What the alignment module attends to, as maps over patches: composing, choosing a query, naming places."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from glam.frame import Frame, cell_polygon, cells_of, inside_square
from glam.view import ViewKey

Direction = Literal["cc_to_mlo", "mlo_to_cc"]
OTHER: dict[ViewKey, ViewKey] = {"cc": "mlo", "mlo": "cc"}
DIRECTIONS: dict[ViewKey, Direction] = {"cc": "cc_to_mlo", "mlo": "mlo_to_cc"}


@dataclass(frozen=True)
class Attention:
    """Region pooling and slice attention of one pair, means over the heads; every row sums to 1."""

    cc_to_mlo: np.ndarray
    """(col, row_query, row_key): a region of CC over the regions of MLO in its AP slice."""
    mlo_to_cc: np.ndarray
    pooling_cc: np.ndarray
    """(region, patch), regions row-major."""
    pooling_mlo: np.ndarray

    def slices(self, query: ViewKey) -> np.ndarray:
        """(col, row_query, row_key) of the queries of one view."""
        return {"cc": self.cc_to_mlo, "mlo": self.mlo_to_cc}[query]

    def pooling(self, view: ViewKey) -> np.ndarray:
        """(region, patch) of one view."""
        return {"cc": self.pooling_cc, "mlo": self.pooling_mlo}[view]

    @property
    def side(self) -> int:
        """Regions along a side; a column of them is one AP slice."""
        return self.cc_to_mlo.shape[0]

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return math.isqrt(self.pooling_cc.shape[1])


class Region(NamedTuple):
    """A region of one view."""

    view: ViewKey
    row: int
    col: int


class HotCell(NamedTuple):
    """A patch that a map lights, and its corners in stored DICOM pixels (x, y)."""

    row: int
    col: int
    weight: float
    polygon: np.ndarray


def compose_map(attention: Attention, *, direction: Direction, row: int, col: int, grid: int) -> np.ndarray:
    """Map (grid, grid) over the other view's patches: slice attention of region (row, col) times its keys' pooling.

    It sums to 1, for both factors do.
    """
    query: ViewKey = "cc" if direction == "cc_to_mlo" else "mlo"
    keys = np.arange(attention.side) * attention.side + col  # the regions of the AP slice, by row
    return (attention.slices(query)[col, row] @ attention.pooling(OTHER[query])[keys]).reshape(grid, grid)


def query_map(attention: Attention, query: Region, *, grid: int) -> np.ndarray:
    """`compose_map` of a region."""
    return compose_map(attention, direction=DIRECTIONS[query.view], row=query.row, col=query.col, grid=grid)


def patch_at(frame: Frame, point: tuple[float, float], *, grid: int) -> tuple[int, int]:
    """Patch (row, col) under a stored pixel (x, y); ValueError outside the square."""
    if not inside_square([point], frame)[0]:
        raise ValueError(f"point {point[0]:g},{point[1]:g} lies outside what the model sees of the image")
    row, col = cells_of([point], frame, grid)[0].tolist()
    return row, col


def region_of_patch(attention: Attention, view: ViewKey, patch: tuple[int, int], *, grid: int) -> Region:
    """Region with the most pooling weight at a patch (row, col)."""
    row, col = regions_of_patches(attention, view, np.array([patch]), grid=grid)[0].tolist()
    return Region(view, row, col)


def regions_of_patches(attention: Attention, view: ViewKey, patches: np.ndarray, *, grid: int) -> np.ndarray:
    """Region with the most pooling weight at each patch (n, 2): its row and col, (n, 2)."""
    best = attention.pooling(view)[:, patches[:, 0] * grid + patches[:, 1]].argmax(axis=0)
    return np.stack(np.divmod(best, attention.side), axis=1)


def concentration(weights: np.ndarray) -> np.ndarray:
    """0 where the last axis is spread evenly, 1 where all of it lies in one place: 1 - entropy / log(length)."""
    length = weights.shape[-1]
    if length == 1:
        return np.ones(weights.shape[:-1])
    logs = np.log(np.clip(weights, np.finfo(np.float32).tiny, None))
    return 1 + (weights * logs).sum(-1) / np.log(length)


def tissue_patches(pixels: np.ndarray, *, grid: int) -> np.ndarray:
    """Share of tissue of every patch, (patch,): preparation leaves the background at exactly 0."""
    size = pixels.shape[0] // grid
    blocks = (pixels[: grid * size, : grid * size] > 0).reshape(grid, size, grid, size)
    return blocks.mean((1, 3)).ravel()


def default_query(attention: Attention, tissue: dict[ViewKey, np.ndarray]) -> Region:
    """Region, of either view, whose slice attention is the most concentrated inside the breast.

    The score of a region is the concentration of its slice attention times the share of its pooling that lies on
    tissue times the share of its composed map that lies on the other view's tissue.
    """
    side = attention.side
    scores = {}
    for view, other in OTHER.items():
        own = (attention.pooling(view) @ tissue[view]).reshape(side, side).T  # (col, row)
        keys = (attention.pooling(other) @ tissue[other]).reshape(side, side).T  # (col, row_key)
        slices = attention.slices(view)  # (col, row_query, row_key)
        scores[view] = concentration(slices) * own * np.einsum("crk,ck->cr", slices, keys)
    view: ViewKey = max(scores, key=lambda key: scores[key].max())
    col, row = np.unravel_index(scores[view].argmax(), (side, side))
    return Region(view, int(row), int(col))


def return_query(attention: Attention, query: Region, *, grid: int) -> Region:
    """Region of the other view where the query's map is hottest: the way back."""
    heat = query_map(attention, query, grid=grid)
    row, col = np.unravel_index(heat.argmax(), heat.shape)
    return region_of_patch(attention, OTHER[query.view], (int(row), int(col)), grid=grid)


def hottest_cells(heat: np.ndarray, frame: Frame, *, count: int = 5) -> tuple[HotCell, ...]:
    """Return the patches of a (grid, grid) map with the most weight, hottest first, as polygons in stored pixels."""
    grid = heat.shape[0]
    order = np.argsort(heat, axis=None)[::-1][:count]
    places = [(int(index) // grid, int(index) % grid) for index in order]
    return tuple(HotCell(row, col, float(heat[row, col]), cell_polygon(frame, grid, row, col)) for row, col in places)
