"""Put the JSON line that a benchmark ends with into docs/benchmarks.md, in place of its section there.

python -m bench.prepare > prepare.json && python -m bench.page docs/benchmarks.md prepare.json
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

INTRODUCTION = """# Benchmarks

Written by `python -m bench.page` from the last line of each benchmark; each names its commit and machine. Ratios are of
two things measured in the same run, for the machines are shared. What is marked "no" is a goal that does not hold.
"""


def page(before: str, summaries: list[dict[str, Any]]) -> str:
    """Return the page, the section of each benchmark in its old place, or last where it is new."""
    text = before or INTRODUCTION
    for summary in summaries:
        section = _section(summary)
        pattern = re.compile(rf"^## {re.escape(summary['bench'])}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
        found = pattern.search(text)
        text = (
            f"{text.rstrip()}\n\n{section}"
            if found is None
            else f"{text[: found.start()]}{section}\n{text[found.end() :]}"
        )
    return text.rstrip() + "\n"


def _section(summary: dict[str, Any]) -> str:
    command = " ".join([f"python -m bench.{summary['bench']}", *summary.get("arguments", [])])
    goals = [
        f"| {name} | {goal['value']} | {goal['goal']} | {'yes' if goal['holds'] else 'no'} |"
        for name, goal in summary["goals"].items()
    ]
    figures = [f"| {name} | {value} |" for name, value in _flat(summary["figures"])]
    lines = [f"## {summary['bench']}", "", f"`{command}`, commit {summary['commit']}, {summary['machine']}.", ""]
    if goals:
        lines += ["| goal | value | bound | holds |", "| --- | --- | --- | --- |", *goals, ""]
    return "\n".join([*lines, "| figure | value |", "| --- | --- |", *figures, ""])


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested figures in one list, their names joined."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        label = f"{prefix}{name}"
        rows += _flat(value, f"{label}, ") if isinstance(value, dict) else [(label, value)]
    return rows


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("summaries", type=Path, nargs="+", help="what benchmarks printed")
    options = parser.parse_args()
    before = options.page.read_text() if options.page.exists() else ""
    options.page.write_text(page(before, [json.loads(path.read_text().splitlines()[-1]) for path in options.summaries]))


if __name__ == "__main__":
    main()
