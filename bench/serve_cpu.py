"""What a pair costs a server in CPU time, by kind of process, beside the same work in one process.

python -m bench.serve_cpu [--quick] [--real] [--workers N --apis N] [--beside CHECKOUT]

CPU time and not wall time, because a shared machine lengthens every wait and CPU time much less. In each turn this
process answers two pairs, and then the server gets one request, and eight at once: what else the machine does meets all
of them alike. `of_the_cpu_it_used` is the CPU time of the work over that of all processes of the server, with the
standard error of resampled turns. `--beside` asks the server of another checkout in the same turns, to tell what a
change is worth.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.in_process import Loop
from bench.report import goal, print_summary
from bench.serve import Pair, pair_of
from glam.bundle import DEMO_BUNDLE
from tests.samples.forms import Form, ask, form
from tests.samples.serving import RealServer, end, start_server

BURSTS = (1, 8)
"""Requests at a time."""
UPLOADS = 2
"""Refused forms at a time."""
PAIRS_ALONE = 2
"""Of a turn, in this process."""
STAGES = ("decode", "prepare", "model", "answer")
RESAMPLES = 500
Times = dict[str, list[float]]
"""CPU milliseconds a pair, by stage or kind of process: one number a turn."""


@contextmanager
def served(bundle: Path, log: Path, options: tuple[str, ...], checkout: Path | None) -> Iterator[RealServer]:
    """A server of this checkout, or of another one; this one's imports must come from its own folder too."""
    folder = Path.cwd() if checkout is None else checkout.resolve()
    before, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), str(folder)
    try:
        server = start_server(bundle.resolve(), log, *options, before=lambda: os.chdir(folder))
    finally:
        del os.environ["PYTHONPATH"]
        os.environ |= {} if before is None else {"PYTHONPATH": before}
    try:
        yield server
    finally:
        end(server)


def burst_ms(
    server: RealServer, question: Form, count: int, pool: ThreadPoolExecutor, *, status: int = 200
) -> dict[str, float]:
    """CPU milliseconds a request, by kind of process, of so many at once."""
    before = server.cpu_s()
    statuses = [outcome.status for outcome in pool.map(lambda _: ask(server.port, question), range(count))]
    if set(statuses) != {status}:
        raise RuntimeError(f"the server answered {statuses}")
    return {kind: 1000 * (used - before[kind]) / count for kind, used in server.cpu_s().items()}


def alone_ms(loop: Loop) -> dict[str, float]:
    """CPU milliseconds a pair, by stage, in this process."""
    loop.cpu_s.clear()
    for _ in range(PAIRS_ALONE):
        loop.pair()
    return {stage: 1000 * loop.cpu_s[stage] / PAIRS_ALONE for stage in STAGES}


def measure(servers: dict[str, RealServer], bundle: Path, pair: Pair, *, seconds: float) -> dict[str, list[Any]]:
    """What every turn took: "work" in this process, and (server, burst) in the servers."""
    contents = {"cc": pair.cc.read_bytes(), "mlo": pair.mlo.read_bytes()}
    loop, question = Loop(bundle, **contents), form(contents)
    refused = form(contents, {"spacing_mm": "wide"})
    turns: dict[str, list[Any]] = {"work": []}
    with ThreadPoolExecutor(max(BURSTS)) as pool:
        for server in servers.values():  # until every thread and process has answered
            for _ in range(3):
                burst_ms(server, question, max(BURSTS), pool)
        alone_ms(loop)
        until = time.monotonic() + seconds
        while time.monotonic() < until or not turns["work"]:
            turns["work"].append(alone_ms(loop))
            for name, server in servers.items():
                turn = burst_ms(server, refused, UPLOADS, pool, status=422)
                turns.setdefault(f"{name}, upload", []).append(turn)
            for count in BURSTS:
                for name, server in servers.items():
                    turn = burst_ms(server, question, count, pool)
                    turns.setdefault(f"{name}, {count} at once", []).append(turn)
    return turns


def mean(turns: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the turns."""
    return {name: round(float(np.mean([turn[name] for turn in turns])), 1) for name in turns[0]}


def ratio(work: list[dict[str, float]], used: list[dict[str, float]]) -> tuple[float, float]:
    """CPU time of the work over what was used, and its standard error."""
    pairs = np.array([(sum(own.values()), sum(all_.values())) for own, all_ in zip(work, used, strict=True)])
    chosen = np.random.default_rng(0).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    resampled = pairs[chosen].sum(axis=1)  # (resample, work | used)
    whole = pairs.sum(axis=0)
    return round(float(whole[0] / whole[1]), 3), round(float(np.std(resampled[:, 0] / resampled[:, 1])), 3)


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="twenty seconds of turns")
    parser.add_argument("--seconds", type=float, default=240, help="of all turns")
    parser.add_argument("--real", action="store_true", help="two real films in place of phantoms")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--apis", type=int, default=1)
    parser.add_argument("--beside", type=Path, help="another checkout, whose server is asked in turns with this one's")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the summary."""
    arguments = parsed()
    options = ("--threads", "1", "--limits.deadline-s", "120")
    options += ("--workers", str(arguments.workers), "--apis", str(arguments.apis))
    checkouts = {"server": None} | ({} if arguments.beside is None else {"beside": arguments.beside})
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        pair = pair_of(folder, real=arguments.real)
        servers = {
            name: stack.enter_context(served(arguments.bundle, folder / f"log-{name}", options, checkout))
            for name, checkout in checkouts.items()
        }
        seconds = 20 if arguments.quick else arguments.seconds
        turns = measure(servers, arguments.bundle, pair, seconds=seconds)
    work = turns.pop("work")
    ratios = {name: ratio(work, used) for name, used in turns.items() if not name.endswith("upload")}
    figures = {
        "turns": len(work),
        "work_ms": mean(work),
        "cpu_ms": {name: mean(used) for name, used in turns.items()},
        "of_the_cpu_it_used": {name: value for name, (value, _) in ratios.items()},
        "standard_error": {name: error for name, (_, error) in ratios.items()},
    }
    own = {name: value for name, (value, _) in ratios.items() if name.startswith("server")}
    print_summary(
        "serve_cpu", figures, {f"of_the_cpu_{name}": goal(value, at_least=0.9) for name, value in own.items()}
    )


if __name__ == "__main__":
    main()
