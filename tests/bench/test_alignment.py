import json
from pathlib import Path

import numpy as np
import pytest

from bench.alignment import Landmark, Measured, figures_of, goals_of, measure
from bench.alignment_page import alignment_section, put_section
from glam.frame import transform
from tests.samples.released import FALLBACK_DEG, released, released_line


def measured(error_mm: float = 2.0, *, share: float | None = 0.2, found: bool = True) -> Measured:
    names = [f"{who} {kind}" for who in ("ours", "oracle") for kind in ("stretch", "nipple_stretch")]
    landmark = Landmark(
        muscle_share=share, found=found, angle_deg=19.0, angle_error_deg=1.0, fallback=not found, from_nipple=False
    )
    errors = {name: np.full(9, error_mm if name.startswith("ours") else 2.0) for name in names}
    return Measured(errors, dict.fromkeys(names, 90.0), 100.0, (1.0, 6.0), landmark)


def test_figures_are_in_mm_per_cent_and_columns() -> None:
    figures = figures_of([measured(3.0), measured(3.0)])
    assert figures["frames"]["ours stretch"]["mm"]["median"] == 3
    assert figures["frames"]["ours stretch"]["percent"]["p95"] == 3
    assert figures["frames"]["ours stretch"]["columns"]["median"] == pytest.approx(0.3)
    assert figures["nipple"]["within_5_mm"] == 0.5


def test_a_goal_that_is_missed_says_so() -> None:
    pairs = [measured(2.5), measured(2.5, found=False), measured(2.5, share=None, found=True)]
    goals = goals_of(figures_of(pairs))
    assert goals["ap_error_ratio_median"].as_json() == {"value": 1.25, "goal": 1.2, "holds": False}
    assert goals["ap_error_ratio_p95"].holds
    assert goals["muscle_found"].value == 0.5
    assert goals["muscle_found_where_none"].value == 1
    assert not goals["fallbacks"].holds


def test_a_phantom_without_a_muscle_counts_among_the_views_without_one_alone() -> None:
    muscle = figures_of([measured(share=None, found=False), measured(share=0.01), measured(share=0.2)])["muscle"]
    assert (muscle["views_with"], muscle["views_without"]) == (1, 1)
    assert (muscle["found"], muscle["found_where_none"]) == (1, 0)


def test_a_section_replaces_its_own_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nBefore.\n")
    figures = figures_of([measured(), measured(share=None, found=False)]) | {"seed": 1, "px_mm": 0.24}
    for number in ("aaa", "bbb"):
        section = alignment_section(figures, goals_of(figures), commit=number, machine="here")
        put_section(page, section)
    text = page.read_text()
    assert text.startswith("# Results\n\nBefore.\n")
    assert "aaa" not in text
    assert text.count("## Alignment of the two views") == 1
    assert "| ours stretch | 2.00 | 2.00 | 2.00 | 2.00 |" in text


def test_a_phantom_pair_is_measured_in_every_frame() -> None:
    one = measure(1, seed=77_000_000, px_mm=0.96)
    assert {name.partition(" ")[0] for name in one.errors_mm} == {"ours", "oracle", "plain", "released"}
    assert all(np.isfinite(errors).all() and len(errors) == 200 for errors in one.errors_mm.values())
    assert np.median(one.errors_mm["ours nipple_stretch"]) < np.median(one.errors_mm["plain crop"])
    json.dumps(figures_of([one, one]))


def oblique(angle_deg: float, top: float) -> np.ndarray:
    """An 8-bit breast with an even bright muscle behind a line that meets the upper border at `top`."""
    y, x = np.mgrid[:1000, :600] + 0.5
    body = (x / 560) ** 2 + ((y - 480) / 500) ** 2 < 1
    muscle = body & (x < top - y * np.tan(np.deg2rad(angle_deg)))
    texture = 25 * np.sin(x / 30) * np.sin(y / 25)
    return np.where(muscle, 200, np.where(body, 110 + texture, 0)).astype(np.uint8)


def test_the_released_recipe_finds_a_plain_muscle_and_turns_about_it() -> None:
    shown = oblique(25, 230)
    line = released_line(shown)
    assert line is not None
    assert line.angle_deg == pytest.approx(25, abs=1.5)
    made = released(shown.astype(np.uint16) * 257, is_mlo=True)
    upper, lower = transform(made.to_box, [[230, 0], [230 - 300 * np.tan(np.deg2rad(25)), 300]])
    assert upper[0] == pytest.approx(lower[0], abs=15)


def test_the_released_recipe_falls_back_on_18_degrees() -> None:
    shown = oblique(25, -400)
    assert released_line(shown) is None
    made = released(shown.astype(np.uint16) * 257, is_mlo=True)
    assert np.rad2deg(np.arctan2(made.to_box[0, 1], made.to_box[0, 0])) == pytest.approx(FALLBACK_DEG)
