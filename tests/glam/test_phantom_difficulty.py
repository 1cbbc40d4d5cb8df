from dataclasses import replace

import numpy as np
import pytest

from glam.phantom import PhantomOptions, draw_breast, draw_pair
from glam.phantom.difficulty import quanta_factor
from glam.phantom.exposure import MAX_STORED
from glam.phantom.options import Difficulty, varied

COARSE = PhantomOptions(px_mm=0.96, num_tissue_points=40)


def with_difficulty(**values: object) -> PhantomOptions:
    return replace(COARSE, difficulty=Difficulty(**values))  # type: ignore[arg-type]


def test_without_a_difficulty_nothing_changes() -> None:
    plain, asked = draw_pair(4, COARSE), draw_pair(4, with_difficulty())
    np.testing.assert_array_equal(plain.cc.pixels, asked.cc.pixels)
    np.testing.assert_array_equal(plain.mlo.pixels, asked.mlo.pixels)


def test_a_view_without_a_muscle_has_none_in_its_truth_and_its_corner() -> None:
    with_muscle, without = draw_pair(4, COARSE).mlo, draw_pair(4, with_difficulty(no_muscle=1.0)).mlo
    assert with_muscle.truth.pectoral_line is not None
    assert without.truth.pectoral_line is None
    corner = np.s_[:60, :12]
    assert without.pixels[corner][without.pixels[corner] > 0].std() > with_muscle.pixels[corner].std()


def test_much_and_little_muscle_reach_further_and_less_far_than_usual() -> None:
    def reach(**values: object) -> float:
        line = draw_pair(4, with_difficulty(**values)).mlo.truth.pectoral_line
        return -1.0 if line is None else line[0][0]

    assert reach(small_muscle=1.0) < reach() < reach(large_muscle=1.0)


def test_a_truncated_view_lacks_its_chest_wall() -> None:
    truths = [draw_pair(seed, with_difficulty(truncated_mm=20.0)).cc.truth for seed in range(3)]
    assert all(-20.1 < truth.pnl_foot[0] * truth.px_mm < 0 for truth in truths)
    assert draw_pair(0, COARSE).cc.truth.pnl_foot[0] == pytest.approx(0, abs=0.1)


def test_a_rolled_breast_moves_across_its_axis_and_not_along_it() -> None:
    usual, rolled = draw_breast(4, COARSE), draw_breast(4, with_difficulty(rolled_deg=10.0))
    assert rolled.geometry["CC"].theta != usual.geometry["CC"].theta
    points = np.array([[0.5, 0.2, 0.4]])
    before, after = usual.pixels_of(points, "CC")[0], rolled.pixels_of(points, "CC")[0]
    assert abs(after[1] - before[1]) > 3 * abs(after[0] - before[0])


def test_fewer_photons_are_noisier() -> None:
    options = with_difficulty(quanta=(0.05, 0.05))
    assert quanta_factor(4, "CC", options) == pytest.approx(0.05)
    rough = [
        np.abs(np.diff(draw_pair(4, chosen).cc.pixels[100:160, 20:60].astype(float))).mean()
        for chosen in (COARSE, options)
    ]
    assert rough[1] > 1.05 * rough[0]


def test_labels_and_strips_lie_outside_the_truth() -> None:
    plain, marked = draw_pair(2, COARSE).cc, draw_pair(2, with_difficulty(marks=1.0)).cc
    changed = plain.pixels != marked.pixels
    assert changed.any()
    assert set(np.unique(marked.pixels[changed])) <= {MAX_STORED, int(0.85 * MAX_STORED)}
    assert plain.truth.nipple == marked.truth.nipple


def test_every_difficulty_is_among_varied_phantoms() -> None:
    coarse = replace(varied(), px_mm=0.96)
    still = replace(coarse, difficulty=Difficulty())
    truths = [draw_pair(seed, coarse).mlo.truth for seed in range(24)]
    angles = [float(np.degrees(draw_breast(seed, still).geometry["MLO"].theta)) for seed in range(24)]
    assert 30 <= min(angles) < 38
    assert 50 < max(angles) <= 60
    rolled = [truth.theta_deg - angle for truth, angle in zip(truths, angles, strict=True)]
    assert 4 < np.std(rolled) < 14
    noises = [quanta_factor(seed, "CC", varied()) for seed in range(24)]
    assert 0.25 <= min(noises) < 0.4
    assert 0.8 < max(noises) <= 1
    assert any(truth.pectoral_line is None for truth in truths)
    assert any(truth.pectoral_line is not None for truth in truths)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"no_muscle": 0.7, "large_muscle": 0.6}, "are none"), ({"quanta": (0.0, 1.0)}, "not an interval")],
)
def test_impossible_difficulties_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Difficulty(**values)  # type: ignore[arg-type]
