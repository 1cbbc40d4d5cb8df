"""What large files cost a server in memory: two of 60 MB in one request, and twenty such requests at once.

python -m bench.memory [--quick]
"""

import argparse
import os
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from tests.samples.forms import ask, form
from tests.samples.mammograms import breast_values, file_of
from tests.samples.serving import ONE_CALLER, RealServer, of_proc, running

SIDE = 5500
"""Of the images: 2 x 5500 x 5500 bytes are 60.5 MB."""
CORES = os.cpu_count() or 1


def peaks(server: RealServer) -> dict[int, int]:
    """Largest resident size of every process since `forget_peaks`, in bytes."""
    found = {}
    for pid in server.rss():
        lines = [line for line in of_proc(pid, "status").decode().splitlines() if line.startswith("VmHWM")]
        found[pid] = int(lines[0].split()[1]) << 10 if lines else 0
    return found


def forget_peaks(server: RealServer) -> int:
    """Begin to watch for peaks; return the bytes that all processes have now (proc(5), clear_refs 5)."""
    for pid in server.rss():
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return sum(server.rss().values())


def memory_figures(bundle: Path, folder: Path, *, side: int = SIDE, concurrent: int = 20) -> dict[str, Any]:
    """Peak growth of all processes together, for one request of two large files and for many at once."""
    files = {key: file_of(breast_values(side, side), ViewPosition=key.upper()) for key in ("cc", "mlo")}
    small = {key: file_of(ViewPosition=key.upper()) for key in ("cc", "mlo")}
    arrays = 2 * 2 * side * side
    with running(bundle, folder / "log-memory", "--threads", "1", "--limits.deadline-s", "300", *ONE_CALLER) as server:
        for _ in range(3):
            ask(server.port, form(small))
        before = forget_peaks(server)
        one = ask(server.port, form(files), timeout_s=300)
        growth = sum(peaks(server).values()) - before
        before = forget_peaks(server)
        question = form(files)
        with ThreadPoolExecutor(concurrent) as pool:
            futures = [pool.submit(ask, server.port, question, timeout_s=300) for _ in range(concurrent)]
            statuses = Counter(future.result().status for future in futures)
        many = sum(peaks(server).values()) - before
    cap = CORES * growth
    return {
        "file_mb": round(len(files["cc"]) / 2**20, 1),
        "status": one.status,
        "growth_mb": round(growth / 2**20, 1),
        "arrays_mb": round(arrays / 2**20, 1),
        "beyond_arrays_mb": round((growth - arrays) / 2**20, 1),
        "concurrent": concurrent,
        "concurrent_statuses": {str(status): count for status, count in sorted(statuses.items())},
        "concurrent_growth_mb": round(many / 2**20, 1),
        "cap_mb": round(cap / 2**20, 1),
        "concurrent_to_cap": round(many / cap, 2),
    }


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="images of 2000 x 2000, six at once")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    options = parser.parse_args()
    sizes = {"side": 2000, "concurrent": 6} if options.quick else {}
    with tempfile.TemporaryDirectory() as name:
        figures = memory_figures(options.bundle, Path(name), **sizes)
    goals = {
        "beyond_arrays_mb": goal(figures["beyond_arrays_mb"], at_most=50.0),
        "concurrent_to_cap": goal(figures["concurrent_to_cap"], at_most=1.0),
    }
    print_summary("memory", figures, goals)


if __name__ == "__main__":
    main()
