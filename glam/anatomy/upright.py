"""The small picture that the breast is found in: square pixels, chest wall at the left, head or lateral side up."""

from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Literal, NamedTuple

import cv2
import numpy as np

from glam.anatomy import breast
from glam.anatomy.breast import Mask, Picture
from glam.anatomy.chest_side import chest_wall_side, straight_side
from glam.anatomy.field import small_field
from glam.findings import Finding, InputError, finding, input_error
from glam.frame import Matrix, compose, crop, flip_columns, flip_rows, scale
from glam.view import Field, View

SURE_SIDE = 0.3
"""Confidence from which the pixels decide where the chest wall is, and not the header."""
SQUARE_PIXELS = 0.01
"""Rows and columns whose distances differ by less than this share are taken for equal."""
RIVAL_SHARE = 0.5
"""Share of the breast's area from which a second body is reported."""
CUT_ROW_SHARE = 0.6
"""Share of the breast's depth at which its lower or upper end along a border is a cut."""
CUT_SHARE = 0.25
"""A breast is cut when it runs along a border where it should not for this share of its own extent."""
PHASES = 3
"""From so many stored rows, and columns, on the pixels of a small picture are averaged where its field is not exact."""

ImageSide = Literal["left", "right"]


class Upright(NamedTuple):
    """The small upright picture of a view, its breast, and how it was turned."""

    picture: Picture
    mask: Mask
    matrix: Matrix
    """(3, 3) from stored pixels to the small picture."""
    mm: float | None
    """Width of its pixels; None: the header gives no spacing."""
    findings: tuple[Finding, ...]
    chest_wall: ImageSide
    """At which border of the stored image the chest wall lies."""
    upside_down: bool = False
    """Whether top and bottom were exchanged."""
    others: tuple["Upright", ...] = ()
    """The same view where its pixels were averaged from other stored pixels on: only of a field that is not exact."""


class _Placed(NamedTuple):
    """An upright picture, and the field and factors that it was made with."""

    upright: Upright
    field: Field
    factors: tuple[int, int]


def make_upright(view: View) -> Upright:
    """Shrink, find the breast, and turn it; InputError `no_breast` where there is none."""
    upright, field, factors = _placed(view)
    if field.exact:
        return upright
    others = []
    for rows, cols in list(product(*map(_phases, factors)))[1:]:
        part = field._replace(
            rows=slice(field.rows.start + rows, field.rows.stop), cols=slice(field.cols.start + cols, field.cols.stop)
        )
        with suppress(InputError):
            others.append(_placed(replace(view, exposed=part)).upright)
    return upright._replace(others=tuple(other for other in others if other.chest_wall == upright.chest_wall))


def _phases(factor: int) -> list[int]:
    """Return up to PHASES stored rows or columns, evenly spread, at which the first pixel of a small picture begins."""
    return sorted({round(phase * factor / PHASES) % factor for phase in range(PHASES)})


def _placed(view: View) -> _Placed:
    """Return the view without its other phases."""
    height, width = view.spacing_mm or (1.0, 1.0)
    picture, field, factors = small_field(view.pixels, view.exposed, aspect=_aspect(height, width))
    height, width = height * factors[0], width * factors[1]
    averaged = picture.shape
    if _aspect(height, width) != 1:
        picture = _with_square_pixels(picture, (height, width))
    down, across = np.divide(np.divide(picture.shape, averaged), factors).tolist()
    body = breast.breast_mask(picture)
    if not body.mask.any():
        raise input_error("no_breast")
    side, findings = _chest_side(view, body.mask)
    rows, cols = picture.shape
    if field.bright_border or body.inner != (slice(0, rows), slice(0, cols)):
        findings = (*findings, finding("strips_removed"))
    upright = Upright(
        picture=picture,
        mask=body.mask,
        matrix=compose(crop(field.cols.start, field.rows.start), scale(across, down)),
        mm=min(height, width) if view.spacing_mm else None,
        findings=findings,
        chest_wall=side,
    )
    if side == "right":
        upright = _mirrored(upright)
    if _is_upside_down(view):
        upright = turned_over(upright)
    if _hangs_unusually(view):
        findings = (*findings, finding("unusual_hanging"))
    if _is_cut(upright.mask, body.inner, view, mirrored=side == "right"):
        findings = (*findings, finding("clipped"))
    if body.rival > RIVAL_SHARE:
        findings = (*findings, finding("second_body"))
    return _Placed(upright._replace(findings=findings), field, factors)


def turned_over(upright: Upright) -> Upright:
    """Return it with top and bottom exchanged."""
    matrix = compose(upright.matrix, flip_rows(len(upright.picture)))
    picture, mask = (np.ascontiguousarray(image[::-1]) for image in (upright.picture, upright.mask))
    others = tuple(map(turned_over, upright.others))
    return upright._replace(
        picture=picture, mask=mask, matrix=matrix, upside_down=not upright.upside_down, others=others
    )


def _mirrored(upright: Upright) -> Upright:
    matrix = compose(upright.matrix, flip_columns(upright.picture.shape[1]))
    picture, mask = (np.ascontiguousarray(image[:, ::-1]) for image in (upright.picture, upright.mask))
    return upright._replace(picture=picture, mask=mask, matrix=matrix)


def _aspect(height: float, width: float) -> float:
    """Return how much higher a pixel is than wide; 1 where that hardly shows."""
    return height / width if abs(height / width - 1) > SQUARE_PIXELS else 1.0


def _with_square_pixels(picture: Picture, spacing_mm: tuple[float, float]) -> Picture:
    """Stretch the axis with the larger pixels."""
    rows, cols = (
        round(length * step / min(spacing_mm)) for length, step in zip(picture.shape, spacing_mm, strict=True)
    )
    return np.asarray(cv2.resize(picture, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def _chest_side(view: View, mask: Mask) -> tuple[ImageSide, tuple[Finding, ...]]:
    """Return where the chest wall is in the stored image: as the pixels show, with a finding if the header differs.

    A border, a band or a wedge that covers the chest wall does not overrule a header that is right.
    """
    named: ImageSide = "left" if view.laterality == "L" else "right"
    if view.orientation:
        named = "left" if view.orientation[0].startswith("A") else "right"
    seen, confidence = chest_wall_side(mask)
    if confidence < SURE_SIDE or seen != straight_side(mask):
        return named, (finding("side_unclear"),)
    return seen, () if seen == named else (finding("side_conflict"),)


def _is_upside_down(view: View) -> bool:
    """Whether the columns run to the head, or in a CC view to the lateral side. PS3.3 C.7.6.1.1.1."""
    if not view.orientation:
        return False
    upward = "H" if view.view == "MLO" else view.laterality
    return upward in view.orientation[1]


def _hangs_unusually(view: View) -> bool:
    """Whether the header says that the image is mirrored or stands on its head; a wrong side looks the same."""
    if not view.orientation:
        return False
    usual = {"L": "A", "R": "P"}[view.laterality]
    return not view.orientation[0].startswith(usual) or _is_upside_down(view)


def _is_cut(mask: Mask, inner: tuple[slice, slice], view: View, *, mirrored: bool) -> bool:
    """Whether the breast runs out of the picture in front, below, or in a CC view above: no view should end there."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    front = mask.shape[1] - 1 - inner[1].start if mirrored else inner[1].stop - 1
    ahead = np.count_nonzero(mask[:, front]) > CUT_SHARE * len(rows)
    ends = (rows[0], rows[-1]) if view.view == "CC" else (rows[-1],)
    outer = (inner[0].start, inner[0].stop - 1, len(mask) - inner[0].stop, len(mask) - 1 - inner[0].start)
    beyond = any(end in outer and np.count_nonzero(mask[end]) > CUT_ROW_SHARE * len(cols) for end in ends)
    return bool(ahead or beyond)
