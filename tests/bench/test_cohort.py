"""A short version of planning and resuming a million rows."""

from pathlib import Path

from bench.cohort import resume_figures
from glam.store.read import read_rows
from glam.store.verify import verify_store


def test_a_run_that_goes_on_is_timed_to_its_first_shard(tmp_path: Path):
    figures = resume_figures(tmp_path, 400)
    assert (figures["rows"], figures["shards"]) == (400, 7)
    assert 0 < figures["plan_s"] < 60
    assert 0 < figures["resume_s"] < 60
    assert read_rows(tmp_path / "store").num_rows == 400
    assert verify_store(tmp_path / "store").problems == ()
