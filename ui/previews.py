"""Small pictures of views, for the time until the server has answered: 8 bits, and how they hang."""

from dataclasses import replace
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from glam.anatomy.breast import averaged
from glam.anatomy.upright import make_upright
from glam.bundle import DEMO_BUNDLE
from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.read import read_view
from glam.view import View

PREVIEW_SIDE = 1000
"""About how many rows or columns a small picture has."""


class SmallPicture(NamedTuple):
    """A view, its pixels averaged over squares of so many rows and columns, and how it hangs."""

    rows: int
    cols: int
    step: int
    png: bytes
    mirrored: bool
    """Whether its chest wall does not lie where that of its side is shown."""
    upside_down: bool


def small_picture(view: View) -> SmallPicture:
    """Return a view small enough to be seen at once."""
    step = max(1, round(max(view.pixels.shape) / PREVIEW_SIDE))
    small = replace(view, pixels=averaged(view.pixels, step, step), exposed=None)
    file = BytesIO()
    Image.fromarray((small.pixels >> 8).astype(np.uint8)).save(file, "PNG", compress_level=1)
    usual = "left" if view.laterality == "L" else "right"
    try:
        upright = make_upright(small)
        hangs = {"mirrored": upright.chest_wall != usual, "upside_down": upright.upside_down}
    except InputError:  # no breast in it: the server says so
        hangs = {"mirrored": False, "upside_down": False}
    return SmallPicture(*small.pixels.shape, step=step, png=file.getvalue(), **hangs)


def warm_up() -> None:
    """Make a small picture, so that the first exam does not wait for what is imported then."""
    for path in (DEMO_BUNDLE / "golden").glob("*.dcm"):
        small_picture(read_view(path, FrameConfig()))
