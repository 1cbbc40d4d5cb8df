"""Requests made of the published schema, by schemathesis, against a real server: no 5xx but what it promises.

python -m bench.schema_fuzz [--cases 200000] [--seed 0] [--quick]

Schemathesis runs again and again, each time with the next seed, until the server's log has so many requests. Its own
check is that no answer is a 5xx; the log is searched for faults, stack traces and processes that were started anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.report import goal, print_summary
from bench.soak import PROMISED
from glam.bundle import DEMO_BUNDLE
from tests.samples.serving import RealServer, running

OPTIONS = ("--threads", "1", "--log-format", "json", "--limits.body-idle-s", "2", "--limits.deadline-s", "30")
EXAMPLES = 400
"""Of each operation, in one run of schemathesis."""
QUICK_CASES = 400
FAULTS = ("Traceback", "internal_error", "starting another")


def run_schemathesis(server: RealServer, folder: Path, *, seed: int, examples: int) -> str:
    """Run it once; return what it says where it found something, else ""."""
    url = f"http://127.0.0.1:{server.port}"
    words = ["run", f"{url}/openapi.json", "--url", url, "--checks", "not_a_server_error", "--no-color"]
    words += ["--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing"]
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [program, *words, "--no-shrink", "--generation-database", "none"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout[-6000:]


class LogReader:
    """Counts the requests of a growing log in JSON lines by path and status, and keeps its faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []

    def read_on(self) -> None:
        """Take what was written since the last time, whole lines only."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            entry = {}
        if "status" in entry:
            self.requests[str(entry.get("path")), int(entry["status"])] += 1
        if any(word in line for word in FAULTS):
            self.faults.append(line)


def main() -> None:
    """Ask, and print the summary; exit 1 where a goal is not held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CASES} cases")
    given = parser.parse_args()
    num_cases = QUICK_CASES if given.quick else given.cases
    with tempfile.TemporaryDirectory(prefix="glam-schema-") as name:
        folder = Path(name)
        with running(DEMO_BUNDLE, folder / "log", *OPTIONS) as server:
            log, seed, found = LogReader(folder / "log"), given.seed, list[str]()
            start = time.monotonic()
            while log.requests.total() < num_cases:
                before = log.requests.total()
                found += filter(None, [run_schemathesis(server, folder, seed=seed, examples=EXAMPLES)])
                log.read_on()
                seed += 1
                sys.stderr.write(f"seed {seed}: {log.requests.total()} cases, {len(found)} runs found something\n")
                if log.requests.total() == before:
                    raise RuntimeError(f"schemathesis asks nothing: {found[-1:]}")
            seconds = time.monotonic() - start
            is_ready = server.status("/readyz") == 200
    for report in found + log.faults:
        sys.stderr.write(report + "\n")
    statuses = Counter[int]()
    for (_, status), count in log.requests.items():
        statuses[status] += count
    unpromised = sum(count for status, count in statuses.items() if status >= 500 and status not in PROMISED)
    figures = {
        "cases": log.requests.total(),
        "runs": seed - given.seed,
        "cases_a_second": round(log.requests.total() / seconds, 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "ready_at_the_end": is_ready,
    }
    goals = {
        "unpromised_5xx": goal(unpromised, at_most=0),
        "runs_that_found_something": goal(len(found), at_most=0),
        "faults_in_the_log": goal(len(log.faults), at_most=0),
    }
    print_summary("schema_fuzz", figures, goals)
    sys.exit(0 if is_ready and all(one.holds for one in goals.values()) else 1)


if __name__ == "__main__":
    main()
