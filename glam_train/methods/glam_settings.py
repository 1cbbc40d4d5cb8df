"""The settings of GLAM's three methods: ours, the printed equations, the released code."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from glam.settings import check_numbers
from glam_train.methods.settings import MethodSettings


@dataclass(frozen=True, kw_only=True)
class GlamSettings(MethodSettings):
    """GLAM as we train it."""

    name: ClassVar[str] = "glam"
    local: Literal["eq4", "late_interaction", "none"] = "eq4"
    """eq4: a region against what its slice of the other view gave it; late_interaction: the two slices at one position
    against each other, by the best likeness of their regions, with the queries and keys of the attention left as they
    are (docs/methods.md); none: neither."""
    best_regions: int | None = 3
    """Regions of a slice that late interaction counts, the best matched ones. None: all."""
    same_position: bool = True
    """Have the same position of the other breasts among the negatives of Eq. 4."""
    symmetric: bool = True
    """Hold the report against both views. False: against CC alone, as the released script does."""
    view_weight: float = 1.0
    """Weight of the contrast between the views."""
    simclr_weight: float = 0.0
    """Weight of SimCLR's loss between the views, by a head of its own as the released code has it."""
    simclr_temperature: float = 0.5
    """Fixed."""
    moco_weight: float = 0.0
    """Weight of CC among the keys of MLO that a slowly moving copy of the tower made of it and of updates before."""
    moco_temperature: float = 0.07
    """Fixed."""
    queue: int = 4096
    """Keys that CC is held against beside its own."""
    momentum: float = 0.999
    """Share of itself that the copy keeps in an update."""
    sentence_weight: float = 0.0
    """Weight of the report's sentences against the patches of each view (MaMA's local loss, its Algorithm 1) within the
    local loss: `local_weight` and `local_start_step` hold for both. Of CC alone where `symmetric` is false."""

    def __post_init__(self) -> None:
        if self.best_regions is not None and self.best_regions < 1:
            raise ValueError(f"best_regions is {self.best_regions}: give 1 or more, or leave it out for all")
        weights = ("view_weight", "simclr_weight", "moco_weight", "sentence_weight")
        temperatures = ("simclr_temperature", "moco_temperature")
        check_numbers(self, at_least_0=weights, above_0=temperatures, counts=("queue",), shares=("momentum",))


@dataclass(frozen=True, kw_only=True)
class GlamPaperSettings(MethodSettings):
    """GLAM by its printed equations."""

    name: ClassVar[str] = "glam_paper"
    same_position: bool = True
    """Have the same position of the other breasts among the negatives of Eq. 4 (SPN of the paper's Table 5)."""


@dataclass(frozen=True, kw_only=True)
class GlamOfficialSettings(MethodSettings):
    """GLAM as its code was released."""

    name: ClassVar[str] = "glam_official"
    same_position: bool = True
    """The second local term, the released script's --same_pos_contrast."""
