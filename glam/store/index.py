"""An index of a store's embeddings: a graph (HNSW) through which the nearest rows are found without a look at all.

The file is a line of JSON and the graph as faiss writes it, without the vectors: those are the store's. The line says
which run and which rows it was made of, and one that was made of others is not used. Needs faiss.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glam.files import flush_folder, replacing
from glam.store.opening import open_vectors
from glam.store.schema import INDEX_FILE, KEYS, StoreError
from glam.store.search import Hit, StoreVectors

INDEX_FROM = 1_000_000
"""Rows from which an index is used: below, every row is compared within some tenths of a second."""
INDEX_FORMAT = 1
LINKS, CANDIDATES_BUILT = 16, 200
"""Of each row in the graph; and those that its links are chosen among."""
CANDIDATES = 128
"""That a search holds, at the least."""


class IndexMark(NamedTuple):
    """What the first line of an index says."""

    format: int
    run_key: str
    rows: int
    dim: int
    rows_sha256: str
    """Of keys, patients and embeddings, in their order."""
    graph_sha256: str


@dataclass(frozen=True, kw_only=True)
class IndexedVectors(StoreVectors):
    """The embeddings of a store in memory, with a graph for finding the nearest."""

    graph: Any = field(repr=False)
    """faiss.IndexHNSW, whose vectors are those of `flat`."""
    flat: Any = field(repr=False)
    """faiss.IndexFlat, of whose memory `matrix` is a view: both have to last as long."""

    @property
    def is_exact(self) -> bool:
        """Whether every row is compared."""
        return False

    def nearest_each(
        self, vectors: Sequence[np.ndarray], count: int, *, without_patients: Collection[str] = ()
    ) -> list[list[Hit]]:
        """Return rows most like each of several vectors, nearly always the most alike ones; likeness is exact.

        Where the graph leads to fewer than there are, as where many rows are left out, every row is compared.
        """
        left_out = np.flatnonzero(self.rows_of(without_patients)) if without_patients else np.zeros(0, np.int64)
        expected = min(count, len(self) - len(left_out))
        hits = [self._through_graph(self.unit(vector), count, left_out) for vector in vectors]
        return [
            found
            if len(found) >= expected
            else super(IndexedVectors, self).nearest_each([vector], count, without_patients=without_patients)[0]
            for vector, found in zip(vectors, hits, strict=True)
        ]

    def _through_graph(self, vector: NDArray[np.float32], count: int, left_out: NDArray[np.int64]) -> list[Hit]:
        faiss, count = _faiss(), min(count, len(self))
        faiss.omp_set_num_threads(1)  # of this thread: a pool of OpenMP would not outlive a fork
        chosen = faiss.IDSelectorNot(faiss.IDSelectorBatch(left_out)) if len(left_out) else None
        asked = faiss.SearchParametersHNSW(efSearch=max(CANDIDATES, 4 * count), sel=chosen)
        rows = self.graph.search(vector[None], count, params=asked)[1][0]
        rows = np.setdiff1d(rows[rows >= 0], left_out)  # -1: there was no more on the way; sorted
        scores = self.matrix[rows] @ vector
        order = np.argsort(-scores, kind="stable")
        return [Hit(int(rows[place]), float(scores[place])) for place in order]


def write_index(vectors: StoreVectors) -> Path:
    """Build the graph of a store's rows and put it into the store, whole or not at all; return its file."""
    faiss = _faiss()
    graph = faiss.IndexHNSWFlat(vectors.matrix.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = CANDIDATES_BUILT
    graph.add(vectors.matrix)
    content = faiss.serialize_index(graph, faiss.IO_FLAG_SKIP_STORAGE)
    mark = _mark(vectors, hashlib.sha256(content.data).hexdigest())
    path = vectors.store / INDEX_FILE
    with replacing(path) as scratch, scratch.open("wb") as file:
        file.write(json.dumps(mark._asdict()).encode() + b"\n")
        file.write(content.data)
    flush_folder(vectors.store)
    return path


def with_index(vectors: StoreVectors) -> StoreVectors:
    """Return the vectors with the index of their store; as they are where it has none.

    StoreError `stale_index`: it was made of other rows, or is damaged.
    """
    path = vectors.store / INDEX_FILE
    if not path.exists():
        return vectors
    with path.open("rb") as file:
        first = file.readline(4096)
        content = np.frombuffer(file.read(), np.uint8)
    way_out = f"make it again with glam-embed index {vectors.store}"
    if _read_mark(first) != _mark(vectors, hashlib.sha256(content.data).hexdigest()):
        raise StoreError("stale_index", f"{path} was made of other rows than the store has, or was changed: {way_out}")
    graph = _graph_of(content, vectors)
    if graph is None:
        raise StoreError("stale_index", f"{path} is no graph of the store's rows to this faiss: {way_out}")
    faiss = _faiss()
    flat = faiss.IndexFlatIP(vectors.matrix.shape[1])
    flat.add(vectors.matrix)
    graph.storage, graph.own_fields = flat, False
    matrix = faiss.rev_swig_ptr(flat.get_xb(), vectors.matrix.size).reshape(vectors.matrix.shape)  # one copy for both
    fields = vars(replace(vectors, matrix=matrix))
    return IndexedVectors(**fields, graph=graph, flat=flat)


def _graph_of(content: NDArray[np.uint8], vectors: StoreVectors) -> Any | None:
    """Return the graph that bytes hold; None where this faiss does not read them, or it is one of other rows."""
    faiss = _faiss()
    try:
        graph = faiss.deserialize_index(content)
    except RuntimeError:
        return None
    is_of_rows = isinstance(graph, faiss.IndexHNSW) and (graph.ntotal, graph.d) == vectors.matrix.shape
    return graph if is_of_rows else None


def searchable(store: Path, *, exact: bool = False) -> tuple[StoreVectors, str]:
    """Return the vectors of a store, with its index where it is large and has one; and why one there is not used.

    `exact`: every row is to be compared, index or not.
    """
    vectors = open_vectors(store)
    if exact or len(vectors) < INDEX_FROM or not (store / INDEX_FILE).exists():
        return vectors, ""
    if find_spec("faiss") is None:
        return vectors, f'{store / INDEX_FILE} is not used without faiss: pip install "glam-mammo[index]"'
    try:
        return with_index(vectors), ""
    except StoreError as error:
        return vectors, str(error)


def _faiss() -> Any:
    """Return the module, whose stubs lack much of it."""
    import faiss

    return faiss


def _mark(vectors: StoreVectors, graph_sha256: str) -> IndexMark:
    run, (rows, dim) = vectors.run, vectors.matrix.shape
    return IndexMark(INDEX_FORMAT, run.config.key, rows, dim, _rows_sha256(vectors), graph_sha256)


def _read_mark(line: bytes) -> IndexMark | None:
    with suppress(ValueError, TypeError):
        return IndexMark(**json.loads(line))
    return None


def _rows_sha256(vectors: StoreVectors) -> str:
    whole = hashlib.sha256(np.ascontiguousarray(vectors.matrix).data)
    for name in (*KEYS[vectors.run.config.level], "patient_id"):
        for text in vectors.names.column(name).to_pylist():
            whole.update(text.encode() + b"\0")
    return whole.hexdigest()
