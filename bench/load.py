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

from tests.samples.forms import Form, Outcome, ask, form

TIMEOUT_S = 120.0
MAX_OPEN = 64
"""Requests of an open loop that may be under way; beyond, arrivals are late, and their wait counts."""


def closed_loop(port: int, question: Form, *, clients: int, seconds: float) -> list[Outcome]:
    """Ask by so many clients for so long; requests begun in time are waited for, and not counted if they end late."""
    until = time.perf_counter() + seconds

    def client(_: int) -> list[Outcome]:
        outcomes = []
        while time.perf_counter() < until:
            outcome = ask(port, question, timeout_s=TIMEOUT_S)
            if time.perf_counter() < until:
                outcomes.append(outcome)
        return outcomes

    with ThreadPoolExecutor(clients) as pool:
        return [outcome for outcomes in pool.map(client, range(clients)) for outcome in outcomes]


def open_loop(port: int, question: Form, *, rate: float, seconds: float) -> list[Outcome]:
    """Ask at times of a Poisson process; a request's time counts from when it was due."""
    chance, due, start = random.Random(0), 0.0, time.perf_counter()
    futures = []

    def request(due_at: float) -> Outcome:
        outcome = ask(port, question, timeout_s=TIMEOUT_S)
        return outcome._replace(seconds=time.perf_counter() - due_at)

    with ThreadPoolExecutor(MAX_OPEN) as pool:
        while (due := due + chance.expovariate(rate)) < seconds:
            time.sleep(max(0.0, start + due - time.perf_counter()))
            futures.append(pool.submit(request, start + due))
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
    json.dump([[outcome.status, round(outcome.seconds, 5)] for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
