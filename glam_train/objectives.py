"""What each preset minimises: from the vectors of a batch of pairs to named loss terms, "total" among them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from glam.model import PairOutput

    from .data import Batch
    from .presets import PretrainConfig

from .places import FINDING, TISSUE

Terms = dict[str, "Tensor"]


class Vectors(NamedTuple):
    """The part of a `PairOutput` that losses use; every vector has unit length but those of the view head."""

    image_cc: "Tensor"  # (batch, joint)
    image_mlo: "Tensor"  # (batch, joint)
    text: "Tensor"  # (batch, joint)
    view_cc: "Tensor"  # (batch, joint)
    view_mlo: "Tensor"  # (batch, joint)
    regions_cc: "Tensor"  # (batch, region, dim)
    regions_mlo: "Tensor"  # (batch, region, dim)
    aligned_cc: "Tensor"  # (batch, region, dim): for each CC region, what the MLO slice holds of it
    aligned_mlo: "Tensor"  # (batch, region, dim)
    maps_cc: "Tensor"  # (batch, place, row): for each known place of CC, what its map gives each row of MLO
    maps_mlo: "Tensor"  # (batch, place, row)


class Scales(NamedTuple):
    """Inverse temperatures, clamped."""

    image_text: "Tensor"
    local: "Tensor"
    view: "Tensor"


Objective = Callable[[Vectors, Scales, float], Terms]


def vectors_of(output: "PairOutput", points: "Tensor") -> Vectors:
    """Pick what the losses use, in fp32; `points` of `Batch` are the places whose maps are composed."""
    from .place_maps import composed_maps

    alignment = output.alignment
    picked = (
        output.image_cc,
        output.image_mlo,
        output.text,
        output.view_cc,
        output.view_mlo,
        alignment.regions_cc,
        alignment.regions_mlo,
        alignment.aligned_cc,
        alignment.aligned_mlo,
        *composed_maps(alignment, points),
    )
    return Vectors(*(vector.float() for vector in picked))


def scales_of(output: "PairOutput") -> Scales:
    """Pick the inverse temperatures, in fp32."""
    return Scales(output.logit_scale.float(), output.local_scale.float(), output.view_scale.float())


def glam(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """Eq. 2 and Eq. 4 with the positive in the denominator, each kind of term with a temperature of its own."""
    from .losses import image_text_loss, local_loss, view_loss

    view = view_loss(vectors.view_cc, vectors.view_mlo, scales.view)
    image_text = image_text_loss(vectors.image_cc, vectors.image_mlo, vectors.text, scales.image_text)
    local = local_loss(*_local(vectors), scales.local)
    return {
        "view": view,
        "image_text": image_text,
        "local": local,
        "total": view + image_text + local_weight * local,
    }


def glam_paper(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """The printed equations: one temperature for every term, the positive left out of Eq. 4's denominator."""
    from .losses import global_loss, local_loss, without_positive

    tau = scales.image_text
    whole = global_loss(vectors.image_cc, vectors.image_mlo, vectors.text, view_scale=tau, text_scale=tau)
    local = local_loss(*_local(vectors), tau, without_positive)
    return {"global": whole, "local": local, "total": whole + local_weight * local}


def glam_official(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """The released code: CC against text, NT-Xent between the views at temperature 0.5, two local terms."""
    from .losses import nt_xent, official_image_text_loss, official_local_loss

    view = nt_xent(vectors.view_cc, vectors.view_mlo)
    image_text = official_image_text_loss(vectors.image_cc, vectors.text, scales.image_text)
    local = official_local_loss(*_local(vectors), scales.local)
    return {
        "view": view,
        "image_text": image_text,
        "local": local,
        "total": view + image_text + local_weight * local,
    }


def _local(vectors: Vectors) -> tuple["Tensor", "Tensor", "Tensor", "Tensor"]:
    return vectors.regions_cc, vectors.regions_mlo, vectors.aligned_cc, vectors.aligned_mlo


def with_known_places(terms: Terms, vectors: Vectors, batch: "Batch", config: "PretrainConfig") -> Terms:
    """Add the correspondence of known places to the terms of any objective, where it has a weight.

    Findings and tissue are averaged apart, so that a weight means the same however many points of a kind there are.
    """
    from .losses import correspondence_loss
    from .place_maps import place_rows, seen_in_both

    if not config.correspondence_weight:
        return terms
    alignment = config.model.alignment
    seen = seen_in_both(batch.points, alignment)
    rows_cc, rows_mlo = place_rows(batch.points, alignment.side)

    def told(kind: int) -> "Tensor":
        weights = (seen & (batch.place_kinds == kind)).to(vectors.maps_cc.dtype)
        return correspondence_loss(vectors.maps_cc, vectors.maps_mlo, rows_cc, rows_mlo, weights)

    findings = told(FINDING)
    added = {"correspondence": findings, "known_findings": (seen & (batch.place_kinds == FINDING)).sum().float()}
    total = findings
    if config.tissue_weight:
        added["correspondence_tissue"] = told(TISSUE)
        total = total + config.tissue_weight * added["correspondence_tissue"]
    return terms | added | {"total": terms["total"] + config.correspondence_weight * total}


OBJECTIVES: dict[str, Objective] = {"glam": glam, "glam_paper": glam_paper, "glam_official": glam_official}
