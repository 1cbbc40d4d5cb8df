"""The settings of MaMA's two methods, readable without torch: the printed equations, the released code."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from glam_train.methods.settings import MethodSettings, check_numbers


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
        check_numbers(self, at_least_0=("view_weight",))


@dataclass(frozen=True, kw_only=True)
class MamaOfficialSettings(MethodSettings):
    """MaMA as its code was released (XYPB/MaMA 0ca3a9e).

    Before `local_start_step` there is nothing but the first image against its report.
    """

    name: ClassVar[str] = "mama_official"
    view_weight: float = 1.0
    """Weight of SimCLR's loss between the two views, the released --slip_loss_lambda."""
    symmetric: bool = True
    """Hold the report against the second view too, the released --symmetric_clip."""
    reads: Literal["both", "visual"] = "both"
    """Which local scores count. visual: the best patch of each sentence alone, without the released
    --symmetric_local."""
    train_text: bool = False
    """Train the text tower, by its low-rank changes where it has them. The released code gives them no gradient: it
    recomputes the layers behind embeddings that are frozen (docs/methods.md)."""

    def __post_init__(self) -> None:
        check_numbers(self, at_least_0=("view_weight",))

    @property
    def not_trained(self) -> tuple[str, ...]:
        """The last norm of the vision tower, frozen by name, and what gets no gradient."""
        return ("vision.vit.norm",) if self.train_text else ("vision.vit.norm", "text.transformer")
