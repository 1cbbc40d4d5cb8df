from dataclasses import replace
from pathlib import Path

import pytest

from bench.alignment_page import put_section
from bench.phantom_geometry import ROWS, TOLERANCES, goals_of, lengths, lengths_section, table_of
from glam.phantom.patients import PATIENTS


def test_the_table_has_a_row_and_a_tolerance_for_every_figure_of_the_patients() -> None:
    assert list(ROWS) == list(TOLERANCES) == [name for name in vars(PATIENTS) if name != "breasts"]


def test_a_goal_is_the_distance_from_the_patients() -> None:
    tables = {"usual": PATIENTS, "varied": replace(PATIENTS, difference_mm=5.0)}
    goals = goals_of(tables)
    assert goals["usual_difference_mm"].as_json() == {"value": 0, "goal": 0.7, "holds": True}
    assert goals["varied_difference_mm"].as_json() == {"value": 1.5, "goal": 0.7, "holds": False}


def test_breasts_without_a_muscle_are_left_out() -> None:
    table = table_of("varied", num_breasts=30, seed=0)
    assert 0 < table.breasts < 30
    assert table.breasts == sum(lengths(seed, kind="varied") is not None for seed in range(30))


def test_the_section_holds_patients_and_both_kinds_of_phantoms_and_replaces_itself(tmp_path: Path) -> None:
    page = tmp_path / "phantom.md"
    page.write_text(
        "# Phantom\n\nBefore.\n\n<!-- lengths: bench/phantom_geometry.py -->\nold\n<!-- /lengths -->\n\nAfter.\n"
    )
    varied = replace(PATIENTS, breasts=2000, cc_mm=70.25)
    section = lengths_section({"usual": PATIENTS, "varied": varied}, seed=1, commit="abc", machine="here")
    put_section(page, section)
    once = page.read_text()
    put_section(page, section)
    assert page.read_text() == once
    assert "| breasts | 1,463 | 1,463 | 2,000 | |" in once
    assert "| CC, nipple to image edge, mean, mm | 73.5 | 73.5 | 70.2 | 1.5 |" in once
    assert once.startswith("# Phantom\n\nBefore.\n\n<!-- lengths")
    assert once.endswith("<!-- /lengths -->\n\nAfter.\n")
    assert "old" not in once


@pytest.mark.parametrize("kind", ["usual", "varied"])
def test_the_same_seeds_give_the_same_table(kind: str) -> None:
    assert table_of(kind, num_breasts=5, seed=3) == table_of(kind, num_breasts=5, seed=3)
