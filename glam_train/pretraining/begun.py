"""What the first weights of a run are of: a checkpoint, published weights, or random numbers; and who asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glam.files import JsonDict
from glam.licence import provenance_of_start, provenance_of_weights
from glam_train.weights.towers import TowerStart


@dataclass(frozen=True, kw_only=True)
class Start:
    """The files that a run starts from."""

    checkpoint: Path | None = None
    """Of a run of ours, with its tokenizer. None: not from one."""
    model_only: bool = False
    """Whether to take only the checkpoint's model, which another method than the run's may have trained."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the vocab.txt of a BERT. None: that of the weights, or trained on the reports."""
    vision_weights: Path | None = None
    """Published weights of the vision tower (`glam_train.weights`). None: random numbers."""
    text_weights: Path | None = None
    """Published weights of the text tower. None: random numbers."""
    from_scratch: bool = False
    """Random numbers will do where the preset's paper starts from published weights."""

    def __post_init__(self) -> None:
        if self.checkpoint is not None and (self.vision_weights or self.text_weights):
            raise ValueError("a run that starts from a checkpoint keeps its towers: leave out the published weights")
        if self.model_only and self.checkpoint is None:
            raise ValueError("--model-only takes the model of a checkpoint alone: give it with --start-from")


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The first weights of a run."""

    checkpoint: Path | None = None
    """All of them are of this checkpoint."""
    has_heads: bool = False
    """Whether the checkpoint's method is the run's, so that its heads are taken too; else they are random numbers."""
    towers: Mapping[str, TowerStart] = field(default_factory=dict)
    """Published weights, by the name of their tower; what is not among them is random numbers."""

    def provenance(self) -> JsonDict | None:
        """Return what is recorded as `start_from` of the run's own weights (`glam.licence`)."""
        if self.checkpoint is not None:
            return provenance_of_start(self.checkpoint)
        sources = {name: tower.source for name, tower in self.towers.items()}
        return provenance_of_weights(sources) if sources else None


RANDOM = Begun()
