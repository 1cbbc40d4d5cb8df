"""Black and white are those of the breast: neither pixels nor rim move them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from glam.config import FrameConfig
from glam.contrast import _without_rim
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.prepare import prepare
from glam.view import View

CONFIG = FrameConfig(size=252, kind="stretch")


def levels(view: View) -> tuple[float, float]:
    """Black and white, between which the contrast was spread."""
    record = prepare(view, FrameConfig(size=252)).preparation
    assert record is not None
    return record.black, record.white


def test_the_black_level_does_not_move_with_the_phase_of_the_pixels_or_their_size(
    left: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for projection in (left.cc, left.mlo):
        view = view_of(projection, CONFIG)
        variants = [replace(view, pixels=view.pixels[top:, start:]) for top, start in ((0, 0), (1, 0), (2, 1), (5, 3))]
        for factor in (0.7, 0.9, 1.15):
            pixels = cv2.resize(view.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            variants.append(replace(view, pixels=pixels, spacing_mm=(0.48 / factor, 0.48 / factor)))
        monkeypatch.undo()
        ours = np.array([levels(variant) for variant in variants])
        monkeypatch.setattr("glam.contrast.RIM_SHARE", 0.0)
        with_rim = np.array([levels(variant) for variant in variants])
        moved, moved_with_rim = (np.ptp(ends[:, 0]) / np.ptp(ends.mean(axis=0)) for ends in (ours, with_rim))
        assert moved < 0.01
        assert moved < moved_with_rim / 4


def test_next_to_nothing_of_the_breast_is_cut_off_as_black(left: Pair) -> None:
    for projection in (left.cc, left.mlo):
        prepared = prepare(view_of(projection, CONFIG), FrameConfig(size=252))
        inside = (
            cv2.morphologyEx((prepared.pixels > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
        )
        assert (prepared.pixels[inside] == 0).mean() < 0.05


def test_a_breast_thinner_than_two_rims_keeps_its_levels() -> None:
    thin = np.zeros((252, 252), bool)
    thin[100:105, :200] = True
    assert 0.5 * thin.sum() <= _without_rim(thin).sum() < thin.sum()
    thin[101:105] = False
    np.testing.assert_array_equal(_without_rim(thin), thin)
    assert not _without_rim(np.zeros((252, 252), bool)).any()
