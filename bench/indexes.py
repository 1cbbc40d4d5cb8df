"""Approximate indexes side by side: recall, speed, time and memory of building, size on disk.

python -m bench.indexes [--quick] [--rows N ...] [--dim D] [--queries Q] [--only NAME ...]

Vectors are random around 1,000 centres; questions are other vectors of the same kind. Every index is built, saved and
opened in a process of its own, with one thread where it lets itself be told. Seconds are those of the processor, of all
threads: the machine may be shared. What is not installed is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import print_summary
from tests.samples.own_memory import forget_peak, peak_bytes
from tests.samples.stores import clustered

K = 10
Search = Callable[[np.ndarray], np.ndarray]
"""A (dim,) vector to the places of its K nearest."""


def hnswlib_index(rows: np.ndarray, folder: Path) -> Callable[[int], Search]:
    """Build a graph of hnswlib, and return what opens it for a number of candidates."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=rows.shape[1])
    index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=1)
    index.add_items(rows, num_threads=1)
    index.save_index(str(folder / "index"))

    def opened(candidates: int) -> Search:
        there = hnswlib.Index(space="ip", dim=rows.shape[1])
        there.load_index(str(folder / "index"))
        there.set_ef(candidates)
        return lambda vector: there.knn_query(vector, K, num_threads=1)[0][0]

    return opened


def faiss_hnsw_index(rows: np.ndarray, folder: Path) -> Callable[[int], Search]:
    """Build the graph of faiss."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(rows)
    return _of_faiss(index, folder, lambda there, candidates: setattr(there.hnsw, "efSearch", candidates))


def faiss_ivf_index(rows: np.ndarray, folder: Path) -> Callable[[int], Search]:
    """Build the inverted lists of faiss, with whole vectors; of candidates a sixteenth are lists that are looked at."""
    import faiss

    faiss.omp_set_num_threads(1)
    lists = int(4 * len(rows) ** 0.5)
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[np.random.default_rng(0).choice(len(rows), min(len(rows), 64 * lists), replace=False)])
    index.add(rows)
    return _of_faiss(index, folder, lambda there, candidates: setattr(there, "nprobe", max(candidates // 16, 1)))


def _of_faiss(index: Any, folder: Path, told: Callable[[Any, int], None]) -> Callable[[int], Search]:
    import faiss

    faiss.write_index(index, str(folder / "index"))

    def opened(candidates: int) -> Search:
        there = faiss.read_index(str(folder / "index"))
        told(there, candidates)
        return lambda vector: there.search(vector[None], K)[1][0]

    return opened


def lancedb_index(rows: np.ndarray, folder: Path) -> Callable[[int], Search]:
    """Build the index of LanceDB (IVF_HNSW_SQ); of candidates a sixteenth are partitions that are looked at."""
    import lancedb
    import pyarrow as pa

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    table = lancedb.connect(folder / "lance").create_table(
        "t", pa.table({"place": range(len(rows)), "vector": vectors})
    )
    table.create_index(metric="dot", index_type="IVF_HNSW_SQ", vector_column_name="vector")

    def opened(candidates: int) -> Search:
        there: Any = lancedb.connect(folder / "lance").open_table("t")

        def search(vector: np.ndarray) -> np.ndarray:
            asked: Any = there.search(vector).distance_type("dot").nprobes(max(candidates // 16, 1)).ef(candidates)
            found = asked.refine_factor(4).select(["place"]).limit(K).to_arrow()
            return found.column("place").to_numpy()

        return search

    return opened


INDEXES = {
    "hnswlib": ("hnswlib", hnswlib_index),
    "faiss_hnsw": ("faiss", faiss_hnsw_index),
    "faiss_ivf": ("faiss", faiss_ivf_index),
    "lancedb": ("lancedb", lancedb_index),
}


def index_figures(name: str, rows: np.ndarray, questions: np.ndarray, candidates: Sequence[int]) -> dict[str, Any]:
    """Build one index and ask it; recall is the share of the true K nearest."""
    truth = [set(np.argsort(-(rows @ question))[:K].tolist()) for question in questions]
    with tempfile.TemporaryDirectory() as folder:
        before, start = forget_peak(), time.process_time()
        opened = INDEXES[name][1](rows, Path(folder))
        figures: dict[str, Any] = {
            "build_cpu_s": round(time.process_time() - start, 1),
            "peak_mb": peak_bytes() - before >> 20,
            "disk_mb": sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) >> 20,
        }
        for number in candidates:
            search = opened(number)
            search(questions[0])
            start = time.process_time()
            found = [search(question) for question in questions]
            seconds = time.process_time() - start
            hits = sum(len(true & set(places.tolist())) for true, places in zip(truth, found, strict=True))
            recall = hits / (K * len(questions))
            figures[f"at {number}"] = f"recall {recall:.3f}, {len(questions) / seconds:.0f} a CPU second"
    return figures


def exact_rate(rows: np.ndarray, questions: np.ndarray) -> float:
    """Return how many questions a second every row is compared with."""
    start = time.process_time()
    for question in questions[:20]:
        np.argpartition(rows @ question, -K)
    return len(questions[:20]) / (time.process_time() - start)


def main() -> None:
    """Measure each index in its own process, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 rows of 32 numbers")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--only", nargs="+", default=list(INDEXES))
    parser.add_argument("--candidates", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes, dim = ([5000], 32) if options.quick else (options.rows, options.dim)
    if options.child:
        both = clustered(sizes[0] + options.queries, dim, clusters=1000)
        rows, questions = both[: sizes[0]], both[sizes[0] :]
        if options.child == "exact":
            print(json.dumps({"per_cpu_s": round(exact_rate(rows, questions), 1)}))
        else:
            print(json.dumps(index_figures(options.child, rows, questions, options.candidates)))
        return
    names = [name for name in options.only if name in INDEXES and find_spec(INDEXES[name][0])]
    command = [sys.executable, "-m", "bench.indexes", "--dim", str(dim), "--queries", str(options.queries)]
    figures = {}
    for size in sizes:
        for name in [*names, "exact"]:
            asked = [*command, "--rows", str(size), "--child", name, "--candidates", *map(str, options.candidates)]
            done = subprocess.run(asked, capture_output=True, text=True, check=True)
            figures[f"{size} {name}"] = json.loads(done.stdout.splitlines()[-1])
            print(size, name, figures[f"{size} {name}"], file=sys.stderr, flush=True)
    print_summary("indexes", figures, {})


if __name__ == "__main__":
    main()
