"""The settings of MaMA as its code was released, readable without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from glam_train.methods.settings import MethodSettings


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
        if not self.view_weight >= 0:
            raise ValueError(f"view_weight is {self.view_weight}: give a number from 0 up")

    @property
    def not_trained(self) -> tuple[str, ...]:
        """The last norm of the vision tower, frozen by name, and what gets no gradient."""
        return ("vision.vit.norm",) if self.train_text else ("vision.vit.norm", "text.transformer")
