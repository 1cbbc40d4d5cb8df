"""What a model says of a batch, as losses take it: vectors and maps in fp32."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from glam.model.glam import PairOutput, Scales
from glam_train.methods.place_maps import composed_maps

Terms = dict[str, Tensor]
"""Named loss terms, "total" among them."""


class Vectors(NamedTuple):
    """The part of a `PairOutput` that losses use; every vector has unit length but those of the view head."""

    image_cc: Tensor  # (batch, joint)
    image_mlo: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    view_cc: Tensor  # (batch, joint)
    view_mlo: Tensor  # (batch, joint)
    regions_cc: Tensor  # (batch, region, dim)
    regions_mlo: Tensor  # (batch, region, dim)
    aligned_cc: Tensor  # (batch, region, dim): for each CC region, what the MLO slice holds of it
    aligned_mlo: Tensor  # (batch, region, dim)
    maps_cc: Tensor  # (batch, place, row): for each known place of CC, what its map gives each row of MLO
    maps_mlo: Tensor  # (batch, place, row)


Objective = Callable[[Vectors, Scales, float], Terms]
"""What a method minimises; the number is the weight of its local loss."""


def vectors_of(output: PairOutput, points: Tensor) -> Vectors:
    """Pick what the losses use, in fp32; `points` of `Batch` are the places whose maps are composed."""
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


def scales_of(output: PairOutput) -> Scales:
    """Pick the inverse temperatures, in fp32."""
    return Scales(*(scale.float() for scale in output.scales))
