"""Late interaction over slices: two slices at one AP position are compared region by region, as ColBERT does texts.

It is not in the papers. Eq. 4 contrasts a region with the mean of what it attended to, which can be told by the
breast's texture from anywhere in the slice; here each region must find its like.
"""

import torch
from torch import Tensor

from glam_train.methods.losses import symmetric_nce


def slice_likeness(regions_cc: Tensor, regions_mlo: Tensor, *, best_regions: int | None) -> Tensor:
    """Likeness of every breast's CC slice to every breast's MLO slice at the same position: (col, batch, batch).

    regions: (batch, row * col, dim) unit vectors. A region's match is the best cosine among the other slice's regions;
    the likeness is the mean match of the `best_regions` best-matched regions (None: of all), both ways averaged.
    """
    side = round(regions_cc.shape[1] ** 0.5)
    grids = (view.unflatten(1, (side, side)) for view in (regions_cc, regions_mlo))  # (batch, row, col, dim)
    cc, mlo = (grid.permute(2, 0, 1, 3) for grid in grids)  # (col, batch, row, dim)
    cosines = torch.einsum("cird,cjsd->cijrs", cc, mlo)  # (col, batch_cc, batch_mlo, row_cc, row_mlo)
    from_cc, from_mlo = cosines.amax(dim=4), cosines.amax(dim=3)  # (col, batch_cc, batch_mlo, row)
    return (_mean_of_best(from_cc, best_regions) + _mean_of_best(from_mlo, best_regions)) / 2


def _mean_of_best(matches: Tensor, count: int | None) -> Tensor:
    if count is None or count >= matches.shape[-1]:
        return matches.mean(dim=-1)
    return matches.topk(count, dim=-1).values.mean(dim=-1)


def late_interaction_loss(
    regions_cc: Tensor, regions_mlo: Tensor, scale: Tensor | float, *, best_regions: int | None = 3
) -> Tensor:
    """Contrast each slice with the same slice of the other breasts, both ways; the mean over slices."""
    return symmetric_nce(scale * slice_likeness(regions_cc, regions_mlo, best_regions=best_regions))
