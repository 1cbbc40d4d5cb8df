"""The record of what was done to a view."""

from dataclasses import replace

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.preparation import Preparation
from glam.prepare import ModelInput, prepare

CONFIG = FrameConfig(size=252, kind="stretch")


def done(prepared: ModelInput) -> Preparation:
    """The record of what was done."""
    assert prepared.preparation is not None
    return prepared.preparation


def test_the_cleared_muscle_is_told_in_share_and_area(left: Pair) -> None:
    record = done(prepare(view_of(left.mlo, CONFIG), CONFIG))
    kept = done(prepare(view_of(left.mlo, CONFIG), replace(CONFIG, mask_muscle=False)))
    top = left.mlo.truth.pectoral_line[0]
    y, x = np.mgrid[: left.mlo.truth.rows, : left.mlo.truth.cols] + 0.5
    normal = np.array(left.mlo.truth.pnl_direction)
    muscle = (left.mlo.pixels > 0) & ((x - top[0]) * normal[0] + (y - top[1]) * normal[1] < 0)
    assert record.muscle_share == pytest.approx(muscle.sum() / (left.mlo.pixels > 0).sum(), abs=0.03)
    assert record.muscle_mm2 == pytest.approx(muscle.sum() * 0.48**2, rel=0.1)
    assert (kept.muscle_share, kept.muscle_mm2) == (0, 0)
    assert done(prepare(view_of(left.cc, CONFIG), CONFIG)).muscle_share == 0
    unscaled = done(prepare(replace(view_of(left.mlo, CONFIG), spacing_mm=None), CONFIG))
    assert (unscaled.muscle_share, unscaled.muscle_mm2) == (record.muscle_share, None)
    assert record.as_json()["muscle_mm2"] == record.muscle_mm2
