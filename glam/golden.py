"""Two synthetic mammograms and what preparation must make of them: a program that sees them otherwise is refused."""

import json
from pathlib import Path

import numpy as np

from glam.config import FrameConfig
from glam.files import JsonDict

GOLDEN_SIDE = 37
MAX_GRID_ERROR = 1 / 255
MAX_FRAME_ERROR_PX = 0.1
_FILES = ("cc.dcm", "mlo.dcm")
_EXPECTED = "expected.json"
_SEED = 2025
_PX_MM = 0.48


def write_golden(folder: Path, config: FrameConfig) -> None:
    """Write both views of a right breast, a phantom's, and what this program makes of them. Needs scipy."""
    from glam.phantom.dicom_file import write_dicom
    from glam.phantom.options import PhantomOptions
    from glam.phantom.pair import draw_pair

    pair = draw_pair(_SEED, PhantomOptions(px_mm=_PX_MM), laterality="R")
    folder.mkdir()
    for name, projection in zip(_FILES, (pair.cc, pair.mlo), strict=True):
        write_dicom(folder / name, projection, transfer="rle")
    records = {name: preparation_record(folder / name, config) for name in _FILES}
    (folder / _EXPECTED).write_text(json.dumps(records))


def golden_difference(folder: Path, config: FrameConfig) -> str | None:
    """Name the first difference beyond the tolerance between what this program makes of `folder` and what it holds."""
    expected = json.loads((folder / _EXPECTED).read_text())
    for name in _FILES:
        difference = record_difference(preparation_record(folder / name, config), expected[name])
        if difference:
            return f"{name}: {difference}"
    return None


def preparation_record(source: Path, config: FrameConfig) -> JsonDict:
    """Return what preparation makes of a DICOM file: its Frame, and the mean grid of its square."""
    from glam.prepare import prepare
    from glam.reading.read import read_view

    model_input = prepare(read_view(source, config), config)
    grid = np.round(mean_grid(model_input.pixels), 5)
    return {"frame": model_input.frame.as_json(), "grid": grid.tolist()}


def record_difference(record: JsonDict, expected: JsonDict) -> str | None:
    """Say how two records differ beyond the tolerance: 1/255 in the mean of a cell, 0.1 px in the Frame."""
    grid_error = np.abs(np.subtract(record["grid"], expected["grid"])).max()
    if not grid_error <= MAX_GRID_ERROR:
        return f"the mean of a cell is off by {grid_error:.4f}"
    frame_error_px = _frame_error_px(record["frame"], expected["frame"])
    if not frame_error_px <= MAX_FRAME_ERROR_PX:
        return f"the frame is off by {frame_error_px:.2f} px"
    return None


def mean_grid(square: np.ndarray, side: int = GOLDEN_SIDE) -> np.ndarray:
    """Return the mean of each cell of a side x side grid over an image, a pixel cut by a line in parts."""
    of_rows, of_cols = (_cell_weights(length, side) for length in square.shape)
    return of_rows @ square.astype(np.float64) @ of_cols.T


def _cell_weights(length: int, side: int) -> np.ndarray:
    """Return the share of each pixel in the mean of each cell along an axis: (side, length)."""
    edges = np.linspace(0, length, side + 1)
    starts = np.arange(length)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.clip(overlap, 0, None) * side / length


def _frame_error_px(frame: JsonDict, expected: JsonDict) -> float:
    """Largest distance, in the model's square, between where two Frames put a corner of the stored image."""
    corners = np.array([(x, y, 1.0) for x in (0, expected["cols"]) for y in (0, expected["rows"])])
    moved = corners @ np.subtract(frame["to_square"], expected["to_square"]).T
    return float(np.hypot(moved[:, 0], moved[:, 1]).max())
