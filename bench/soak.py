"""A mixed load, 10 % of it wrong, for a long time: nothing lost, no fault of the server, and memory that stays.

python -m bench.soak [--minutes 60] [--quick] [--seed 0]

No 5xx but the 503, 504 and 507 that the server promises; every good request is answered or refused with one of these
or 429, and every bad one refused with a 4xx. Predictions, jobs, vectors, words against them, and rows of a store that
are like them. Memory: of each process, the growth from the end of the first quarter,
when caches and arenas are filled, to the end.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from tests.samples.serving import RealServer, running
from tests.samples.traffic import Mixture, mixture, phantom_files

PROMISED = frozenset({503, 504, 507})
DEADLINE_S = 30.0
GROWTH_MB = 32.0
SAMPLE_S = 1.0


@dataclass
class Soak:
    """What clients got, and how large the processes were."""

    server: RealServer
    mixture: Mixture
    until: float
    ends: Counter[tuple[str, bool, int]] = field(default_factory=Counter)
    """By name of the request, whether it is good, and status."""
    slowest_s: float = 0.0
    sizes: list[dict[int, int]] = field(default_factory=list)
    """Resident bytes by pid, one entry a sample."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> None:
        """One client."""
        while time.monotonic() < self.until:
            with self.lock:
                sample = self.mixture.next()
            outcome = sample.send(self.server.port, timeout_s=2 * DEADLINE_S)
            with self.lock:
                self.ends[sample.name, sample.is_good, outcome.status] += 1
                self.slowest_s = max(self.slowest_s, outcome.seconds)
            if outcome.status == 429:
                time.sleep(0.1)

    def watch(self) -> None:
        """Note the sizes of the processes."""
        while time.monotonic() < self.until:
            self.sizes.append(self.server.rss())
            time.sleep(SAMPLE_S)

    def by_status(self) -> dict[str, int]:
        """Requests by status."""
        counts: Counter[int] = Counter()
        for (_, _, status), count in self.ends.items():
            counts[status] += count
        return {str(status): counts[status] for status in sorted(counts)}

    def answered(self) -> dict[str, int]:
        """Good requests that were answered, by name."""
        return {
            name: count for (name, is_good, status), count in sorted(self.ends.items()) if is_good and status == 200
        }

    def faults(self) -> list[str]:
        """Requests that ended as none may, with how often."""
        return [
            f"{name}: {status} x {count}"
            for (name, is_good, status), count in sorted(self.ends.items())
            if not is_right(status, is_good=is_good)
        ]

    def growth_mb(self) -> float:
        """Largest growth of a process from the end of the first quarter, by medians of an eighth of the samples."""
        eighth = max(1, len(self.sizes) // 8)
        early, late = self.sizes[2 * eighth : 3 * eighth], self.sizes[-eighth:]
        grown = [median(late, pid) - median(early, pid) for pid in self.sizes[-1] if all(pid in s for s in early)]
        return max(grown, default=float("nan")) / 2**20


def is_right(status: int, *, is_good: bool) -> bool:
    """Whether a request may end so."""
    if status in PROMISED or status == 429:
        return True
    return status == 200 if is_good else 400 <= status < 500


def median(samples: list[dict[int, int]], pid: int) -> float:
    """Middle size of a process in some samples."""
    sizes = sorted(sample[pid] for sample in samples if pid in sample)
    return float(sizes[len(sizes) // 2]) if sizes else 0.0


def embed(bundle: Path, images: Path, store: Path) -> Path:
    """Embed the breasts of a folder into a store."""
    command = [sys.executable, "-m", "glam_serve.cohort.cli", "run", "--folder", str(images), "--out", str(store)]
    subprocess.run([*command, "--bundle", str(bundle)], check=True, capture_output=True)
    return store


def soak(bundle: Path, folder: Path, *, minutes: float, clients: int, seed: int) -> Soak:
    """Ask a server for so long and return what came of it."""
    traffic = mixture(phantom_files(folder / "exam"), seed=seed)
    store = embed(bundle, folder / "exam", folder / "store")
    options = ("--threads", "1", "--limits.deadline-s", str(DEADLINE_S), "--store", str(store))
    with running(bundle, folder / "log", *options) as server:
        load = Soak(server, traffic, time.monotonic() + 60 * minutes)
        with ThreadPoolExecutor(clients + 1) as pool:
            futures = [pool.submit(load.watch), *(pool.submit(load.client) for _ in range(clients))]
        for future in futures:
            future.result()
    return load


def main() -> None:
    """Soak a server and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    options = parser.parse_args()
    minutes = 0.5 if options.quick else options.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = soak(options.bundle, folder, minutes=minutes, clients=options.clients, seed=options.seed)
        log = (folder / "log").read_text()
    for fault in load.faults():
        print(fault, file=sys.stderr)
    figures = {
        "minutes": minutes,
        "requests": load.ends.total(),
        "by_status": load.by_status(),
        "answered": load.answered(),
        "slowest_s": round(load.slowest_s, 2),
        "largest_rss_mb": {str(pid): size >> 20 for pid, size in load.sizes[-1].items()},
    }
    goals = {
        "requests_that_ended_as_none_may": goal(len(load.faults()), at_most=0),
        "late_s": goal(round(load.slowest_s, 2), at_most=DEADLINE_S + 10),
        "growth_mb_of_any_process": goal(round(load.growth_mb(), 1), at_most=GROWTH_MB),
        "stack_traces_in_the_log": goal(log.count("Traceback"), at_most=0),
        "restarts": goal(log.count("starting another"), at_most=0),
    }
    print_summary("soak", figures, goals)


if __name__ == "__main__":
    main()
