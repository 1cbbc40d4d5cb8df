"""What the server makes of the machine: throughput, latency and memory, beside what the work itself costs.

python -m bench.serve [--quick] [--real]

Ratios in one run: the CPU time of decoding, preparing and running the model on a pair; the pairs a second of processes
that do nothing else; and the server under closed loops of 1, 8 and 32 clients and an open loop, asked by a process of
its own. The same for plain LitServe (decoding in the worker) and plain FastAPI (a lock around the model).
A machine with other work lowers every rate: `busy_elsewhere` says how much of it was taken, and `of_the_cpu_it_used`,
the work's CPU time over that of all processes of the server, is what remains comparable then.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.in_process import Loop
from bench.memory import memory_figures
from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from glam.local_server import free_port
from tests.samples.forms import ask, form
from tests.samples.serving import ONE_CALLER, running
from tests.samples.traffic import phantom_files

CORES = os.cpu_count() or 1
OPTIONS = ("--workers", str(CORES), "--apis", str(CORES), "--threads", "1", "--limits.deadline-s", "120", *ONE_CALLER)


class Pair(NamedTuple):
    """The files that are sent."""

    cc: Path
    mlo: Path


def load(port: int, pair: Pair, *words: str) -> list[tuple[int, float]]:
    """Status and seconds of every request of `bench.load`, which is a process of its own."""
    command = [sys.executable, "-m", "bench.load", str(port), *map(str, pair), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [(status, seconds) for status, seconds in json.loads(done.stdout)]


def latencies(outcomes: list[tuple[int, float]], seconds: float) -> dict[str, Any]:
    """Rate of the answers, their quantiles, and what else came back."""
    good = [took for status, took in outcomes if status == 200]
    p50, p99 = np.quantile(good, [0.5, 0.99]) if good else (float("nan"), float("nan"))
    others = sum(status != 200 for status, _ in outcomes)
    return {
        "pairs_per_s": round(len(good) / seconds, 3),
        "p50_s": round(float(p50), 4),
        "p99_s": round(float(p99), 4),
        "others": others,
    }


def closed_loops(port: int, pair: Pair, *, seconds: float, clients: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Closed loops of so many clients."""
    words = ["--seconds", str(seconds), "--clients"]
    return {str(count): latencies(load(port, pair, *words, str(count)), seconds) for count in clients}


def in_process(bundle: Path, pair: Pair, *, processes: int, seconds: float) -> list[dict[str, Any]]:
    """What processes that only answer the pair say, all at the same time."""
    command = [sys.executable, "-m", "bench.in_process", str(bundle), *map(str, pair), str(seconds)]
    running_loops = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return [json.loads(process.communicate()[0]) for process in running_loops]


@contextmanager
def baseline(module: str, bundle: Path, *words: str) -> Iterator[int]:
    """A server of bench.baselines, at the port that is given."""
    port = free_port(0)
    command = [sys.executable, "-m", f"bench.baselines.{module}", str(bundle), str(port), *words]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while ask(port, form({}), timeout_s=5).status <= 0:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{module} did not start")
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # LitServe's workers outlive its parent otherwise, and take cores
        process.wait()


def overhead_s(port: int, bundle: Path, pair: Pair, *, rounds: int) -> float:
    """Median time of one client's request less that of the same work in this process, taken in turns."""
    contents = {"cc": pair.cc.read_bytes(), "mlo": pair.mlo.read_bytes()}
    loop, question = Loop(bundle, **contents), form(contents)
    loop.pair()
    asked = [ask(port, question).seconds - _seconds_of(loop) for _ in range(rounds + 1)]
    return float(np.median(asked[1:]))


def _seconds_of(loop: Loop) -> float:
    loop.pair()
    return loop.wall_s[-1]


def _cpu_s_of_children() -> float:
    """CPU time of ended child processes: the clients, which share the machine with the server."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def busy_elsewhere() -> float:
    """Share of the machine that other programs take while this one waits, over two seconds."""
    before = _cpu_times()
    time.sleep(2)
    busy, total = (after - earlier for after, earlier in zip(_cpu_times(), before, strict=True))
    return busy / total


def _cpu_times() -> tuple[int, int]:
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def pair_of(folder: Path, *, real: bool) -> Pair:
    """Two phantom mammograms, or two real films."""
    if real:
        from glam_serve.demo import real_pair

        return Pair(**real_pair())
    files = phantom_files(folder)
    return Pair(files["L_CC"], files["L_MLO"])


def measure(bundle: Path, folder: Path, pair: Pair, *, seconds: float, quick: bool) -> dict[str, Any]:
    """All figures."""
    busy = [busy_elsewhere()]
    clients = (1, 8) if quick else (1, 8, 32)
    alone = in_process(bundle, pair, processes=1, seconds=seconds)[0]
    beside = in_process(bundle, pair, processes=CORES, seconds=seconds)
    with running(bundle, folder / "log", *OPTIONS) as server:
        load(server.port, pair, "--seconds", "3", "--clients", str(2 * CORES))  # every worker has answered
        before, clients_before = server.cpu_s(), _cpu_s_of_children()
        served = closed_loops(server.port, pair, seconds=seconds, clients=clients)
        answered = sum(figures["pairs_per_s"] * seconds for figures in served.values())
        clients_cpu_s = (_cpu_s_of_children() - clients_before) / answered
        cpu_s = {kind: (used - before[kind]) / answered for kind, used in server.cpu_s().items()}
        best = max(figures["pairs_per_s"] for figures in served.values())
        longer = 2 * seconds
        outcomes = load(server.port, pair, "--seconds", str(longer), "--rate", str(max(0.1, 0.8 * best)))
        loop = latencies(outcomes, longer)
        overhead = overhead_s(server.port, bundle, pair, rounds=5 if quick else 40)
    busy.append(busy_elsewhere())
    with baseline("litserve_app", bundle, str(CORES)) as port:
        plain_litserve = closed_loops(port, pair, seconds=seconds, clients=clients[:2])
    with baseline("fastapi_app", bundle) as port:
        plain_fastapi = closed_loops(port, pair, seconds=seconds, clients=clients[:2])
    busy.append(busy_elsewhere())
    return {
        "cores": CORES,
        "busy_elsewhere": [round(share, 2) for share in busy],
        "cpu_s_a_pair": {stage: round(value, 4) for stage, value in alone["cpu_s"].items()},
        "in_process_p50_s": round(float(np.median(alone["wall_s"])), 4),
        "in_process_pairs_per_s": round(sum(one["pairs"] / one["seconds"] for one in beside), 3),
        "server": served,
        "server_cpu_s_a_pair": {kind: round(used, 4) for kind, used in cpu_s.items()},
        "clients_cpu_s_a_pair": round(clients_cpu_s, 4),
        "open_loop_at_80_percent": loop,
        "overhead_at_one_client_s": round(overhead, 4),
        "plain_litserve": plain_litserve,
        "plain_fastapi": plain_fastapi,
    }


def goals_of(figures: dict[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
    """The goals of the issue."""
    best = max(entry["pairs_per_s"] for entry in figures["server"].values())
    work_s = sum(figures["cpu_s_a_pair"][stage] for stage in ("decode", "prepare", "model"))
    others = {
        name: max(entry["pairs_per_s"] for entry in figures[name].values())
        for name in ("plain_litserve", "plain_fastapi")
    }
    loop = figures["open_loop_at_80_percent"]
    goals = {
        "of_the_machine": goal(round(best * work_s / CORES, 3), at_least=0.9),
        "of_the_cpu_it_used": goal(round(work_s / sum(figures["server_cpu_s_a_pair"].values()), 3), at_least=0.9),
        "of_independent_workers": goal(round(best / figures["in_process_pairs_per_s"], 3), at_least=0.95),
        "overhead_at_one_client_s": goal(figures["overhead_at_one_client_s"], at_most=0.015),
        "p99_to_p50_at_80_percent": goal(round(loop["p99_s"] / loop["p50_s"], 2), at_most=3.0),
        "to_plain_litserve": goal(round(best / others["plain_litserve"], 2), at_least=1.0),
        "to_plain_fastapi": goal(round(best / others["plain_fastapi"], 2), at_least=1.0),
    }
    if memory:
        goals["two_large_files_beyond_their_arrays_mb"] = goal(memory["beyond_arrays_mb"], at_most=50.0)
        goals["concurrent_to_cap"] = goal(memory["concurrent_to_cap"], at_most=1.0)
    return goals


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds a loop, no large files")
    parser.add_argument("--seconds", type=float, default=15, help="of a loop")
    parser.add_argument("--real", action="store_true", help="two real films in place of phantoms")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = pair_of(folder, real=options.real)
        seconds = 3.0 if options.quick else options.seconds
        figures = measure(options.bundle, folder, pair, seconds=seconds, quick=options.quick)
        memory = {} if options.quick else memory_figures(options.bundle, folder)
    print_summary("serve", figures | {"memory": memory}, goals_of(figures, memory))


if __name__ == "__main__":
    main()
