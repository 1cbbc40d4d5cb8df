"""The correspondence of known places beside any objective. Not in the papers (docs/train.md)."""

from torch import Tensor

from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.data.places import FINDING, TISSUE
from glam_train.methods.losses import correspondence_loss
from glam_train.methods.place_maps import place_rows, seen_in_both
from glam_train.methods.vectors import Terms, Vectors


def with_known_places(terms: Terms, vectors: Vectors, batch: Batch, config: PretrainConfig) -> Terms:
    """Add the correspondence of known places to the terms of any objective, where it has a weight.

    Findings and tissue are averaged apart, so that a weight means the same however many points of a kind there are.
    """
    if not config.correspondence_weight:
        return terms
    alignment = config.model.alignment
    seen = seen_in_both(batch.points, alignment)
    rows_cc, rows_mlo = place_rows(batch.points, alignment.side)

    def told(kind: int) -> Tensor:
        weights = (seen & (batch.place_kinds == kind)).to(vectors.maps_cc.dtype)
        return correspondence_loss(vectors.maps_cc, vectors.maps_mlo, rows_cc, rows_mlo, weights)

    findings = told(FINDING)
    added = {"correspondence": findings, "known_findings": (seen & (batch.place_kinds == FINDING)).sum().float()}
    total = findings
    if config.tissue_weight:
        added["correspondence_tissue"] = told(TISSUE)
        total = total + config.tissue_weight * added["correspondence_tissue"]
    return terms | added | {"total": terms["total"] + config.correspondence_weight * total}
