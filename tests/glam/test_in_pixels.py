"""What was seen of the anatomy, told in stored pixels."""

import numpy as np

from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.prepare import prepare


def test_what_was_seen_is_told_in_stored_pixels(right: Pair) -> None:
    config = FrameConfig(size=252, kind="stretch")
    truth, anatomy = right.mlo.truth, prepare(view_of(right.mlo, config), config).anatomy
    assert anatomy is not None
    assert np.hypot(*np.subtract(anatomy.nipple, truth.nipple)) * 0.48 < 8
    assert anatomy.pectoral_line is not None
    assert truth.pectoral_line is not None
    (x0, y0), (x1, y1) = truth.pectoral_line
    for x, y in anatomy.pectoral_line:
        assert abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / np.hypot(x1 - x0, y1 - y0) * 0.48 < 8
    rows, cols = right.mlo.pixels.shape
    assert (anatomy.outline >= 0).all()
    assert (anatomy.outline <= (cols, rows)).all()
