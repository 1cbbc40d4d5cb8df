"""The composed map of known places, in torch: what `glam.correspondence` scores, with a gradient.

A person who points at a place sees the composed map of the region that pools most from it (`glam.attention`), and the
evaluation bins that map to nine rows. The same is trained here, not the slice attention alone: a region pools from
beyond its own row, so that two of them may show one place, and free regions (the papers') have no row at all.
The gradient reaches the slice attention, the pooling of the view that is looked at, and the patches of both.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from glam.config import AlignmentConfig
from glam.model.alignment import Alignment


def composed_maps(alignment: Alignment, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the places of CC light in MLO, and those of MLO in CC: (batch, place, row) each, summing to 1.

    points: (batch, place, view, 2) x and y, 0..1 across the square; those outside are taken to its edge.
    """
    pooling_cc, pooling_mlo = alignment.pooling_cc.float(), alignment.pooling_mlo.float()
    side = alignment.cc_to_mlo.shape[-1]
    regions_cc = query_regions(pooling_cc, points[:, :, 0])
    regions_mlo = query_regions(pooling_mlo, points[:, :, 1])
    return (
        row_scores(alignment.cc_to_mlo.float(), row_bands(pooling_mlo, side), regions_cc),
        row_scores(alignment.mlo_to_cc.float(), row_bands(pooling_cc, side), regions_mlo),
    )


def cells_of(points: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Row and col of the side x side cell under points (..., 2), 0..1 across the square; the edge cell beyond it."""
    cells = (points * side).floor().long().clamp(0, side - 1)
    return cells[..., 1], cells[..., 0]


def place_rows(points: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The row of regions in which CC and MLO show each place: (batch, place) each."""
    rows = cells_of(points, side)[0]  # (batch, place, view)
    return rows[:, :, 0], rows[:, :, 1]


def seen_in_both(points: Tensor, config: AlignmentConfig) -> Tensor:
    """Say which places can be found: inside both squares, and in reach of the slice that is looked at; (batch, place).

    Augmentation moves a place out of the square, and its column away from that of the other view. Anchored regions
    see no farther than `window` regions: beyond, the map could only guess the row, and guessing is not to be learned.
    The evaluation keeps such places, for a person may point at them.
    """
    inside = ((points >= 0) & (points < 1)).flatten(2).all(dim=2)
    apart = (points[:, :, 0, 0] - points[:, :, 1, 0]).abs() * config.side
    reach = {"anchored": config.window, "average": 0.5, "free": math.inf}[config.pooling]
    return inside & (apart <= reach)


def query_regions(pooling: Tensor, points: Tensor) -> Tensor:
    """Region with the most pooling weight (batch, region, patch) at the patch under each point: (batch, place)."""
    grid = math.isqrt(pooling.shape[-1])
    rows, cols = cells_of(points, grid)
    patches = (rows * grid + cols).unsqueeze(1)  # (batch, 1, place)
    return torch.take_along_dim(pooling.detach(), patches, dim=2).argmax(dim=1)


def row_bands(pooling: Tensor, side: int) -> Tensor:
    """How a region's pooling weight (batch, region, patch) spreads over the rows of regions: (batch, region, side)."""
    grid = math.isqrt(pooling.shape[-1])
    bands = ((torch.arange(grid, device=pooling.device) + 0.5) * side / grid).long()  # by the centre of a patch row
    return pooling.unflatten(2, (grid, grid)).sum(dim=3) @ F.one_hot(bands, side).to(pooling.dtype)


def row_scores(slices: Tensor, bands: Tensor, regions: Tensor) -> Tensor:
    """Compose slice attention (batch, col, row_query, row_key) with the bands of the other view's regions.

    bands: (batch, region, row); regions: (batch, place), the query of each place. Returns (batch, place, row).
    """
    side = slices.shape[-1]
    rows, cols = regions // side, regions % side
    breast = torch.arange(len(slices), device=slices.device).unsqueeze(1)
    keys = bands.unflatten(1, (side, side)).transpose(1, 2)  # (batch, col, row_key, row)
    return torch.einsum("bpk,bpkr->bpr", slices[breast, cols, rows], keys[breast, cols])
