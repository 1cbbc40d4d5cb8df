"""A calibration stored as numbers, applied to class probabilities; fitting one is the work of glam_train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glam.zeroshot import softmax


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """softmax(scale * log p + bias), a scale and a bias a class (vector scaling); one scale for all: a temperature.

    It starts from probabilities, not logits: what is added to all logits of an image alike must not matter.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.bias) or not self.scale:
            raise ValueError(
                f"a calibration has a scale and a bias a class, not {len(self.scale)} and {len(self.bias)}"
            )
        if not np.isfinite([*self.scale, *self.bias]).all() or min(self.scale) <= 0:
            raise ValueError("a calibration's scales are positive and its numbers finite")

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (..., class) of probabilities (..., class); a probability of 0 counts as 1e-30."""
        if probabilities.shape[-1] != len(self.scale):
            raise ValueError(f"{probabilities.shape[-1]} classes meet a calibration of {len(self.scale)}")
        return softmax(np.array(self.scale) * np.log(np.clip(probabilities, 1e-30, None)) + np.array(self.bias))

    def as_json(self) -> dict[str, Any]:
        """Return the numbers, as `bundle.json` keeps them for a task."""
        return {"scale": list(self.scale), "bias": list(self.bias)}


def temperature(value: float, *, num_classes: int) -> Calibration:
    """Return the calibration that divides every logit by `value`."""
    if not value > 0:
        raise ValueError(f"temperature {value} is not positive")
    return Calibration(scale=(1 / value,) * num_classes, bias=(0.0,) * num_classes)


def calibration_from_json(data: Mapping[str, Any], *, num_classes: int) -> Calibration:
    """Return the calibration of a task: {"temperature": t} or {"scale": [...], "bias": [...]}, a number a class."""
    if set(data) == {"temperature"}:
        return temperature(float(data["temperature"]), num_classes=num_classes)
    if set(data) != {"scale", "bias"}:
        raise ValueError(f"a calibration holds `temperature`, or `scale` and `bias`, not: {', '.join(sorted(data))}")
    calibration = Calibration(scale=_numbers(data["scale"]), bias=_numbers(data["bias"]))
    if len(calibration.scale) != num_classes:
        raise ValueError(f"a calibration of {len(calibration.scale)} classes cannot serve {num_classes}")
    return calibration


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
