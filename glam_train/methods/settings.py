"""The settings that a method has for itself: one frozen dataclass of JSON types each, readable without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What one method can be told and no other; `name` is its name in the table of methods."""

    name: ClassVar[str]

    @property
    def told(self) -> str:
        """How provenance and logs call the method."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class GlamSettings(MethodSettings):
    """GLAM as we train it."""

    name: ClassVar[str] = "glam"
    local: Literal["eq4", "late_interaction"] = "eq4"
    """eq4: a region against what its slice of the other view gave it; late_interaction: the two slices at one position
    against each other, by the best likeness of their regions, with the queries and keys of the attention left as they
    are (docs/methods.md)."""
    best_regions: int | None = 3
    """Regions of a slice that late interaction counts, the best matched ones. None: all."""
    same_position: bool = True
    """Have the same position of the other breasts among the negatives of Eq. 4."""
    symmetric: bool = True
    """Hold the report against both views. False: against CC alone, as the released script does."""
    view_weight: float = 1.0
    """Weight of the contrast between the views."""

    def __post_init__(self) -> None:
        if self.best_regions is not None and self.best_regions < 1:
            raise ValueError(f"best_regions is {self.best_regions}: give 1 or more, or leave it out for all")
        if not self.view_weight >= 0:
            raise ValueError(f"view_weight is {self.view_weight}: give a number from 0 up")


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


@dataclass(frozen=True, kw_only=True)
class MamaSettings(MethodSettings):
    """MaMA by its printed equations."""

    name: ClassVar[str] = "mama"
    view_weight: float = 1.0
    """Weight of the contrast between the two views of a study (L_VV). 0: it is not there (MaMA's Table 4)."""
    symmetric: bool = True
    """Hold the report against the second view too. False: against the first alone (MaMA's Table 4)."""
    score_directions: Literal["one", "both"] = "one"
    """one: each local score matrix is contrasted along one axis, as in the paper's Algorithm 1; both: along both, as in
    its Eq. 3."""
    reads: Literal["both", "visual"] = "both"
    """Which local scores count. visual: the best patch of each sentence alone, the visual-only of MaMA's Fig. 5."""

    def __post_init__(self) -> None:
        if not self.view_weight >= 0:
            raise ValueError(f"view_weight is {self.view_weight}: give a number from 0 up")
