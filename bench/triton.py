"""Triton beside ONNX Runtime on the same graphs in the same run: seconds a pair, by protocol and number of clients.

The server is the real one; its backend is the stand-in of tests/samples/triton_backend, which runs ONNX Runtime on the
CPU in Triton's own processes. So the ratio tells what the way to Triton and back costs, not what Triton's C++ backend
gains on a GPU.

make triton-env; python -m bench.triton [--quick] [--bundle FOLDER]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE, Bundle, read_bundle
from glam.engine import run_breasts
from glam.loading import open_runtime
from glam.runtime import Runtime
from glam_export.triton import write_repository
from tests.samples.triton_server import ABSENT, is_there, triton_server

CLIENTS = (1, 4)
MAX_DIFFERENCE = 1e-5


def pairs(bundle: Bundle, count: int) -> list[dict[str, np.ndarray]]:
    """Breasts of seeded noise."""
    size = bundle.model.vision.image_size
    rng = np.random.default_rng(0)
    return [{key: rng.random((size, size), dtype=np.float32) for key in ("cc", "mlo")} for _ in range(count)]


def seconds_a_pair(runtime: Runtime, breasts: list[dict[str, np.ndarray]], *, clients: int) -> float:
    """Wall time of all breasts, each a request of its own, divided by their number."""
    ask: Callable[[dict[str, np.ndarray]], object] = lambda breast: run_breasts(runtime, [breast])  # noqa: E731
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, breasts[:clients]))  # every thread has its connection
        start = time.perf_counter()
        list(pool.map(ask, breasts))
        return (time.perf_counter() - start) / len(breasts)


def largest_difference(runtime: Runtime, reference: Runtime, breasts: list[dict[str, np.ndarray]]) -> float:
    """Largest absolute difference of any embedding or attention."""
    differences = [0.0]
    for answer, expected in zip(run_breasts(runtime, breasts), run_breasts(reference, breasts), strict=True):
        differences += [float(np.abs(answer.embeddings[key] - expected.embeddings[key]).max()) for key in ("cc", "mlo")]
        if answer.attention is not None and expected.attention is not None:
            maps = zip(vars(answer.attention).values(), vars(expected.attention).values(), strict=True)
            differences += [float(np.abs(one - other).max()) for one, other in maps]
    return max(differences)


def measure(runtimes: dict[str, Runtime], breasts: list[dict[str, np.ndarray]], *, rounds: int) -> dict[str, float]:
    """Median seconds a pair of each way and number of clients; a round runs all, so that load falls on all alike."""
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for clients in CLIENTS:
            for name, runtime in runtimes.items():
                taken.setdefault(f"{name}_{clients}", []).append(seconds_a_pair(runtime, breasts, clients=clients))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    arguments = parser.parse_args()
    if not is_there():
        raise SystemExit(ABSENT)
    bundle = read_bundle(arguments.bundle)
    breasts = pairs(bundle, 8 if arguments.quick else 32)
    with tempfile.TemporaryDirectory() as scratch:
        repository = write_repository(bundle, Path(scratch, "repository"), keep_local=True)
        with triton_server(repository, Path(scratch)) as server:
            reference = open_runtime(bundle, threads=1)
            urls = {"grpc": server.grpc_url, "http": server.http_url}
            through = {name: open_runtime(bundle, "triton", url=url) for name, url in urls.items()}
            differences = {
                name: largest_difference(runtime, reference, breasts[:3]) for name, runtime in through.items()
            }
            seconds = measure({"onnx": reference} | through, breasts, rounds=3 if arguments.quick else 10)
    ratios = {
        f"{name}_to_onnx_{clients}": round(seconds[f"{name}_{clients}"] / seconds[f"onnx_{clients}"], 3)
        for name in through
        for clients in CLIENTS
    }
    figures = {
        "bundle": bundle.name,
        "pairs": len(breasts),
        "milliseconds_a_pair": {name: round(1e3 * value, 2) for name, value in seconds.items()},
        "ratio_of_seconds": ratios,
    }
    bounds = {f"difference_{name}": goal(value, at_most=MAX_DIFFERENCE) for name, value in differences.items()}
    print_summary("triton", figures, bounds)


if __name__ == "__main__":
    main()
