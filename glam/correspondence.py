"""Where the model looks in the other view, against where it should: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np

from glam.attention import OTHER, Attention, regions_of_patches
from glam.frame import Frame, cells_of, inside_square
from glam.view import ViewKey


class Queries(NamedTuple):
    """Points of one view whose place in the other view is known, and what the model answers for them."""

    cells: np.ndarray  # (point, 2) row and col of the region the point lies in, by geometry alone
    scores: np.ndarray  # (point, side) the composed map in the other view, summed over each of its rows
    true_rows: np.ndarray  # (point,) the row the point really lies in there


def row_bands(pooling: np.ndarray, *, grid: int, side: int) -> np.ndarray:
    """How a region's pooling weight (region, patch) spreads over the rows of regions: (region, side)."""
    band = ((np.arange(grid) + 0.5) * side / grid).astype(int)  # by the centre of a row of patches
    spread = np.zeros((grid, side))
    spread[np.arange(grid), band] = 1
    return pooling.reshape(-1, grid, grid).sum(axis=2) @ spread


def row_scores(attention: Attention, query: ViewKey, regions: np.ndarray, *, grid: int) -> np.ndarray:
    """The composed map of each query region (row, col), binned to the rows of the other view: (query, side)."""
    side = attention.side
    bands = row_bands(attention.pooling(OTHER[query]), grid=grid, side=side).reshape(side, side, side)
    rows, cols = regions.T
    weights = attention.slices(query)[cols, rows]  # (query, row_key)
    return np.einsum("qk,qkb->qb", weights, bands.transpose(1, 0, 2)[cols])  # bands by col: (col, row_key, band)


def query_regions(attention: Attention, view: ViewKey, points: np.ndarray, frame: Frame, *, grid: int) -> np.ndarray:
    """Region with the most pooling weight at the patch under each point: (point, 2) row and col."""
    return regions_of_patches(attention, view, cells_of(points, frame, grid), grid=grid)


def queries(
    attention: Attention,
    query: ViewKey,
    frames: dict[ViewKey, Frame],
    points: dict[ViewKey, np.ndarray],
    *,
    grid: int,
) -> Queries:
    """Score the points that both views show. `points`: stored pixels (point, 2) of the same places in each view."""
    other = OTHER[query]
    seen = inside_square(points[query], frames[query]) & inside_square(points[other], frames[other])
    here, there = points[query][seen], points[other][seen]
    regions = query_regions(attention, query, here, frames[query], grid=grid)
    return Queries(
        cells=cells_of(here, frames[query], attention.side),
        scores=row_scores(attention, query, regions, grid=grid),
        true_rows=cells_of(there, frames[other], attention.side)[:, 0],
    )
