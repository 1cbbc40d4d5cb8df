"""The last line of every benchmark: what was measured, where, and whether the goals hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from glam.origin import commit, machine


@dataclass(frozen=True)
class Goal:
    """A figure beside the bound it is held against."""

    value: float
    goal: float
    """The bound."""
    holds: bool


def goal(value: float, *, at_most: float | None = None, at_least: float | None = None) -> Goal:
    """Hold a figure against a bound."""
    if at_most is not None:
        return Goal(value, at_most, value <= at_most)
    if at_least is not None:
        return Goal(value, at_least, value >= at_least)
    raise ValueError("a goal needs at_most or at_least")


def print_summary(bench: str, figures: Mapping[str, object], goals: Mapping[str, Goal]) -> None:
    """Print the one JSON line that a benchmark ends with."""
    summary = {
        "bench": bench,
        "commit": commit(12),
        "machine": machine(),
        "figures": figures,
        "goals": {name: asdict(measured) for name, measured in goals.items()},
    }
    print(json.dumps(summary))
