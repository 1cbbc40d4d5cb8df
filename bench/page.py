"""Write docs/benchmarks.md from the JSON lines that benchmarks end with.

python -m bench.page prepare.json fuzz.json help_time.json > docs/benchmarks.md
"""

import json
import sys
from pathlib import Path
from typing import Any

INTRODUCTION = """# Benchmarks

Written by `python -m bench.page` from the last line of each benchmark; each names its commit and machine. Ratios are of
two things measured in the same run, for the machines are shared. What is marked "no" is a goal that does not hold.
"""


def page(summaries: list[dict[str, Any]]) -> str:
    """Return the page, with the goals and figures of each benchmark."""
    return "\n".join([INTRODUCTION, *map(_section, summaries)])


def _section(summary: dict[str, Any]) -> str:
    goals = [
        f"| {name} | {goal['value']} | {goal['goal']} | {'yes' if goal['holds'] else 'no'} |"
        for name, goal in summary["goals"].items()
    ]
    figures = [f"| {name} | {value} |" for name, value in _flat(summary["figures"])]
    return "\n".join(
        [
            f"## {summary['bench']}",
            "",
            f"`python -m bench.{summary['bench']}`, commit {summary['commit']}, {summary['machine']}.",
            "",
            "| goal | value | bound | holds |",
            "| --- | --- | --- | --- |",
            *goals,
            "",
            "| figure | value |",
            "| --- | --- |",
            *figures,
            "",
        ]
    )


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested figures in one list, their names joined."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        label = f"{prefix}{name}"
        rows += _flat(value, f"{label}, ") if isinstance(value, dict) else [(label, value)]
    return rows


def main() -> None:
    """Print the page."""
    sys.stdout.write(page([json.loads(Path(name).read_text().splitlines()[-1]) for name in sys.argv[1:]]))


if __name__ == "__main__":
    main()
