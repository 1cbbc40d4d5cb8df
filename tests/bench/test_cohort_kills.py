"""A short version of the run that is killed fifty times."""

from pathlib import Path

import pytest

from bench.cohort_kills import kill_figures
from glam.phantom.exam import write_exams


@pytest.mark.slow
def test_a_store_is_compared_with_that_of_a_run_that_was_left_alone(tmp_path: Path):
    manifest = write_exams(tmp_path / "phantoms", num_exams=3, seed=2)
    figures = kill_figures(manifest, tmp_path, kills=2, workers=1)
    assert figures["kills"] == 2
    assert figures["stores_equal"] == figures["stores"] > 0
    assert (figures["rows"], figures["problems"]) == (6, 0)
