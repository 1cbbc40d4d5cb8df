"""Clients of a server, in a process of their own; prints how every request ended as JSON.

python -m bench.load PORT CC MLO --clients 8 --seconds 10        (closed loop: each client asks again at once)
python -m bench.load PORT CC MLO --rate 5 --seconds 10           (open loop: requests come by chance, so many a second)
"""

import argparse
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.samples.forms import Form, ask, form

TIMEOUT_S = 120.0
MAX_OPEN = 64
"""Requests of an open loop that may be under way; beyond, arrivals are late, and their wait counts."""


class Ended(NamedTuple):
    """How a request ended, and when, in seconds after the first was sent."""

    status: int
    seconds: float
    at_s: float


def closed_loop(port: int, question: Form, *, clients: int, seconds: float) -> list[Ended]:
    """Ask by so many clients for so long; each asks again at once. Those begun in time are waited for."""
    start = time.perf_counter()

    def client(_: int) -> list[Ended]:
        outcomes = []
        while time.perf_counter() - start < seconds:
            outcome = ask(port, question, timeout_s=TIMEOUT_S)
            outcomes.append(Ended(outcome.status, outcome.seconds, time.perf_counter() - start))
        return outcomes

    with ThreadPoolExecutor(clients) as pool:
        return [outcome for outcomes in pool.map(client, range(clients)) for outcome in outcomes]


def open_loop(port: int, question: Form, *, rate: float, seconds: float) -> list[Ended]:
    """Ask at times of a Poisson process; a request's time counts from when it was due."""
    chance, due, start = random.Random(0), 0.0, time.perf_counter()
    futures = []

    def request(due_s: float) -> Ended:
        status = ask(port, question, timeout_s=TIMEOUT_S).status
        at_s = time.perf_counter() - start
        return Ended(status, at_s - due_s, at_s)

    with ThreadPoolExecutor(MAX_OPEN) as pool:
        while (due := due + chance.expovariate(rate)) < seconds:
            time.sleep(max(0.0, start + due - time.perf_counter()))
            futures.append(pool.submit(request, due))
        return [future.result() for future in futures]


def main() -> None:
    """Ask, and print the outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("cc", type=Path)
    parser.add_argument("mlo", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    question = form({"cc": options.cc.read_bytes(), "mlo": options.mlo.read_bytes()})
    if options.rate is None:
        outcomes = closed_loop(options.port, question, clients=options.clients, seconds=options.seconds)
    else:
        outcomes = open_loop(options.port, question, rate=options.rate, seconds=options.seconds)
    json.dump([(status, round(seconds, 5), round(at_s, 5)) for status, seconds, at_s in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
