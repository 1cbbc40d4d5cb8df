"""A short version of the measure of searches."""

from pathlib import Path

import pytest

from bench.indexes import INDEXES, index_figures
from bench.search import search_figures
from glam.store.verify import verify_store
from tests.samples.stores import clustered


def test_a_search_of_every_row_is_timed_beside_the_bare_product(tmp_path: Path):
    figures = search_figures(tmp_path / "store", rows=5000, dim=16, rounds=3)
    assert (figures["rows"], figures["dim"]) == (5000, 16)
    assert figures["search_ms"] > 0
    assert verify_store(tmp_path / "store").problems == ()


def test_an_index_is_measured_by_recall_time_and_size():
    pytest.importorskip("faiss")
    both = clustered(600, 8, clusters=20)
    figures = index_figures("faiss_hnsw", both[:500], both[500:520], [64])
    assert "faiss_hnsw" in INDEXES
    assert figures["at 64"].startswith(("recall 1.000", "recall 0.99", "recall 0.98"))
    assert figures["build_cpu_s"] >= 0
