"""The settings of a pretraining run: frozen dataclasses of JSON types."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from glam.config import ModelConfig
from glam.settings import check_numbers, merged, settings_from_json
from glam.words.wording import Style
from glam_train.methods import METHODS
from glam_train.methods.glam_settings import GlamSettings
from glam_train.methods.settings import MethodSettings

MAX_SEED = 2**32 - 1
"""Largest seed: the seeds of updates are computed from it, in 64 bits."""
BalancedLabel = Literal["birads", "density", "cancer"]
Precision = Literal["fp32", "bf16-mixed", "bf16-true", "fp16-mixed"]


@dataclass(frozen=True, kw_only=True)
class TextAugmentation:
    """The wording of a report for the text tower."""

    style: Style = "glam"
    """papers: the published template; glam: the same with the place and size of each finding where known; natural:
    plain sentences without headings; clip: one sentence of side, view, density and category."""
    mask_meta: float = 0.8
    """Chance of each field that is no finding (age, race, side, view ...) to read "unknown"."""
    reword: float = 0.0
    """Chance of each sentence to be put in other words of a table, and of the findings to come in another order; no
    finding and no negation comes or goes (docs/train.md)."""
    max_cut: float = 0.05
    """Largest share of the reports that may lose their end to `model.text.max_tokens`; a run with more is refused. In
    the styles glam and natural a long report loses its context first, and is cut only where that is not enough."""

    def __post_init__(self) -> None:
        for name in ("mask_meta", "reword", "max_cut"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give a share from 0 to 1")


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
    reverse: float = 0.0
    """Chance of each axis to be reversed. Only for methods that compare no places: the chest wall moves."""
    blur: float = 0.0
    """Chance to be blurred, by a Gaussian of 0.1 to 2 pixels."""

    def __post_init__(self) -> None:
        check_numbers(self, at_least_0=("rotate_deg", "shift", "gamma", "noise"), shares=("scale",))
        for name in ("reverse", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give a chance from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Views:
    """Which two views of a breast or a study a method sees at a time."""

    strategy: Literal["breast", "image", "side", "study"] = "breast"
    """breast: CC and MLO. Else each image in turn, and as its other view, with the chance below, one drawn from the
    images of its breast (side) or of its exam (study), itself among them; or always itself (image)."""
    probability: float = 1.0
    """Chance that the other view is drawn so. Else it is the same image, changed anew. Without meaning for breast."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}: give a chance from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Every setting of a pretraining run; its data is named apart, in the run folder."""

    model: ModelConfig = field(default_factory=ModelConfig)
    starts_from: str | None = None
    """The published weights that the paper starts from, in words; such a run is not started without them unless that
    is asked for. None: random numbers."""
    method: MethodSettings = field(default_factory=GlamSettings)
    """The method (`glam_train.methods`), by the settings of its own."""
    views: Views = field(default_factory=Views)
    local_weight: float = 1.0
    """Weight of the method's local loss: GLAM's Eq. 4, MaMA's sentences and patches."""
    local_start_step: int = 0
    """First update in which the local loss has its weight; before, it has none."""
    correspondence_weight: float = 0.0
    """Weight of the known places: minus the log of the weight that the map puts on the true row of findings seen in
    both views. 0: no places are used."""
    tissue_weight: float = 0.0
    """Weight of plain tissue points beside findings in that loss; phantoms alone have them."""
    flip_rows: float = 0.0
    """Chance of each view, drawn on its own, to have its rows turned over; the report's words of place turn too."""
    steps: int = 40_000
    """Optimizer updates; 0 for the method that trains nothing."""
    batch_size: int = 36
    """Pairs a forward pass."""
    accumulate: int = 4
    """Forward passes an update, which the processes of a run share out evenly."""
    negatives: Literal["update", "micro_batch"] = "update"
    """update: the loss contrasts all pairs of an update, whatever `accumulate`; micro_batch: those of one pass."""
    balance: BalancedLabel | None = None
    """Label of the manifest whose classes an update draws alike often; what has no such label is left out. None: every
    pair comes once an epoch."""
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
    """mixed: weights and losses in fp32, towers in the named format (fp16 with a scale of the loss); bf16-true: weights
    in bf16 too, as released, which loses small updates."""
    ema: float | None = None
    """Decay of a running mean of the weights, which is then what a checkpoint holds. None: the weights themselves."""
    seed: int = 42
    text: TextAugmentation = field(default_factory=TextAugmentation)
    image: ImageAugmentation = field(default_factory=ImageAugmentation)

    def __post_init__(self) -> None:
        self._check_chances()
        self._check_steps()
        weights = ("correspondence_weight", "tissue_weight", "local_weight")
        rates = ("learning_rate", "min_learning_rate", "weight_decay")
        check_numbers(self, counts=("batch_size", "accumulate"), at_least_0=weights + rates, above_0=("clip_norm",))
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed is {self.seed}: give a whole number from 0 to {MAX_SEED}")
        if self.pairs_per_update < 2:
            raise ValueError("an update of one pair has no negatives: raise batch_size or accumulate to 2 or more")

    def _check_steps(self) -> None:
        if not self.method.trains:
            if self.steps or self.warmup_steps:
                raise ValueError(f"{self.method.name} trains nothing: set steps and warmup_steps to 0")
            return
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: give 1 or more")
        if 0 < self.learning_rate < self.min_learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} is not below steps {self.steps}")

    def _check_chances(self) -> None:
        if self.local_start_step < 0:
            raise ValueError(f"local_start_step is {self.local_start_step}: give 0 or more")
        if not 0 <= self.flip_rows <= 1:
            raise ValueError(f"flip_rows is {self.flip_rows}: give a chance from 0 to 1")
        if self.image.reverse and self.model.alignment is not None:
            raise ValueError(
                "image.reverse moves the chest wall, which the alignment module has at the left: set it to 0"
            )
        if self.flip_rows and self.views.strategy != "breast":
            raise ValueError(
                "rows are turned over in pairs of CC and MLO: set flip_rows to 0 or views.strategy to breast"
            )
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}: give a decay from 0 to below 1")

    @property
    def pairs_per_update(self) -> int:
        """Pairs that one optimizer update sees."""
        return self.batch_size * self.accumulate

    @property
    def images_per_record(self) -> int:
        """Places of an epoch that a pair of the cache has: 1, or 2 where each image is taken in turn."""
        return 1 if self.views.strategy == "breast" else 2

    def as_json(self) -> dict[str, Any]:
        """Return nested dicts of JSON types; the method's have its name."""
        return asdict(self) | {"method": {"name": self.method.name} | asdict(self.method)}


def pretrain_config_from_json(data: dict[str, Any]) -> PretrainConfig:
    """Return the configuration that `as_json` wrote. SettingError: a key or value of another version."""
    methods = {name: entry.settings for name, entry in METHODS.items()}
    return settings_from_json(PretrainConfig, data, variants={MethodSettings: methods})


def changed_config(config: PretrainConfig, changes: Mapping[str, Any]) -> PretrainConfig:
    """Return the configuration with nested changes of JSON types; another method has the defaults of its own.

    SettingError: a key or value that is none of the configuration. ValueError: a rule of it is broken.
    """
    return pretrain_config_from_json(merged(config.as_json(), changes))
