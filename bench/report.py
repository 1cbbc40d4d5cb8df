"""The last line of every benchmark: what was measured, where, and whether the goals hold."""

import json
from collections.abc import Mapping

from glam.origin import commit, machine


def goal(value: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, float | bool]:
    """A figure beside its bound, and whether it holds."""
    bound = at_most if at_most is not None else at_least
    if bound is None:
        raise ValueError("a goal needs at_most or at_least")
    holds = value <= bound if at_most is not None else value >= bound
    return {"value": value, "goal": bound, "holds": holds}


def print_summary(bench: str, figures: Mapping[str, object], goals: Mapping[str, dict[str, float | bool]]) -> None:
    """Print the one JSON line that a benchmark ends with."""
    summary = {"bench": bench, "commit": commit(12), "machine": machine(), "figures": figures, "goals": goals}
    print(json.dumps(summary))
