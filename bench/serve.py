"""What the server makes of the machine: throughput, latency and memory, beside what the work itself costs.

python -m bench.serve [--quick] [--real]

The server under closed loops of 1, 8 and 32 clients and an open loop, asked by a process of its own. Then rounds, in
each of which independent processes, the server, plain LitServe (decoding in the worker) and plain FastAPI (a lock
around the model) work one after the other for as long: a shared machine is not equally fast for minutes, so ratios are
medians over the rounds. `of_the_machine` is the server's rate over what the CPU time of decoding, preparing and the
model allows. A machine with other work lowers every rate: `busy_elsewhere` says how much of it was taken, and
`of_the_cpu_it_used`, the work's CPU time over that of all processes of the server, is what remains comparable then.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.in_process import Independent, Loop
from bench.load import Ended
from bench.memory import memory_figures
from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from glam.local_server import free_port
from tests.samples.forms import ask, form
from tests.samples.serving import ONE_CALLER, RealServer, running
from tests.samples.traffic import phantom_files

CORES = os.cpu_count() or 1
CLIENTS = (1, 8, 32)
LEAD_S = 1.0
"""Of a closed loop, not counted: its clients begin together."""
OPTIONS = ("--workers", str(CORES), "--apis", str(CORES), "--threads", "1", "--limits.deadline-s", "120", *ONE_CALLER)


class Pair(NamedTuple):
    """The files that are sent."""

    cc: Path
    mlo: Path


class Baseline(NamedTuple):
    """A server to compare with."""

    port: int
    group: int

    @contextmanager
    def awake(self) -> Iterator[int]:
        """Its port, while it may be asked."""
        os.killpg(self.group, signal.SIGCONT)
        try:
            yield self.port
        finally:
            os.killpg(self.group, signal.SIGSTOP)


def load(port: int, pair: Pair, *words: str) -> list[Ended]:
    """How every request of `bench.load` ended, which is a process of its own."""
    command = [sys.executable, "-m", "bench.load", str(port), *map(str, pair), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Ended(*outcome) for outcome in json.loads(done.stdout)]


def steady(outcomes: list[Ended], seconds: float) -> list[Ended]:
    """Return what ended while all clients of a closed loop were at it."""
    return [outcome for outcome in outcomes if LEAD_S <= outcome.at_s < LEAD_S + seconds]


def latencies(outcomes: list[Ended], seconds: float) -> dict[str, Any]:
    """Rate of the answers, their quantiles, and what else came back."""
    good = [outcome.seconds for outcome in outcomes if outcome.status == 200]
    p50, p99 = np.quantile(good, [0.5, 0.99]) if good else (float("nan"), float("nan"))
    return {
        "pairs_per_s": round(len(good) / seconds, 3),
        "p50_s": round(float(p50), 4),
        "p99_s": round(float(p99), 4),
        "others": len(outcomes) - len(good),
    }


def closed_loop(port: int, pair: Pair, *, seconds: float, clients: int) -> list[Ended]:
    """A closed loop of so many clients, its lead included."""
    return load(port, pair, "--seconds", str(LEAD_S + seconds), "--clients", str(clients))


@contextmanager
def baseline(module: str, bundle: Path, *words: str) -> Iterator[Baseline]:
    """A server of bench.baselines, stopped while it is not asked: it would take time from the others."""
    port = free_port(0)
    command = [sys.executable, "-m", f"bench.baselines.{module}", str(bundle), str(port), *words]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while ask(port, form({}), timeout_s=5).status <= 0:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{module} did not start")
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGSTOP)
        yield Baseline(port, process.pid)
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


def in_turns(
    server: RealServer, bundle: Path, pair: Pair, *, seconds: float, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Pairs a second of the server, of independent processes and of the baselines, and CPU seconds of the work alone.

    Round after round, each for so long in each: the speed of a shared machine changes within minutes.
    """
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ("work", "rates")}
    with ExitStack() as stack:
        independent = stack.enter_context(Independent(bundle, *pair, count=CORES))
        others = {
            "plain_litserve": stack.enter_context(baseline("litserve_app", bundle, str(CORES))),
            "plain_fastapi": stack.enter_context(baseline("fastapi_app", bundle)),
        }
        for _ in range(rounds):
            taken["work"].append(independent.run(seconds, count=1)[0]["cpu_s"])
            beside = independent.run(seconds, count=CORES)
            rates = {"independent": sum(one["pairs"] / one["seconds"] for one in beside)}
            rates["server"] = rate_of(server.port, pair, seconds=seconds)
            for name, other in others.items():
                with other.awake() as port:
                    rates[name] = rate_of(port, pair, seconds=seconds)
            taken["rates"].append(rates)
    return taken


def rate_of(port: int, pair: Pair, *, seconds: float) -> float:
    """Pairs a second under a closed loop of four clients a core."""
    ended = steady(closed_loop(port, pair, seconds=seconds, clients=4 * CORES), seconds)
    return sum(outcome.status == 200 for outcome in ended) / seconds


def measure(bundle: Path, folder: Path, pair: Pair, *, seconds: float, quick: bool) -> dict[str, Any]:
    """All figures."""
    busy = [busy_elsewhere()]
    with running(bundle, folder / "log", *OPTIONS) as server:
        load(server.port, pair, "--seconds", "3", "--clients", str(2 * CORES))  # every worker has answered
        before, clients_before = server.cpu_s(), _cpu_s_of_children()
        loops = {clients: closed_loop(server.port, pair, seconds=seconds, clients=clients) for clients in CLIENTS}
        answered = sum(map(len, loops.values()))
        clients_cpu_s = (_cpu_s_of_children() - clients_before) / answered
        cpu_s = {kind: (used - before[kind]) / answered for kind, used in server.cpu_s().items()}
        served = {str(clients): latencies(steady(ended, seconds), seconds) for clients, ended in loops.items()}
        taken = in_turns(server, bundle, pair, seconds=seconds / 2, rounds=3 if quick else 9)
        rate = 0.8 * np.median([rates["server"] for rates in taken["rates"]])
        longer = 2 * seconds
        loop = latencies(load(server.port, pair, "--seconds", str(longer), "--rate", str(rate)), longer)
        overhead = overhead_s(server.port, bundle, pair, rounds=5 if quick else 40)
    busy.append(busy_elsewhere())
    return {
        "cores": CORES,
        "busy_elsewhere": [round(share, 2) for share in busy],
        "cpu_s_a_pair": {stage: median_of(taken["work"], stage, 4) for stage in taken["work"][0]},
        "pairs_per_s": {name: median_of(taken["rates"], name, 3) for name in taken["rates"][0]},
        "rounds": len(taken["rates"]),
        "of_the_rounds": ratios(taken),
        "server": served,
        "server_cpu_s_a_pair": {kind: round(used, 4) for kind, used in cpu_s.items()},
        "clients_cpu_s_a_pair": round(clients_cpu_s, 4),
        "open_loop_at_80_percent": loop,
        "overhead_at_one_client_s": round(overhead, 4),
    }


def median_of(rounds: list[dict[str, float]], name: str, digits: int) -> float:
    """Median of a figure over the rounds."""
    return round(float(np.median([figures[name] for figures in rounds])), digits)


def ratios(taken: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    """Of each round: the server's rate over what the work's CPU time allows, and over that of each of the others."""
    work_s = [sum(cpu_s[stage] for stage in ("decode", "prepare", "model")) for cpu_s in taken["work"]]
    rates = taken["rates"]
    of_machine = [one["server"] * used_s / CORES for one, used_s in zip(rates, work_s, strict=True)]
    to_others = {name: [one["server"] / one[name] for one in rates] for name in rates[0] if name != "server"}
    return {
        name: [round(value, 3) for value in values] for name, values in {"machine": of_machine, **to_others}.items()
    }


def goals_of(figures: dict[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
    """The goals of the issue."""
    rounds = {name: float(np.median(values)) for name, values in figures["of_the_rounds"].items()}
    work_s = sum(figures["cpu_s_a_pair"][stage] for stage in ("decode", "prepare", "model"))
    loop = figures["open_loop_at_80_percent"]
    goals = {
        "of_the_machine": goal(round(rounds["machine"], 3), at_least=0.9),
        "of_the_cpu_it_used": goal(round(work_s / sum(figures["server_cpu_s_a_pair"].values()), 3), at_least=0.9),
        "of_independent_workers": goal(round(rounds["independent"], 3), at_least=0.95),
        "overhead_at_one_client_s": goal(figures["overhead_at_one_client_s"], at_most=0.015),
        "p99_to_p50_at_80_percent": goal(round(loop["p99_s"] / loop["p50_s"], 2), at_most=3.0),
        "to_plain_litserve": goal(round(rounds["plain_litserve"], 2), at_least=1.0),
        "to_plain_fastapi": goal(round(rounds["plain_fastapi"], 2), at_least=1.0),
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
