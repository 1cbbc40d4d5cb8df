"""Settings of Mammo-CLIP's method, readable without torch."""

from dataclasses import dataclass
from typing import ClassVar

from glam_train.methods.settings import MethodSettings, check_numbers


@dataclass(frozen=True, kw_only=True)
class MammoClipSettings(MethodSettings):
    """Mammo-CLIP (Ghosh et al. 2024): two changes of an image and two wordings of its report."""

    name: ClassVar[str] = "mammo_clip"
    reads_two_wordings: ClassVar[bool] = True
    view_weight: float = 1.0
    """Weight of an image against the other change of itself."""
    text_weight: float = 0.5
    """Weight of a report against the other wording of itself."""

    def __post_init__(self) -> None:
        check_numbers(self, at_least_0=("view_weight", "text_weight"))
