"""How long `--help` takes: whole processes, the median, beside an interpreter that does nothing in the same run.

python bench/help_time.py [--quick]
"""

import argparse
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from report import goal, print_summary

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
GOAL_S = 0.3


def seconds(command: list[str]) -> float:
    """Wall-clock time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def medians(commands: dict[str, list[str]], *, rounds: int) -> dict[str, float]:
    """Median of each command in seconds; a round runs every command once, so that load falls on all alike."""
    for command in commands.values():
        seconds(command)  # byte code and disk cache
    times = [{name: seconds(command) for name, command in commands.items()} for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in times) for name in commands}


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds instead of thirty")
    rounds = 5 if parser.parse_args().quick else 30
    folder = Path(sys.executable).parent
    scripts = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]
    commands = {name: [str(folder / name), "--help"] for name in scripts}
    found = medians({"python": [sys.executable, "-c", "pass"]} | commands, rounds=rounds)
    baseline = found.pop("python")
    figures = {
        "rounds": rounds,
        "python_s": round(baseline, 4),
        "help_s": {name: round(value, 4) for name, value in found.items()},
        "ratio_to_python": {name: round(value / baseline, 2) for name, value in found.items()},
    }
    print_summary("help_time", figures, {f"{name}_s": goal(round(v, 4), at_most=GOAL_S) for name, v in found.items()})


if __name__ == "__main__":
    main()
