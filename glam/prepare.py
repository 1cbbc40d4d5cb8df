"""View -> ModelInput: THE preparation of training, export, serving and viewer.

The breast is found in a small picture; every later step is one 3x3 matrix, so that the pixels are resampled once, from
an image shrunk by averaging beforehand. After the alignment nothing is flipped again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glam.anatomy import pectoral
from glam.anatomy.breast import Mask, Picture, averaged
from glam.anatomy.in_pixels import Anatomy, anatomy_in_pixels
from glam.anatomy.landmarks import Landmarks, find_landmarks
from glam.anatomy.upright import Upright, make_upright
from glam.config import FrameConfig, FrameKind
from glam.contrast import spread_contrast
from glam.findings import Finding, finding, input_error
from glam.frame import Box, Frame, Matrix, compose, crop, index_matrix, make_frame, rotate, scale, shift, transform
from glam.preparation import Preparation
from glam.view import WHITE, View

PREPARE_VERSION = 3
"""Raised by whoever changes what `prepare` makes of a view; the demo bundle must be trained again then."""

OUTLINE_SHARE = 0.03
"""Smallest share of the widest row that the breast fills in a row of the breast box."""
USUAL_LENGTH_MM = 100.0
"""Chest-nipple length that is assumed where a frame of millimetres has no pixel spacing."""
LENGTHS_MM = (20.0, 250.0)
"""Range of chest-nipple lengths of breasts; others are reported."""
AHEAD_SHARE = 0.02
"""Share of the square before the nipple, in frames that are laid out from it: no nipple is the foremost point."""
OUTSIDE_SHARE = 0.03
"""Share of the breast outside the square above which it is reported."""


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """A view laid into the model's square."""

    pixels: NDArray[np.float32]
    """(height, width) of the frame, in [0, 1]; 0 outside the breast."""
    frame: Frame
    findings: tuple[Finding, ...]
    """Those of the view, then those of the preparation."""
    preparation: Preparation | None = None
    """What was done. None, like `anatomy`: the square was not made from a view."""
    anatomy: Anatomy | None = None
    """What was seen, in stored pixels."""


def prepare(view: View, config: FrameConfig) -> ModelInput:
    """Return the view in the model's square and the Frame that leads back.

    InputError `no_breast` where none can be seen; ValueError for a view read by another grey-value policy than the
    configuration's.
    """
    if view.voi not in (None, config.voi):
        way_out = "read it with read_view(source, config) and this configuration"
        raise ValueError(f"the view was read by the policy {view.voi!r}, the frame takes {config.voi!r}: {way_out}")
    upright, landmarks, landmark_findings = find_landmarks(make_upright(view), view.view, aligned=config.align_mlo)
    line = landmarks.line
    upright_to_axis = compose(rotate(line.angle_deg), shift(-line.offset, 0))
    cleared = landmarks.has_muscle and config.mask_muscle
    tissue = upright.mask & ~pectoral.muscle_mask(upright.mask.shape, line) if cleared else upright.mask
    box = _tissue_box(tissue, upright_to_axis, landmarks.axis.length if config.align_mlo else None)
    mm, size_findings = _pixel_mm(upright.mm, landmarks.axis.length, config)
    upright_to_square = compose(upright_to_axis, LAYOUTS[config.kind](box, config, mm))
    rows, cols = view.pixels.shape
    frame = make_frame(compose(upright.matrix, upright_to_square), size=config.size, rows=rows, cols=cols)
    shares = _warp(tissue.astype(np.uint8) * 255, upright_to_square, frame, border=cv2.BORDER_CONSTANT)
    inside = shares >= 128
    pixels, limits = spread_contrast(_resample(view.pixels, frame), inside)
    cut_off = _cut_off(inside, tissue, upright_to_square)
    return ModelInput(
        pixels=pixels,
        frame=frame,
        findings=(*view.findings, *upright.findings, *landmark_findings, *size_findings, *cut_off),
        preparation=_preparation(upright, landmarks, tissue, box=box, kind=config.kind, limits=limits),
        anatomy=anatomy_in_pixels(upright, landmarks),
    )


def _preparation(
    upright: Upright, landmarks: Landmarks, tissue: Mask, *, box: Box, kind: FrameKind, limits: tuple[float, float]
) -> Preparation:
    """Return the record; `tissue` is what was left of the breast."""
    area = np.count_nonzero(upright.mask)
    muscle = area - np.count_nonzero(tissue)
    return Preparation(
        chest_wall=upright.chest_wall,
        upside_down=upright.upside_down,
        angle_deg=landmarks.line.angle_deg,
        angle_from=landmarks.source,
        axis_confidence=landmarks.confidence,
        nipple_confidence=landmarks.nipple.confidence,
        muscle_share=muscle / area,
        muscle_mm2=None if upright.mm is None else muscle * upright.mm**2,
        kind=kind,
        box_cols=box.width,
        box_rows=box.height,
        black=limits[0],
        white=limits[1],
    )


def prepare_sha(config: FrameConfig) -> str:
    """Return the hash of the preparation's parameters and version, never of source code."""
    text = json.dumps({"version": PREPARE_VERSION, **asdict(config)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _tissue_box(tissue: Mask, upright_to_axis: Matrix, length: float | None) -> Box:
    """Return the breast box in coordinates of the axis: from x = 0 to the nipple, and the rows that the breast fills.

    Without a chest-nipple length the box ends where the tissue does.
    """
    rows, cols = np.nonzero(tissue[::2, ::2])
    if not len(rows):
        raise input_error("no_breast")
    points = transform(upright_to_axis, np.stack([2 * cols + 1, 2 * rows + 1], axis=1))
    first = float(np.floor(points[:, 1].min()))
    widths = np.bincount(((points[:, 1] - first) / 2).astype(np.intp))
    filled = np.flatnonzero(widths >= OUTLINE_SHARE * widths.max())
    right = float(points[:, 0].max()) + 1 if length is None else length
    return Box(0.0, float(first + 2 * filled[0]), max(right, 1.0), float(first + 2 * filled[-1] + 2))


def _pixel_mm(mm: float | None, length: float, config: FrameConfig) -> tuple[float, tuple[Finding, ...]]:
    """Return the width of a small picture's pixel; without a spacing the chest-nipple length gives the scale."""
    if mm is not None:
        plausible = LENGTHS_MM[0] <= length * mm <= LENGTHS_MM[1]
        return mm, () if plausible else (finding("odd_size", length=f"{length * mm:.0f}"),)
    if not config.in_mm:
        return 1.0, ()
    return USUAL_LENGTH_MM / max(length, 1.0), (finding("length_as_scale", length=f"{USUAL_LENGTH_MM:.0f}"),)


def _stretch(box: Box, config: FrameConfig, _: float) -> Matrix:
    """Fill the square with the box."""
    return compose(crop(box.left, box.top), scale(config.width / box.width, config.height / box.height))


def _isotropic(box: Box, config: FrameConfig, _: float) -> Matrix:
    """Lay the box in at one scale, against the chest wall, its rows centred."""
    factor = min(config.width / box.width, config.height / box.height)
    return compose(
        crop(box.left, (box.top + box.bottom) / 2),
        scale(factor, factor),
        shift(0, config.height / 2),
    )


def _nipple_mm(box: Box, config: FrameConfig, mm: float) -> Matrix:
    """Lay the box in at one scale in millimetres, the nipple near the far side, its rows centred."""
    factor = config.width * mm / config.span_mm
    return compose(
        crop(box.right, (box.top + box.bottom) / 2),
        scale(factor, factor),
        shift((1 - AHEAD_SHARE) * config.width, config.height / 2),
    )


def _nipple_stretch(box: Box, config: FrameConfig, mm: float) -> Matrix:
    """Lay the columns in from the nipple in millimetres, and fill the square with the box's rows."""
    return compose(
        crop(box.right, box.top),
        scale(config.width * mm / config.span_mm, config.height / box.height),
        shift((1 - AHEAD_SHARE) * config.width, 0),
    )


LAYOUTS: Mapping[FrameKind, Callable[[Box, FrameConfig, float], Matrix]] = {
    "stretch": _stretch,
    "isotropic": _isotropic,
    "nipple_mm": _nipple_mm,
    "nipple_stretch": _nipple_stretch,
}
"""How each kind of frame lays the breast box, in pixels of the small picture so many mm wide, into the square."""


def _cut_off(inside: Mask, tissue: Mask, upright_to_square: Matrix) -> tuple[Finding, ...]:
    """Say when a noticeable part of the breast lies outside the square."""
    area = abs(float(np.linalg.det(upright_to_square[:2, :2]))) * np.count_nonzero(tissue)
    outside = 1 - np.count_nonzero(inside) / max(area, 1.0)
    return (finding("outside_square", percent=f"{100 * outside:.0f}"),) if outside > OUTSIDE_SHARE else ()


def _resample(pixels: NDArray[np.uint16], frame: Frame) -> Picture:
    """Return the square in [0, 1]: crop, average whole pixels down to about the square's scale, then one warp."""
    corners = frame.to_pixels(frame.corners)
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, (frame.cols - 1, frame.rows - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, (left + 1, top + 1), (frame.cols, frame.rows))
    # How much of the square a step along a stored row or column covers; its inverse is what one pixel averages.
    reach = np.linalg.norm(frame.to_square_matrix[:2, :2], axis=0)
    halvings = 2 ** max(0, int(np.log2(1 / reach.max())))  # of both axes alike: that is fast
    across, down = (halvings * max(1, round(1 / (halvings * float(step)))) for step in reach)
    shrunk = np.asarray(averaged(pixels[top:bottom, left:right], down, across), np.float32) / np.float32(WHITE)
    back = compose(scale(across, down), shift(float(left), float(top)))
    return _warp(shrunk, compose(back, frame.to_square_matrix), frame)


def _warp(picture: NDArray[Any], matrix: Matrix, frame: Frame, *, border: int = cv2.BORDER_REPLICATE) -> NDArray[Any]:
    """Return what a matrix lays of a picture into a square of the frame's size."""
    indices, size = index_matrix(matrix)[:2], (frame.width, frame.height)
    return cv2.warpAffine(picture, indices, size, flags=cv2.INTER_LINEAR, borderMode=border)
