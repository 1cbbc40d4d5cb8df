"""Unit vectors of images and classes -> probabilities, and their calibration: the one zero-shot rule of all apps.

A calibration is stored as numbers; fitting one is the work of glam_train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., dim) brought to length 1; ValueError where one has no direction."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ValueError("a vector of zeros or of no numbers has no direction")
    return vectors / norms


def breast_embedding(view_embeddings: np.ndarray) -> np.ndarray:
    """Mean of the views' unit embeddings (..., view, dim), brought to length 1: (..., dim)."""
    return unit(view_embeddings.mean(axis=-2))


def class_probabilities(image_embedding: np.ndarray, class_vectors: np.ndarray, scale: float) -> np.ndarray:
    """Softmax over classes of scale times cosine: unit (n, dim) and (class, dim) -> (n, class) float64."""
    return softmax(scale * (image_embedding.astype(np.float64) @ class_vectors.astype(np.float64).T))


def mean_probabilities(answers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of probabilities by class name, of one view or breast each: they sum to 1 as each of them does."""
    return {name: float(np.mean([answer[name] for answer in answers])) for name in answers[0]}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


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
