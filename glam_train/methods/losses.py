"""The losses as pure functions of tensors: Eq. 1, 2 and 4 of the paper, those of the released code, known places.

`scale` is an inverse temperature. Local vectors are (batch, region, dim), of unit length: `regions` are the queries of
a view, `aligned` what each found in its slice of the other view.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Denominator = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logarithm of Eq. 4's denominator from the logits of the positive (batch, region), of the other regions of its image
(batch, region, region), and of its position in the other images (batch, region, batch)."""
MAP_FLOOR = 1e-6
"""Share of an even map that is mixed into a map before its logarithm: a row without weight costs at most 14."""


def symmetric_nce(logits: Tensor) -> Tensor:
    """Cross-entropy along both axes of (n, n) or (group, n, n) logits whose diagonal holds the positives."""
    targets = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1])
    return (F.cross_entropy(logits.mT, targets) + F.cross_entropy(logits, targets)) / 2


def info_nce(anchors: Tensor, positives: Tensor, scale: Tensor | float) -> Tensor:
    """Eq. 1: each anchor against all positives, its own among them: (n, dim) unit vectors."""
    logits = scale * anchors @ positives.mT  # (n, n)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def view_loss(view_cc: Tensor, view_mlo: Tensor, scale: Tensor | float) -> Tensor:
    """Return the first term of Eq. 2: CC finds the MLO of its breast; (batch, joint) unit vectors."""
    return info_nce(view_cc, view_mlo, scale)


def image_text_loss(image_cc: Tensor, image_mlo: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Return the second term of Eq. 2: half of four, both views to the report and back; (batch, joint) unit vectors."""
    return symmetric_nce(scale * image_cc @ text.mT) + symmetric_nce(scale * image_mlo @ text.mT)


def cc_text_loss(image_cc: Tensor, image_mlo: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Return the half of `image_text_loss` that is of CC; MLO is never held against a text."""
    del image_mlo
    return symmetric_nce(scale * image_cc @ text.mT)


def global_loss(
    image_cc: Tensor, image_mlo: Tensor, text: Tensor, *, view_scale: Tensor | float, text_scale: Tensor | float
) -> Tensor:
    """Eq. 2, each of its two terms with an inverse temperature of its own."""
    return view_loss(image_cc, image_mlo, view_scale) + image_text_loss(image_cc, image_mlo, text, text_scale)


def with_positive(positive: Tensor, within: Tensor, across: Tensor) -> Tensor:
    """Return the logarithm of a denominator that holds the positive (Eq. 1)."""
    return torch.logaddexp(positive, torch.cat([within, across], dim=-1).logsumexp(dim=-1))


def without_positive(positive: Tensor, within: Tensor, across: Tensor) -> Tensor:
    """Return the logarithm of a denominator of negatives alone (Eq. 4 as printed)."""
    del positive
    return torch.cat([within, across], dim=-1).logsumexp(dim=-1)


def within_image_only(denominator: Denominator) -> Denominator:
    """Return a denominator without the same position of other images."""

    def narrowed(positive: Tensor, within: Tensor, across: Tensor) -> Tensor:
        return denominator(positive, within, across[..., :0])

    return narrowed


def local_view_loss(
    regions: Tensor, aligned: Tensor, scale: Tensor | float, denominator: Denominator = with_positive
) -> Tensor:
    """Eq. 4 of one view: a region against its own aligned vector, one softmax over two kinds of negatives.

    These are the aligned vectors of the other regions of its image, and those of its position in the other images.
    """
    positive = scale * torch.einsum("brd,brd->br", regions, aligned)
    within = _off_diagonal(scale * torch.einsum("bqd,bkd->bqk", regions, aligned))
    across = _off_diagonal(scale * torch.einsum("brd,crd->rbc", regions, aligned)).transpose(0, 1)
    return (denominator(positive, within, across) - positive).mean()


def local_loss(
    regions_cc: Tensor,
    regions_mlo: Tensor,
    aligned_cc: Tensor,
    aligned_mlo: Tensor,
    scale: Tensor | float,
    denominator: Denominator = with_positive,
) -> Tensor:
    """Eq. 4: the mean over both views."""
    loss_cc = local_view_loss(regions_cc, aligned_cc, scale, denominator)
    loss_mlo = local_view_loss(regions_mlo, aligned_mlo, scale, denominator)
    return (loss_cc + loss_mlo) / 2


def correspondence_view_loss(maps: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Minus the log of the weight that the map of each place puts on its true row: the weighted mean over places.

    maps: (batch, place, row), each summing to 1; rows: (batch, place), the row where the other view shows the place;
    weights: (batch, place), 0 for padding. Without any weight it is 0, and so is its gradient.
    """
    on_row = torch.take_along_dim(maps, rows.unsqueeze(-1), dim=-1).squeeze(-1)  # (batch, place)
    costs = -(MAP_FLOOR / maps.shape[-1] + (1 - MAP_FLOOR) * on_row).log()
    return (weights * costs).sum() / weights.sum().clamp_min(torch.finfo(costs.dtype).tiny)


def correspondence_loss(
    maps_cc: Tensor, maps_mlo: Tensor, rows_cc: Tensor, rows_mlo: Tensor, weights: Tensor
) -> Tensor:
    """Known places: the mean of both directions.

    maps_cc: what the places of CC light in MLO, (batch, place, row); `rows_mlo` are their true rows there; and back.
    Not in the papers: Eq. 4 can be solved by the breast's texture and the place's position wherever in the slice the
    map looks (docs/LOG.md); a few places that are known to be the same say what to look for.
    """
    from_cc = correspondence_view_loss(maps_cc, rows_mlo, weights)
    from_mlo = correspondence_view_loss(maps_mlo, rows_cc, weights)
    return (from_cc + from_mlo) / 2


def within_image_loss(regions: Tensor, aligned: Tensor, scale: Tensor | float) -> Tensor:
    """Contrast the regions of an image with each other, both ways: the released code's first local term of a view."""
    return symmetric_nce(scale * torch.einsum("bqd,bkd->bqk", regions, aligned))


def same_position_loss(regions: Tensor, aligned: Tensor, scale: Tensor | float) -> Tensor:
    """Contrast one position in all images, both ways: the released code's second local term of a view."""
    return symmetric_nce(scale * torch.einsum("brd,crd->rbc", regions, aligned))


def official_local_loss(
    regions_cc: Tensor,
    regions_mlo: Tensor,
    aligned_cc: Tensor,
    aligned_mlo: Tensor,
    scale: Tensor | float,
    *,
    same_position: bool = True,
) -> Tensor:
    """Return the released code's local loss: the mean over both views of each of its two terms, summed.

    `same_position`: whether its second term is in it.
    """
    within = within_image_loss(regions_cc, aligned_cc, scale) + within_image_loss(regions_mlo, aligned_mlo, scale)
    if not same_position:
        return within / 2
    across = same_position_loss(regions_cc, aligned_cc, scale) + same_position_loss(regions_mlo, aligned_mlo, scale)
    return (within + across) / 2


def nt_xent(view_cc: Tensor, view_mlo: Tensor, temperature: float = 0.5) -> Tensor:
    """SimCLR's loss: 2 n anchors against all other 2 n - 1 vectors; (n, dim) of any length, normalised here."""
    vectors = F.normalize(torch.cat([view_mlo, view_cc]), dim=-1)  # (2 n, dim)
    logits = _off_diagonal(vectors @ vectors.mT / temperature)
    partners = torch.arange(len(vectors), device=vectors.device).roll(len(view_cc))
    return F.cross_entropy(logits, partners)


def official_image_text_loss(image_cc: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Return the released code's image-text loss: CC alone, both ways, not halved; (batch, joint) unit vectors."""
    return 2 * symmetric_nce(scale * image_cc @ text.mT)


def _off_diagonal(logits: Tensor) -> Tensor:
    """Put minus infinity on the diagonal of the last two axes."""
    diagonal = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits.masked_fill(diagonal, -torch.inf)
