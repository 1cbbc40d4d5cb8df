"""View -> ModelInput: THE preparation of training, export, serving and viewer.

The breast is found in a small picture; every later step is one 3x3 matrix, so that the pixels are resampled once, from
an image shrunk by averaging beforehand. After the alignment nothing is flipped again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from glam import breast, geometry, pectoral
from glam.breast import Line, Mask, Picture
from glam.config import FrameConfig
from glam.dicom import WHITE, View
from glam.geometry import Frame, Matrix
from glam.intake import Finding, finding, input_error

PREPARE_VERSION = 1
"""Raised by whoever changes what `prepare` makes of a view; the demo bundle must be trained again then."""

GREY_PERCENTILES = (1.0, 99.9)
"""Grey values of the breast in the square that become 0 and 1, image by image."""
OUTLINE_SHARE = 0.03
"""A row belongs to the breast box when the breast fills at least this share of the widest row."""


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """A view laid into the model's square."""

    pixels: NDArray[np.float32]
    """(size, size) in [0, 1]; 0 outside the breast."""
    frame: Frame
    findings: tuple[Finding, ...]
    """Those of the view, then those of the preparation."""
    steps: dict[str, float | str]
    """What was done, in numbers and words that can be printed."""


class Upright(NamedTuple):
    """The small picture with the chest wall at the left and the head or lateral side up."""

    picture: Picture
    mask: Mask
    matrix: Matrix
    """(3, 3) from stored pixels to the small picture."""
    findings: tuple[Finding, ...]
    steps: dict[str, float | str]


class Box(NamedTuple):
    """A rectangle after the rotation, in pixels of the small picture from the pectoral line or chest wall."""

    left: float
    top: float
    right: float
    bottom: float


def prepare(view: View, config: FrameConfig) -> ModelInput:
    """Return the view in the model's square and the Frame that leads back; InputError `no_breast` for an empty one."""
    upright = _upright(view)
    line, odd = _zero_line(upright, aligned=config.align_mlo and view.view == "MLO")
    turned = geometry.compose(geometry.rotate(line.angle_deg), geometry.shift(-line.offset, 0))
    tissue = upright.mask & ~pectoral.muscle_mask(upright.mask.shape, line)
    length = breast.chest_nipple_axis(upright.mask, line).length if config.align_mlo else None
    box = _box(tissue, turned, length)
    laid = geometry.compose(turned, _box_to_square(box, config))
    rows, cols = view.pixels.shape
    frame = geometry.make_frame(geometry.compose(upright.matrix, laid), size=config.size, rows=rows, cols=cols)
    inside = _warp(tissue.astype(np.float32), laid, config.size, border=cv2.BORDER_CONSTANT) >= 0.5
    pixels, limits = _grey(_resample(view.pixels, frame), inside)
    steps: dict[str, float | str] = {
        "angle_deg": line.angle_deg,
        "pectoral_confidence": line.confidence,
        "kind": config.kind,
        "box_cols": box.right - box.left,
        "box_rows": box.bottom - box.top,
        "black": limits[0],
        "white": limits[1],
    }
    return ModelInput(
        pixels=pixels, frame=frame, findings=view.findings + upright.findings + odd, steps=upright.steps | steps
    )


def prepare_sha(config: FrameConfig) -> str:
    """Return the hash of the preparation's parameters and version, never of source code."""
    text = json.dumps({"version": PREPARE_VERSION, **asdict(config)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _upright(view: View) -> Upright:
    """Shrink, find the breast, and mirror so that the chest wall is at the left and the head or lateral side up."""
    picture = breast.small(view.pixels)
    found = breast.breast_mask(picture)
    if not found.mask.any():
        raise input_error("no_breast")
    side, odd = _chest_side(view, found.mask)
    upside_down = _is_upside_down(view)
    height, width = picture.shape
    factor = breast.shrink_factor(view.pixels.shape)
    matrix = geometry.scale(1 / factor, 1 / factor)
    mirrored = side == "right"
    if mirrored:
        matrix = geometry.compose(matrix, geometry.flip_columns(width))
    if upside_down:
        matrix = geometry.compose(matrix, geometry.flip_rows(height))
    turn = (slice(None, None, -1 if upside_down else 1), slice(None, None, -1 if mirrored else 1))
    if found.inner != (slice(0, height), slice(0, width)):
        odd = (*odd, finding("strips_removed"))
    steps: dict[str, float | str] = {"chest_wall": side, "upside_down": float(upside_down)}
    upright = np.ascontiguousarray(picture[turn]), np.ascontiguousarray(found.mask[turn])
    return Upright(*upright, matrix=matrix, findings=odd, steps=steps)


def _chest_side(view: View, mask: Mask) -> tuple[str, tuple[Finding, ...]]:
    """Return where the chest wall is in the stored image: as the pixels show, with a finding if the header differs."""
    named = {"L": "left", "R": "right"}[view.laterality]
    if view.orientation:
        named = "left" if view.orientation[0].startswith("A") else "right"
    seen, confidence = breast.chest_wall_side(mask)
    if confidence < 0.3:
        return named, (finding("side_unclear"),)
    return seen, () if seen == named else (finding("side_conflict"),)


def _is_upside_down(view: View) -> bool:
    """Whether the columns run to the head, or in a CC view to the lateral side. PS3.3 C.7.6.1.1.1."""
    if not view.orientation:
        return False
    upward = "H" if view.view == "MLO" else view.laterality
    return upward in view.orientation[1]


def _zero_line(upright: Upright, *, aligned: bool) -> tuple[Line, tuple[Finding, ...]]:
    """Return the line that becomes x = 0: pectoral line of an aligned MLO view, else the chest wall."""
    if not aligned:
        return breast.chest_wall(upright.mask), ()
    line = pectoral.pectoral_line(upright.picture, upright.mask)
    if line is None:
        line = pectoral.assumed_line(upright.mask)
        return line, (finding("no_pectoral_line", angle=f"{line.angle_deg:.0f}"),)
    return line, ()


def _box(tissue: Mask, turned: Matrix, length: float | None) -> Box:
    """Return the breast box in turned coordinates: from x = 0 to the nipple, and the rows that the breast fills.

    Without a chest-nipple length the box ends where the tissue does.
    """
    rows, cols = np.nonzero(tissue[::2, ::2])
    if not len(rows):
        raise input_error("no_breast")
    points = geometry.transform(turned, np.stack([2 * cols + 1, 2 * rows + 1], axis=1))
    first = float(np.floor(points[:, 1].min()))
    widths = np.bincount(((points[:, 1] - first) / 2).astype(np.intp))
    filled = np.flatnonzero(widths >= OUTLINE_SHARE * widths.max())
    right = float(points[:, 0].max()) + 1 if length is None else length
    return Box(0.0, first + 2 * filled[0], max(right, 1.0), first + 2 * filled[-1] + 2)


def _box_to_square(box: Box, config: FrameConfig) -> Matrix:
    """Fill the square with the box (stretch), or lay it in at one scale, against the chest wall, rows centred."""
    width, height = box.right - box.left, box.bottom - box.top
    if config.kind == "stretch":
        return geometry.compose(
            geometry.crop(box.left, box.top), geometry.scale(config.size / width, config.size / height)
        )
    factor = config.size / max(width, height)
    centre = (box.top + box.bottom) / 2
    return geometry.compose(
        geometry.crop(box.left, centre), geometry.scale(factor, factor), geometry.shift(0, config.size / 2)
    )


def _resample(pixels: NDArray[np.uint16], frame: Frame) -> Picture:
    """Return the square in [0, 1]: crop, average whole pixels down to about the square's scale, then one warp."""
    size = frame.size
    corners = frame.to_pixels([[0, 0], [size, 0], [size, size], [0, size]])
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, (frame.cols - 1, frame.rows - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, (left + 1, top + 1), (frame.cols, frame.rows))
    # How much of the square a step along a stored row or column covers; its inverse is what one pixel averages.
    reach = np.linalg.norm(frame.to_square_matrix[:2, :2], axis=0)
    across, down = (max(1, round(1 / float(step))) for step in reach)
    cols, rows = max(1, int(right - left) // across), max(1, int(bottom - top) // down)
    part = pixels[top : top + rows * down, left : left + cols * across]
    shrunk = np.asarray(cv2.resize(part, (cols, rows), interpolation=cv2.INTER_AREA), np.float32) / WHITE
    back = geometry.compose(geometry.scale(across, down), geometry.shift(float(left), float(top)))
    return _warp(shrunk, geometry.compose(back, frame.to_square_matrix), size)


def _warp(picture: Picture, matrix: Matrix, size: int, *, border: int = cv2.BORDER_REPLICATE) -> Picture:
    indices = geometry.index_matrix(matrix)[:2]
    warped = cv2.warpAffine(picture, indices, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, np.float32)


def _grey(square: Picture, inside: NDArray[np.bool_]) -> tuple[Picture, tuple[float, float]]:
    """Spread the breast's own range over [0, 1], and clear everything that is no breast."""
    if not inside.any():
        raise input_error("no_breast")
    low, high = (float(value) for value in np.percentile(square[inside], GREY_PERCENTILES))
    grey = np.clip((square - low) / max(high - low, 1e-6), 0, 1)
    return np.where(inside, grey, 0).astype(np.float32), (low, high)
