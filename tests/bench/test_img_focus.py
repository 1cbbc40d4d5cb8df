"""The maps of a frozen tower, where it is known which region finds which."""

import numpy as np
import torch

from bench.img_focus import SIDE, frozen_maps
from glam.model.vision import ViewFeatures


def test_a_region_finds_the_row_of_its_slice_that_looks_like_it():
    rng, grid = np.random.default_rng(0), 2 * SIDE
    looks = rng.standard_normal((SIDE, SIDE, 32))  # (row, col, dim) of CC
    turned = looks[::-1]  # MLO: the same regions in the other order of rows

    def tower(squares):
        patches = [np.kron(view, np.ones((2, 2, 1))).reshape(grid**2, -1) for view in (looks, turned)]
        return ViewFeatures(torch.zeros(2, 32), torch.from_numpy(np.stack(patches)), torch.zeros(2, 32))

    (attention,) = frozen_maps(tower, grid)(np.zeros((1, 2, 4, 4), np.float32))
    for query in ("cc", "mlo"):
        best = attention.slices(query).argmax(axis=2)  # (col, row_query)
        assert (best == SIDE - 1 - np.arange(SIDE)).all()
    np.testing.assert_allclose(attention.slices("cc").sum(axis=2), 1)
    assert attention.pooling_cc.sum() == SIDE**2
