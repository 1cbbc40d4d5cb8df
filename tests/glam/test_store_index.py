"""The index of a store: nearly all of the true answers, none of whoever is left out, and never one of other rows."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glam.store import index as indexed
from glam.store.index import searchable, with_index, write_index
from glam.store.opening import open_vectors
from glam.store.schema import INDEX_FILE, StoreError
from glam.store.search import StoreVectors
from tests.samples.stores import clustered, write_vectors

ROWS, DIM = 3000, 16
EVERY = clustered(ROWS + 50, DIM, clusters=30)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("faiss")
    folder = tmp_path_factory.mktemp("index") / "store"
    write_vectors(folder, EVERY[:ROWS])
    write_index(open_vectors(folder))
    return folder


@pytest.fixture(scope="module")
def exact(store: Path) -> StoreVectors:
    return open_vectors(store)


def test_the_nearest_are_found_through_the_graph_with_their_likeness(store: Path, exact: StoreVectors):
    graph, questions = with_index(open_vectors(store)), list(EVERY[ROWS:])
    assert (graph.is_exact, exact.is_exact) == (False, True)
    found = graph.nearest_each(questions, 10)
    hits = 0
    for hits_there, expected in zip(found, exact.nearest_each(questions, 10), strict=True):
        likeness = {hit.row: hit.likeness for hit in expected}
        hits += sum(hit.row in likeness for hit in hits_there)
        assert [hit.likeness for hit in hits_there] == sorted((hit.likeness for hit in hits_there), reverse=True)
        for hit in hits_there:
            assert hit.likeness == pytest.approx(likeness.get(hit.row, hit.likeness), abs=1e-6)
    assert hits >= 0.97 * 10 * len(questions)
    np.testing.assert_array_equal(graph.matrix, exact.matrix)


def test_rows_of_a_patient_are_left_out_and_the_answer_is_as_long_as_asked(store: Path, exact: StoreVectors):
    graph = with_index(open_vectors(store))
    patients = exact.names.column("patient_id").to_pylist()
    own = patients[100]
    hits = graph.nearest(exact.matrix[100], 10, without_patients={own})
    assert len(hits) == 10
    assert own not in {patients[hit.row] for hit in hits}


def test_more_rows_than_there_are_may_be_asked_for(store: Path, exact: StoreVectors):
    graph = with_index(open_vectors(store))
    hits = graph.nearest(exact.matrix[5], 10**10)
    assert sorted(hit.row for hit in hits) == list(range(ROWS))
    assert hits[0].row == 5


def test_where_nearly_all_are_left_out_every_row_is_compared(store: Path, exact: StoreVectors):
    graph = with_index(open_vectors(store))
    far = {
        patient for patient in exact.names.column("patient_id").to_pylist() if patient not in ("p00000003", "p00000004")
    }
    hits = graph.nearest(exact.matrix[2000], 10, without_patients=far)
    assert sorted(hit.row for hit in hits) == [6, 7, 8, 9]


def test_an_index_of_other_rows_or_a_changed_one_is_noticed_and_not_used(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(indexed, "INDEX_FROM", 1)
    content = (store / INDEX_FILE).read_bytes()
    other = EVERY[:ROWS].copy()
    other[7] = -other[7]
    write_vectors(tmp_path / "other", other)
    damaged = [content, content[:-1], content[:500] + b"x" + content[501:], b"", b"{}\n", b"[1]\n", b"\xff\n"]
    for number, bytes_there in enumerate(damaged):
        (tmp_path / "other" / INDEX_FILE).write_bytes(bytes_there)
        with pytest.raises(StoreError, match="make it again with glam-embed index"):
            with_index(open_vectors(tmp_path / "other"))
        vectors, why_not = searchable(tmp_path / "other")
        assert vectors.is_exact, number
        assert "stale_index" not in why_not
        assert "other rows" in why_not


def other_graphs() -> Iterator[bytes]:
    """What another version of faiss may write, no graph at all, and a graph of fewer rows."""
    import faiss

    yield b"IxNw" * 10
    flat, fewer = faiss.IndexFlatIP(DIM), faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    for index in (flat, fewer):
        index.add(EVERY[:50])
        yield faiss.serialize_index(index, faiss.IO_FLAG_SKIP_STORAGE).tobytes()


def test_a_graph_that_is_marked_as_the_stores_and_is_not_is_not_used(
    exact: StoreVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(indexed, "INDEX_FROM", 1)
    write_vectors(tmp_path / "same", EVERY[:ROWS])
    for content in other_graphs():
        mark = indexed._mark(exact, hashlib.sha256(content).hexdigest())
        (tmp_path / "same" / INDEX_FILE).write_bytes(json.dumps(mark._asdict()).encode() + b"\n" + content)
        vectors, why_not = searchable(tmp_path / "same")
        assert vectors.is_exact
        assert "make it again with glam-embed index" in why_not


def test_an_index_is_used_of_large_stores_alone_and_not_where_every_row_is_wanted(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    assert searchable(store)[0].is_exact
    monkeypatch.setattr(indexed, "INDEX_FROM", ROWS)
    assert not searchable(store)[0].is_exact
    assert searchable(store, exact=True)[0].is_exact
    monkeypatch.setattr(indexed, "find_spec", lambda name: None)
    vectors, why_not = searchable(store)
    assert vectors.is_exact
    assert 'pip install "glam-mammo[index]"' in why_not
