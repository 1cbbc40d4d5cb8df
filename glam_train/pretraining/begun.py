"""What the first weights of a run are of: a checkpoint, published weights, or random numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glam.files import JsonDict
from glam.licence import provenance_of_start, provenance_of_weights
from glam_train.weights.towers import TowerStart


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
