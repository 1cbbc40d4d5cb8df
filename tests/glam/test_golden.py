import json

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.golden import golden_difference, mean_grid, write_golden


def test_mean_grid_of_a_multiple_is_the_mean_of_each_block():
    square = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(mean_grid(square, 2), [[2.5, 4.5], [10.5, 12.5]])


def test_pixel_cut_by_a_line_counts_for_both_cells():
    square = np.tile([0.0, 3.0, 6.0], (3, 1))
    np.testing.assert_allclose(mean_grid(square, 2), [[1.0, 5.0], [1.0, 5.0]])


@pytest.mark.parametrize("size", [14, 37, 252, 518])
def test_mean_grid_keeps_the_mean(size):
    square = np.random.default_rng(size).random((size, size), dtype=np.float32)
    assert mean_grid(square).shape == (37, 37)
    assert mean_grid(square).mean() == pytest.approx(square.mean(), abs=1e-6)


def test_golden_files_are_the_same_bytes_each_time_and_small(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_golden(folder, FrameConfig(size=56))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["cc.dcm", "expected.json", "mlo.dcm"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) < 500_000


def test_what_was_just_written_is_no_difference_and_what_is_damaged_is_one(tmp_path):
    folder, config = tmp_path / "golden", FrameConfig(size=56)
    write_golden(folder, config)
    assert golden_difference(folder, config) is None
    expected = json.loads((folder / "expected.json").read_text())
    expected["mlo.dcm"]["grid"][3][4] = float("nan")
    (folder / "expected.json").write_text(json.dumps(expected))
    assert golden_difference(folder, config) == "mlo.dcm: the mean of a cell is off by nan"
