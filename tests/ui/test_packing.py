"""Pixels cross to the browser unchanged: packed here, unpacked by `decode.mjs` in Node."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from glam_ui.packing import packed

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
UNPACK = """
import {{ readFileSync, writeFileSync }} from "node:fs";
import {{ unpacked }} from "{module}";
const pixels = await unpacked(new Blob([readFileSync("packed")]).stream(), {rows}, {cols});
writeFileSync("pixels", new Uint8Array(pixels.buffer));
"""


def unpacked_by_node(data: bytes, rows: int, cols: int, folder: Path) -> np.ndarray:
    (folder / "packed").write_bytes(data)
    (folder / "unpack.mjs").write_text(UNPACK.format(module=ROOT / "ui" / "decode.mjs", rows=rows, cols=cols))
    assert NODE is not None
    subprocess.run([NODE, "unpack.mjs"], cwd=folder, check=True)
    return np.fromfile(folder / "pixels", "<u2").reshape(rows, cols)


@pytest.mark.skipif(NODE is None, reason="no node")
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (301, 203)])
def test_pixels_come_back_the_same(shape: tuple[int, int], tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 1 << 16, shape, dtype=np.uint16)
    pixels.flat[:: max(1, pixels.size // 3)] = 65535
    np.testing.assert_array_equal(unpacked_by_node(packed(pixels), *shape, tmp_path), pixels)


def test_an_image_of_smooth_tissue_is_smaller_packed():
    rows, cols = np.mgrid[:400, :300]
    noise = np.random.default_rng(0).normal(0, 20, (400, 300))
    pixels = (30_000 + 40 * rows + 30 * cols + noise).astype(np.uint16)
    assert len(packed(pixels)) < pixels.nbytes * 0.75
