"""What each preset minimises: from the vectors of a batch of pairs to named loss terms, "total" among them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from glam.model import PairOutput

Terms = dict[str, "Tensor"]


class Vectors(NamedTuple):
    """The part of a `PairOutput` that losses contrast; every vector has unit length but those of the view head."""

    image_cc: "Tensor"  # (batch, joint)
    image_mlo: "Tensor"  # (batch, joint)
    text: "Tensor"  # (batch, joint)
    view_cc: "Tensor"  # (batch, joint)
    view_mlo: "Tensor"  # (batch, joint)
    regions_cc: "Tensor"  # (batch, region, dim)
    regions_mlo: "Tensor"  # (batch, region, dim)
    aligned_cc: "Tensor"  # (batch, region, dim): for each CC region, what the MLO slice holds of it
    aligned_mlo: "Tensor"  # (batch, region, dim)


class Scales(NamedTuple):
    """Inverse temperatures, clamped."""

    image_text: "Tensor"
    local: "Tensor"
    view: "Tensor"


Objective = Callable[[Vectors, Scales, float], Terms]


def vectors_of(output: "PairOutput") -> Vectors:
    """Pick what the losses contrast, in fp32."""
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


OBJECTIVES: dict[str, Objective] = {"glam": glam, "glam_paper": glam_paper, "glam_official": glam_official}
