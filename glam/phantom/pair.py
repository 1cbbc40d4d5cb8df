"""One breast in two views: what training draws, without files."""

from typing import NamedTuple

from glam.phantom.anatomy import Breast, draw_breast
from glam.phantom.options import Laterality, PhantomOptions, Seed
from glam.phantom.render import Projection, render
from glam.phantom.truth import BreastTruth, breast_truth


class Pair(NamedTuple):
    """Both views of a breast and what is known of it."""

    cc: Projection
    mlo: Projection
    truth: BreastTruth


def draw_pair(seed: Seed, options: PhantomOptions | None = None, *, laterality: Laterality = "L") -> Pair:
    """Return both views of the breast of a seed; the same seed and options give the same arrays."""
    return pair_of(draw_breast(seed, options, laterality=laterality))


def pair_of(breast: Breast) -> Pair:
    """Return both views of a breast."""
    cc, mlo = render(breast, "CC"), render(breast, "MLO")
    return Pair(cc, mlo, breast_truth(breast, {"CC": cc.truth, "MLO": mlo.truth}))
