"""The last line of every benchmark: figures, commit, machine and goals as JSON."""

import json
from collections.abc import Mapping

from glam.origin import commit, machine
from glam_train.evaluation.goals import Goal


def goal(value: float | None, *, at_most: float | None = None, at_least: float | None = None) -> Goal:
    """Return a figure beside its bound. None: there was nothing to measure, and the goal is not held."""
    if at_most is not None:
        return Goal(value, at_most, at_most=True)
    if at_least is None:
        raise ValueError("a goal needs at_most or at_least")
    return Goal(value, at_least)


def print_summary(bench: str, figures: Mapping[str, object], goals: Mapping[str, Goal]) -> None:
    """Print the one JSON line that a benchmark ends with."""
    kept = {name: entry.as_json() for name, entry in goals.items()}
    summary = {"bench": bench, "commit": commit(12), "machine": machine(), "figures": figures, "goals": kept}
    print(json.dumps(summary))
