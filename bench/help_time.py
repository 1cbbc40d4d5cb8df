"""How long `--help` takes: whole processes, the median, beside an interpreter that does nothing in the same run.

python -m bench.help_time [--quick]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

from bench.report import goal, print_summary

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
GOAL_S = 0.3


class Cost(NamedTuple):
    """What one process took."""

    wall_s: float
    cpu_s: float
    """User and system time: what remains comparable when the machine has other work."""


def cost(command: list[str]) -> Cost:
    """Run one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def medians(commands: dict[str, list[str]], *, rounds: int) -> dict[str, Cost]:
    """Median cost of each command; a round runs every command once, so that load falls on all alike."""
    for command in commands.values():
        cost(command)  # byte code and disk cache
    found = [{name: cost(command) for name, command in commands.items()} for _ in range(rounds)]
    return {
        name: Cost(*(round(statistics.median(values), 4) for values in zip(*(one[name] for one in found), strict=True)))
        for name in commands
    }


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds instead of thirty")
    rounds = 5 if parser.parse_args().quick else 30
    folder = Path(sys.executable).parent
    scripts = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]
    commands = {name: [str(folder / name), "--help"] for name in scripts}
    found = medians({"python": [sys.executable, "-c", "pass"]} | commands, rounds=rounds)
    baseline = found["python"]
    figures = {
        "rounds": rounds,
        "seconds": {name: one._asdict() for name, one in found.items()},
        "cpu_ratio_to_python": {name: round(found[name].cpu_s / baseline.cpu_s, 2) for name in commands},
    }
    print_summary(
        "help_time", figures, {f"{name}_wall_s": goal(found[name].wall_s, at_most=GOAL_S) for name in commands}
    )


if __name__ == "__main__":
    main()
