"""Goals: a figure beside its bound."""

from typing import Any, NamedTuple


class Goal(NamedTuple):
    """A measured value and the bound that it is to keep; without a value (nothing to measure) the goal is not held."""

    value: float | None
    bound: float
    at_most: bool = False
    """The bound is an upper one. False: a lower one."""

    @property
    def holds(self) -> bool:
        """Whether the value keeps the bound; NaN never does."""
        if self.value is None:
            return False
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def as_json(self) -> dict[str, Any]:
        """Return the goal as the benchmarks and `glam-train evaluate` print it."""
        return {"value": self.value, "goal": self.bound, "holds": self.holds}
