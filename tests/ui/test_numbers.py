"""What the page computes is what the server computes: cells, maps, places. The page's own modules, run by node."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from glam.attention import DIRECTIONS, OTHER, compose_map
from glam.predict import Predictor
from glam.prediction import INCLUDES

ROOT = Path(__file__).parents[2]
SCRIPT = """
import { readFileSync } from "node:fs";
import { cellAt, cellPolygon, frameOf } from "%(ui)s/frame.mjs";
import { composedMap, halves } from "%(ui)s/heat.mjs";
const { views, maps } = JSON.parse(readFileSync(0));
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const told = views.map(({ frame, side, points }) => {
  const read = frameOf(frame);
  const along = [...Array(side).keys()];
  const cells = along.map((row) => along.map((col) => cellPolygon(read, side, { row, col })));
  return { cells, places: points.map((point) => cellAt(read, side, point)) };
});
const heats = maps.map(({ weights, col, pooling }) => [...composedMap(weights, col, halves(bytes(pooling)))]);
console.log(JSON.stringify({ told, heats }));
"""


def by_the_page(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the page's modules compute."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: .ci/debian.txt names the package")
    script = SCRIPT % {"ui": (ROOT / "ui").as_uri()}
    done = subprocess.run(
        [node, "--input-type=module", "-e", script], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def mirrored(path: Path) -> bytes:
    """Return a file of the same view, stored with its chest wall on the other side."""
    file = dcmread(path)
    file.PixelData = np.ascontiguousarray(file.pixel_array[:, ::-1]).tobytes()
    row, column = file.get("PatientOrientation") or ["", ""]
    file.PatientOrientation = [{"A": "P", "P": "A"}.get(row, row), column]
    written = io.BytesIO()
    file.save_as(written)
    return written.getvalue()


@pytest.mark.parametrize("stored", [Path.read_bytes, mirrored])
@pytest.mark.parametrize("side", ["L", "R"])
def test_cells_and_maps_of_the_page_are_the_servers(
    predictor: Predictor, mammograms: dict[str, Path], side: str, stored: Any
):
    files = [io.BytesIO(stored(mammograms[f"{side}_{view}"])) for view in ("CC", "MLO")]
    breast = predictor.predict_exam(files).breasts[side]
    answer = breast.as_json(INCLUDES)
    attention = breast.attention
    assert attention is not None
    rng = np.random.default_rng(0)
    views = [
        {
            "frame": answer["views"][key]["frame"],
            "side": len(answer["views"][key]["cells"]),
            "points": (rng.random((500, 2)) * [breast.views[key].frame.cols, breast.views[key].frame.rows]).tolist(),
        }
        for key in ("cc", "mlo")
    ]
    places = [("cc", 0, 0), ("mlo", attention.side - 1, 1)]
    maps = [
        {
            "weights": answer["attention"][DIRECTIONS[key]][col][row],
            "col": col,
            "pooling": answer["pooling"][OTHER[key]],
        }
        for key, row, col in places
    ]
    page = by_the_page({"views": views, "maps": maps})
    for key, view, told in zip(("cc", "mlo"), views, page["told"], strict=True):
        cells = np.array(answer["views"][key]["cells"])
        np.testing.assert_allclose(np.array(told["cells"]), cells, atol=0.011)  # the server rounds to 0.01 pixels
        frame = breast.views[key].frame
        for point, place in zip(view["points"], told["places"], strict=True):
            square = frame.to_square([point])[0]
            if place is None:
                assert not (square.min() >= 0 and square.max() < frame.size)
            else:
                assert [place["col"], place["row"]] == np.floor(square * view["side"] / frame.size).tolist()
    for (key, row, col), heat in zip(places, page["heats"], strict=True):
        own = compose_map(attention, direction=DIRECTIONS[key], row=row, col=col, grid=attention.grid)
        np.testing.assert_allclose(heat, own.ravel(), atol=1e-3 * own.max())
