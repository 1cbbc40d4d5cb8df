"""The last line of every benchmark: arguments, commit, machine, figures and goals as JSON."""

import json
import sys
from collections.abc import Mapping
from pathlib import PurePath

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
    arguments = [PurePath(given).name if given.startswith("/") else given for given in sys.argv[1:]]
    summary = {"bench": bench, "arguments": arguments, "commit": commit(12), "machine": machine()}
    print(json.dumps(summary | {"figures": figures, "goals": kept}))
