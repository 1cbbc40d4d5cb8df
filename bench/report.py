"""The last line of every benchmark: what was measured, where, and whether the goals hold."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def commit() -> str:
    """The commit that was measured, with a + where the work tree differs; empty outside a clone or without git."""
    if shutil.which("git") is None:
        return ""
    outcome = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.stdout.strip()


def machine() -> str:
    """Processor, number of cores and Python version."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


def goal(value: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, float | bool]:
    """A figure beside its bound, and whether it holds."""
    bound = at_most if at_most is not None else at_least
    if bound is None:
        raise ValueError("a goal needs at_most or at_least")
    holds = value <= bound if at_most is not None else value >= bound
    return {"value": value, "goal": bound, "holds": holds}


def print_summary(bench: str, figures: Mapping[str, object], goals: Mapping[str, dict[str, float | bool]]) -> None:
    """Print the one JSON line that a benchmark ends with."""
    summary = {"bench": bench, "commit": commit(), "machine": machine(), "figures": figures, "goals": goals}
    print(json.dumps(summary))
