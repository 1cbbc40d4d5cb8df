"""Region pooling and patch-to-slice attention: what lies in an AP slice of one view lies in that slice of the other."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glam.config import AlignmentConfig


class Regions(NamedTuple):
    """The regions of a view, row-major, and where each was pooled from."""

    vectors: Tensor  # (batch, region, dim)
    weights: Tensor  # (batch, region, patch), mean of the heads; rows sum to 1


class Match(NamedTuple):
    """What the other view holds for each region of this one."""

    aligned: Tensor  # (batch, region, dim)
    weights: Tensor  # (batch, col, row_query, row_key), mean of the heads; rows sum to 1


class Alignment(NamedTuple):
    """What GLAM says of a pair; regions are row-major, vectors have unit length."""

    regions_cc: Tensor  # (batch, region, dim): the queries
    regions_mlo: Tensor  # (batch, region, dim)
    aligned_cc: Tensor  # (batch, region, dim): for each CC region, what its slice of MLO holds of it
    aligned_mlo: Tensor  # (batch, region, dim): for each MLO region, what its slice of CC holds of it
    pooling_cc: Tensor  # (batch, region, patch)
    pooling_mlo: Tensor  # (batch, region, patch)
    cc_to_mlo: Tensor  # (batch, col, row_query, row_key)
    mlo_to_cc: Tensor  # (batch, col, row_query, row_key)


def unit_vectors(vectors: Tensor) -> Tensor:
    """L2-normalise the last axis, in fp32 at least."""
    precise = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return F.normalize(precise, dim=-1, eps=1e-6)  # torch's own 1e-12 is lost in fp16


class ProjectedAttention(nn.Module):
    """Multi-head attention as released: what comes out is projected, so that it need not look like what was seen."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, queries: Tensor, keys: Tensor, preference: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, query, dim) and (batch, key, dim) -> values (batch, query, dim), weights (batch, query, key)."""
        return self.attn(queries, keys, keys, attn_mask=preference)


class PlainAttention(nn.Module):
    """Attention whose outcome is the weighted mean of the keys themselves: the map is all there is to learn.

    Queries and keys are compared through projections that start as the identity.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        for projection in (self.query, self.key):
            nn.init.eye_(projection.weight)

    def forward(self, queries: Tensor, keys: Tensor, preference: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, query, dim) and (batch, key, dim) -> values (batch, query, dim), weights (batch, query, key)."""
        query = self.query(queries).unflatten(-1, (self.heads, -1))  # (batch, query, head, dim / head)
        key = self.key(keys).unflatten(-1, (self.heads, -1))  # (batch, key, head, dim / head)
        logits = torch.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
        if preference is not None:
            logits = logits + preference
        weights = logits.softmax(dim=-1).mean(dim=1)  # (batch, query, key)
        return weights @ keys, weights


ATTENTIONS: dict[str, type[ProjectedAttention] | type[PlainAttention]] = {
    "projected": ProjectedAttention,
    "plain": PlainAttention,
}


class RegionPooling(nn.Module):
    """Free pooling, as released: learned queries attend to all patches, and nothing ties a query to a place."""

    preference: Tensor | None  # (region, patch), added to the attention logits

    def __init__(self, config: AlignmentConfig, *, dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(config.num_regions, dim))
        self.ln_q = nn.LayerNorm(dim)
        self.ln_k = nn.LayerNorm(dim)
        self.attention = ATTENTIONS[config.values](dim, config.pooling_heads)
        self.register_buffer("preference", None)

    def queries(self) -> Tensor:
        """One query a region: (region, dim)."""
        return self.query

    def forward(self, patches: Tensor) -> Regions:
        """(batch, patch, dim) -> the regions of each view."""
        queries = self.ln_q(self.queries()).expand(patches.shape[0], -1, -1)  # (batch, region, dim)
        vectors, weights = self.attention(queries, self.ln_k(patches), self.preference)
        return Regions(vectors=vectors, weights=weights)


class AnchoredPooling(RegionPooling):
    """Query (row, col) knows its place in the square and attends to the patches around it, most to the nearest."""

    position: Tensor

    def __init__(self, config: AlignmentConfig, *, dim: int, grid: int) -> None:
        super().__init__(config, dim=dim)
        self.register_buffer("position", position_code(config.side, dim), persistent=False)
        self.register_buffer("preference", centre_preference(config, grid), persistent=False)

    def queries(self) -> Tensor:
        """One query a region: (region, dim)."""
        return self.query + self.position


class AveragePooling(nn.Module):
    """The mean of the patches of each place; patches beyond a whole number of them a region are left out.

    That is the remainder rule of the released code (at 37 x 37 patches and 9 x 9 regions, the last row and column).
    """

    weights: Tensor  # (region, patch)

    def __init__(self, config: AlignmentConfig, *, grid: int) -> None:
        super().__init__()
        self.register_buffer("weights", average_weights(config.side, grid), persistent=False)

    def forward(self, patches: Tensor) -> Regions:
        """(batch, patch, dim) -> the regions of each view."""
        weights = self.weights.to(patches.dtype)
        return Regions(vectors=weights @ patches, weights=weights.expand(patches.shape[0], -1, -1))


class SliceAttention(nn.Module):
    """Eq. 3: every region of a slice attends to the same slice of the other view."""

    def __init__(self, config: AlignmentConfig, *, dim: int) -> None:
        super().__init__()
        self.side = config.side
        self.attention = ATTENTIONS[config.values](dim, config.slice_heads)

    def forward(self, queries: Tensor, keys: Tensor) -> Match:
        """Two times (batch, row * col, dim): row i of a column is matched with the rows of the other view's column."""
        aligned, weights = self.attention(columns(queries, self.side), columns(keys, self.side))
        return Match(aligned=regions(aligned, self.side), weights=weights.unflatten(0, (-1, self.side)))


class WideAttention(nn.Module):
    """Every region attends to all regions of the other view, those of near slices most, or to all alike.

    The weights that come out are those of the rows, whatever slice they lie in.
    """

    preference: Tensor  # (region_query, region_key), added to the attention logits

    def __init__(self, config: AlignmentConfig, *, dim: int) -> None:
        super().__init__()
        self.side = config.side
        self.attention = ATTENTIONS[config.values](dim, config.slice_heads)
        self.register_buffer("preference", slice_preference(config), persistent=False)

    def forward(self, queries: Tensor, keys: Tensor) -> Match:
        """Two times (batch, row * col, dim)."""
        aligned, weights = self.attention(queries, keys, self.preference)
        grid = (self.side, self.side)
        of_rows = weights.unflatten(2, grid).sum(dim=3)  # (batch, region_query, row_key)
        return Match(aligned=aligned, weights=of_rows.unflatten(1, grid).transpose(1, 2))


class AlignmentModule(nn.Module):
    """From the patches of a CC and MLO pair to regions, to what each finds in its slice of the other view."""

    def __init__(self, config: AlignmentConfig, *, dim: int, grid: int) -> None:
        super().__init__()
        self.pool_cc = _pooling(config, dim, grid)
        self.pool_mlo = _pooling(config, dim, grid)
        self.norm = nn.LayerNorm(dim)
        attention = SliceAttention if config.keys == "slice" else WideAttention
        self.cc_to_mlo = attention(config, dim=dim)
        self.mlo_to_cc = attention(config, dim=dim)

    def forward(self, patches_cc: Tensor, patches_mlo: Tensor) -> Alignment:
        """Two times (batch, patch, dim), LayerNormed, row-major."""
        pooled_cc, pooled_mlo = self.pool_cc(patches_cc), self.pool_mlo(patches_mlo)
        regions_cc, regions_mlo = self.norm(pooled_cc.vectors), self.norm(pooled_mlo.vectors)
        match_cc = self.cc_to_mlo(regions_cc, regions_mlo)
        match_mlo = self.mlo_to_cc(regions_mlo, regions_cc)
        return Alignment(
            regions_cc=unit_vectors(regions_cc),
            regions_mlo=unit_vectors(regions_mlo),
            aligned_cc=unit_vectors(match_cc.aligned),
            aligned_mlo=unit_vectors(match_mlo.aligned),
            pooling_cc=pooled_cc.weights,
            pooling_mlo=pooled_mlo.weights,
            cc_to_mlo=match_cc.weights,
            mlo_to_cc=match_mlo.weights,
        )


def columns(of_view: Tensor, side: int) -> Tensor:
    """One sequence an AP slice: (batch, row * col, dim) -> (batch * col, row, dim)."""
    grid = of_view.unflatten(1, (side, side))  # (batch, row, col, dim)
    return grid.transpose(1, 2).flatten(0, 1)  # (batch * col, row, dim)


def regions(of_slices: Tensor, side: int) -> Tensor:
    """Back from `columns`: (batch * col, row, dim) -> (batch, row * col, dim)."""
    grid = of_slices.unflatten(0, (-1, side))  # (batch, col, row, dim)
    return grid.transpose(1, 2).flatten(1, 2)  # (batch, row * col, dim)


def average_weights(side: int, grid: int) -> Tensor:
    """Shares of the patches in each region: (side * side, grid * grid); ValueError for more regions than patches."""
    step = grid // side
    if step < 1:
        raise ValueError(f"{side} regions along a side cannot average {grid} patches: lower alignment.side")
    along = torch.zeros(side, grid)
    for region in range(side):
        along[region, region * step : (region + 1) * step] = 1 / step
    return torch.einsum("rp,cq->rcpq", along, along).flatten(2).flatten(0, 1)


def slice_preference(config: AlignmentConfig) -> Tensor:
    """What the distance of two slices adds to the logits of their regions: (region_query, region_key)."""
    col = torch.arange(config.side**2) % config.side
    if config.keys == "all":
        return torch.zeros(len(col), len(col))
    return -(col.unsqueeze(1) - col).square() / (2 * config.band**2)


def position_code(side: int, dim: int) -> Tensor:
    """Sines and cosines of the centres of a side x side grid: (side * side, dim), half for rows and half for cols."""
    if dim % 4:
        raise ValueError(f"a 2-D position code needs a width that is a multiple of 4, not {dim}")
    centre = (torch.arange(side) + 0.5) / side  # in units of the square's side
    frequency = math.pi * side ** torch.linspace(0, 1, dim // 4)  # half a wave a side to half a wave a region
    angle = torch.outer(centre, frequency)
    along = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, dim / 2)
    rows = along.unsqueeze(1).expand(-1, side, -1)
    cols = along.unsqueeze(0).expand(side, -1, -1)
    return torch.cat([rows, cols], dim=2).flatten(0, 1)


def centre_preference(config: AlignmentConfig, grid: int) -> Tensor:
    """What anchoring adds to the logits of region and patch: minus infinity beyond the window, (region, patch)."""
    seen = window_mask(config.side, grid, config.window)
    region = (torch.arange(config.side) + 0.5) / config.side
    patch = (torch.arange(grid) + 0.5) / grid
    distance = (region.unsqueeze(1) - patch).square() * config.side**2  # (side, grid), in regions, squared
    squared = distance[:, None, :, None] + distance[None, :, None, :]  # (row, col, patch row, patch col)
    flat = squared.flatten(2).flatten(0, 1)
    liking = torch.zeros_like(flat) if config.spread is None else -flat / (2 * config.spread**2)
    return liking.masked_fill(~seen, -torch.inf)


def window_mask(side: int, grid: int, window: float) -> Tensor:
    """Say which patches region (row, col) may see: (side * side, grid * grid) of bool.

    A patch is seen when its centre lies within `window` regions of the region's centre along both axes; where no
    centre does (more regions than patches, a narrow window), the nearest ones are seen.
    """
    region = (torch.arange(side) + 0.5) / side
    patch = (torch.arange(grid) + 0.5) / grid
    distance = (region.unsqueeze(1) - patch).abs()  # (side, grid), in units of the square's side
    reach = torch.clamp(distance.amin(dim=1, keepdim=True), min=window / side)
    near = distance <= reach + 1e-6
    seen = near[:, None, :, None] & near[None, :, None, :]  # (row, col, patch row, patch col)
    return seen.flatten(2).flatten(0, 1)


def _pooling(config: AlignmentConfig, dim: int, grid: int) -> RegionPooling | AveragePooling:
    if config.pooling == "average":
        return AveragePooling(config, grid=grid)
    if config.pooling == "anchored":
        return AnchoredPooling(config, dim=dim, grid=grid)
    return RegionPooling(config, dim=dim)
