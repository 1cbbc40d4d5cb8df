"""The published training settings, each a function that returns a `PretrainConfig`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from glam import config as model_presets
from glam.config import ModelConfig

Objective = Literal["glam", "glam_paper", "glam_official"]
Precision = Literal["fp32", "bf16-mixed", "bf16-true"]


@dataclass(frozen=True, kw_only=True)
class TextAugmentation:
    """How a report is worded before it is shown to the text tower."""

    style: Literal["papers", "glam"] = "glam"
    """papers: the published template; glam: the same with the place and size of each finding where known."""
    mask_meta: float = 0.8
    """Chance of each field that is no finding (age, race, side, view ...) to read "unknown"."""


@dataclass(frozen=True, kw_only=True)
class ImageAugmentation:
    """Random changes of a view, drawn for CC and MLO independently."""

    rotate_deg: float = 10.0
    """Rotation is uniform in plus or minus this."""
    shift: float = 0.05
    """Translation along each axis is uniform in plus or minus this, as a fraction of the side."""
    scale: float = 0.1
    """Magnification is uniform in 1 plus or minus this."""
    gamma: float = 0.2
    """The exponent of the grey values is log-uniform within plus or minus this."""
    noise: float = 0.01
    """Standard deviation of added Gaussian noise, in units of the full grey range."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything a pretraining run depends on, besides its data."""

    model: ModelConfig = field(default_factory=model_presets.glam)
    objective: Objective = "glam"
    """Which loss: a key of `glam_train.objectives.OBJECTIVES`."""
    local_weight: float = 1.0
    """Weight of the geometry-guided local loss (Eq. 4)."""
    correspondence_weight: float = 0.0
    """Weight of the known places: minus the log of the weight that the map puts on the true row of findings seen in
    both views. 0: the model is told no place."""
    tissue_weight: float = 0.0
    """Weight of plain tissue points beside findings in that loss; phantoms alone have them."""
    flip_rows: float = 0.0
    """Chance of each view, drawn on its own, to have its rows turned over; the report's words of place turn too."""
    steps: int = 40_000
    """Optimizer updates."""
    batch_size: int = 36
    """Pairs a forward pass."""
    accumulate: int = 4
    """Forward passes an update."""
    negatives: Literal["update", "micro_batch"] = "update"
    """update: the loss contrasts all pairs of an update, whatever `accumulate`; micro_batch: those of one pass."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 4e-5
    min_learning_rate: float = 1e-8
    warmup_steps: int = 4000
    weight_decay: float = 0.2
    decay_all: bool = False
    """Decay biases, norms, tokens and temperatures too, as the released code does."""
    clip_norm: float | None = 1.0
    """Largest norm of the gradient. None: not clipped."""
    precision: Precision = "bf16-mixed"
    seed: int = 42
    text: TextAugmentation = field(default_factory=TextAugmentation)
    image: ImageAugmentation = field(default_factory=ImageAugmentation)

    def __post_init__(self) -> None:
        if self.batch_size * self.accumulate < 2:
            raise ValueError("an update of one pair has no negatives: raise batch_size or accumulate to 2 or more")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} is not below steps {self.steps}")
        for name in ("correspondence_weight", "tissue_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)} is no weight: give 0 or more")
        if not 0 <= self.flip_rows <= 1:
            raise ValueError(f"flip_rows {self.flip_rows} is no chance: give 0 to 1")

    @property
    def pairs_per_update(self) -> int:
        """Pairs that one optimizer update sees."""
        return self.batch_size * self.accumulate


def pretrain_config_from_json(data: dict[str, Any]) -> PretrainConfig:
    """Return the configuration that `dataclasses.asdict` wrote; an unknown key is a TypeError."""
    parts = {
        "model": model_presets.model_config_from_json(data["model"]),
        "text": TextAugmentation(**data["text"]),
        "image": ImageAugmentation(**data["image"]),
    }
    return PretrainConfig(**(data | parts))


def glam() -> PretrainConfig:
    """Ours: Eq. 2 and 4 with every pair of an update as a negative, known places where there are any, AdamW."""
    return PretrainConfig(correspondence_weight=1.0)


def glam_paper() -> PretrainConfig:
    """The printed paper: batch 144, learning rate 4e-5, weight decay 0.2, SGD, 40,000 steps, cosine."""
    return PretrainConfig(
        model=model_presets.glam_paper(),
        objective="glam_paper",
        optimizer="sgd",
        clip_norm=None,
        text=TextAugmentation(style="papers"),
        image=ImageAugmentation(gamma=0.0, noise=0.0),
    )


def glam_official() -> PretrainConfig:
    """The released scripts/pretrain.sh on one device: 48 pairs a pass, two passes an update, bf16-true, AdamW."""
    return PretrainConfig(
        model=model_presets.glam_official(),
        objective="glam_official",
        batch_size=48,
        accumulate=2,
        negatives="micro_batch",
        decay_all=True,
        clip_norm=None,
        precision="bf16-true",
        text=TextAugmentation(style="papers"),
    )


def tiny() -> PretrainConfig:
    """Two CPU cores and phantoms: the objective of `glam` on a model of a few million parameters."""
    return PretrainConfig(
        model=model_presets.tiny(),
        correspondence_weight=1.0,
        steps=900,
        batch_size=32,
        accumulate=1,
        learning_rate=7e-4,
        min_learning_rate=1e-6,
        warmup_steps=60,
        weight_decay=0.05,
        precision="fp32",
        text=TextAugmentation(mask_meta=1.0),
        image=ImageAugmentation(rotate_deg=5.0, shift=0.04),
    )


PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    "tiny": tiny,
    "glam": glam,
    "glam-paper": glam_paper,
    "glam-official": glam_official,
}
