"""A short version of the measure of searches."""

from pathlib import Path

from bench.search import search_figures
from glam.store.verify import verify_store


def test_a_search_of_every_row_is_timed_beside_the_bare_product(tmp_path: Path):
    figures = search_figures(tmp_path / "store", rows=5000, dim=16, rounds=3)
    assert (figures["rows"], figures["dim"]) == (5000, 16)
    assert figures["search_ms"] > 0
    assert verify_store(tmp_path / "store").problems == ()
