"""Random kills of workers, API processes and the hub of a server under load, and how every request then ends.

python -m bench.chaos [--kills 30] [--quick] [--seed 0]

Each kill takes a process at random and ends it (SIGKILL) or stops it (SIGSTOP), while clients ask without a pause.
A request may be answered (200), refused with a code that the server promises (429, 503, 504), or lose its connection
at once with the process that held it; it may not last beyond its deadline, nor get anything else.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from tests.samples.forms import Form, Outcome, ask, form
from tests.samples.serving import Kind, RealServer, running
from tests.samples.traffic import phantom_files

DEADLINE_S = 10.0
MARGIN_S = 5.0
"""Beyond the deadline: the upload before it, and what other work the machine has."""
ALLOWED = frozenset({0, 200, 429, 503, 504})
KINDS: tuple[Kind, ...] = ("worker", "worker", "api", "api", "hub")
OPTIONS = ("--workers", "2", "--apis", "2", "--threads", "1", "--limits.deadline-s", str(DEADLINE_S))


class Kill(NamedTuple):
    """What was done to which process, and how long the server then took to be ready and to answer."""

    kind: Kind
    signal: str
    recovery_s: float


@dataclass
class Load:
    """Clients that ask one request after the other until they are told to stop."""

    port: int
    question: Form
    outcomes: list[Outcome] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        """One client."""
        while not self.stopped.is_set():
            outcome = ask(self.port, self.question, timeout_s=DEADLINE_S + 4 * MARGIN_S)
            self.outcomes.append(outcome._replace(body=b""))
            if outcome.status != 200:
                time.sleep(0.1)


def kill_one(server: RealServer, chance: random.Random, question: Form) -> Kill:
    """End or stop a process at random, and wait until the server answers again."""
    kind, number = chance.choice(KINDS), chance.choice([signal.SIGKILL, signal.SIGSTOP])
    pids = server.pids(kind)
    if not pids:
        raise RuntimeError(f"no {kind} is there:\n{server.log.read_text()[-2000:]}")
    os.kill(chance.choice(pids), number)
    start = time.monotonic()
    time.sleep(0.3)  # so that the loss has been seen
    while ask(server.port, question, timeout_s=DEADLINE_S + MARGIN_S).status != 200:
        if time.monotonic() - start > 60 or server.process.poll() is not None:
            raise RuntimeError(f"not back after {number.name} of {kind}:\n{server.log.read_text()[-2000:]}")
        time.sleep(0.1)
    return Kill(kind, number.name, time.monotonic() - start)


def disturb(server: RealServer, question: Form, *, kills: int, clients: int, seed: int) -> tuple[list[Kill], Load]:
    """Kill at random under load; return what was done and how every request ended."""
    chance, load, done = random.Random(seed), Load(server.port, question), []
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(load.client)
        try:
            for number in range(kills):
                done.append(kill_one(server, chance, question))
                print(f"{number + 1}/{kills} {done[-1]}", file=sys.stderr)
                time.sleep(chance.uniform(0.2, 1.5))
        finally:
            load.stopped.set()
    return done, load


def main() -> None:
    """Disturb a server and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="6 kills")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    options = parser.parse_args()
    kills = 6 if options.quick else options.kills
    with tempfile.TemporaryDirectory() as folder:
        question = form({"cc": phantom_files(Path(folder))["L_CC"].read_bytes()}, {"include": "findings"})
        with running(options.bundle, Path(folder) / "log", *OPTIONS) as server:
            done, load = disturb(server, question, kills=kills, clients=options.clients, seed=options.seed)
            log = server.log.read_text()
    slowest = max(outcome.seconds for outcome in load.outcomes)
    counts = Counter(outcome.status for outcome in load.outcomes)
    figures = {
        "kills": dict(Counter(f"{kill.kind} {kill.signal}" for kill in done)),
        "requests": len(load.outcomes),
        "by_status": {str(status): count for status, count in sorted(counts.items())},
        "slowest_s": round(slowest, 2),
        "slowest_recovery_s": round(max((kill.recovery_s for kill in done), default=0.0), 2),
        "deadline_s": DEADLINE_S,
    }
    late = sum(outcome.seconds > DEADLINE_S + MARGIN_S or outcome.status == -1 for outcome in load.outcomes)
    goals = {
        "kills": goal(len(done), at_least=kills),
        "late_or_unanswered": goal(late, at_most=0),
        "other_statuses": goal(sum(counts[status] for status in counts.keys() - ALLOWED - {-1}), at_most=0),
        "stack_traces_in_the_log": goal(log.count("Traceback"), at_most=0),
    }
    print_summary("chaos", figures, goals)


if __name__ == "__main__":
    main()
