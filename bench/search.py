"""How long a search of every row takes, beside one bare matrix-vector product of the same size.

python -m bench.search [--quick] [--rows N] [--dim D] [--rounds R]

The store is of random vectors, written and opened as any other; product and search take turns, and their medians count.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from glam.store.opening import open_vectors
from glam.store.search import StoreVectors
from tests.samples.own_memory import forget_peak, peak_bytes
from tests.samples.stores import clustered, write_vectors

ROWS, DIM = 1_000_000, 512
MOST_RATIO = 1.25
"""Of a search that leaves a patient out, to the bare product."""


def search_figures(folder: Path, *, rows: int, dim: int, rounds: int) -> dict[str, Any]:
    """Write a store, open it, and time searches for its own rows."""
    write_vectors(folder, clustered(rows, dim))
    before = forget_peak()
    start = time.perf_counter()
    vectors = open_vectors(folder)
    open_s = time.perf_counter() - start
    held = peak_bytes() - before
    times = search_times(vectors, rounds)
    product, search = (median(times[name]) for name in ("product", "search"))
    return {
        "rows": rows,
        "dim": dim,
        "product_ms": round(1e3 * product, 2),
        "search_ms": round(1e3 * search, 2),
        "ratio": round(search / product, 3),
        "open_s": round(open_s, 2),
        "matrix_mb": vectors.matrix.nbytes >> 20,
        "peak_beyond_mb": held >> 20,
    }


def search_times(vectors: StoreVectors, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each product and each search, after one of each that does not count."""
    times: dict[str, list[float]] = {"product": [], "search": []}
    for place in np.random.default_rng(1).integers(len(vectors), size=rounds + 1):
        vector, patient = vectors.matrix[place].copy(), vectors.names.column("patient_id")[place].as_py()
        start = time.perf_counter()
        np.matmul(vectors.matrix, vector)
        middle = time.perf_counter()
        hits = vectors.nearest(vector, 10, without_patients={patient})
        times["product"].append(middle - start)
        times["search"].append(time.perf_counter() - middle)
        assert len(hits) == 10
    return {name: seconds[1:] for name, seconds in times.items()}


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 rows of 128 numbers, 5 rounds, no goal")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    rows, dim, rounds = (50_000, 128, 5) if options.quick else (options.rows, options.dim, options.rounds)
    with tempfile.TemporaryDirectory() as name:
        figures = search_figures(Path(name) / "store", rows=rows, dim=dim, rounds=rounds)
    goals = {} if options.quick else {"ratio": goal(figures["ratio"], at_most=MOST_RATIO)}
    print_summary("search", figures, goals)


if __name__ == "__main__":
    main()
