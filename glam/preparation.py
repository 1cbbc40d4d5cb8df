"""What preparation did to a view, as numbers and words that can be printed."""

from dataclasses import asdict, dataclass
from typing import Any

from glam.anatomy.landmarks import AxisSource
from glam.anatomy.upright import ImageSide
from glam.config import FrameKind


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The record of one preparation; lengths are in pixels of the small picture that the breast was found in."""

    chest_wall: ImageSide
    """At which border of the stored image the chest wall lies."""
    upside_down: bool
    """Whether top and bottom were exchanged."""
    angle_deg: float
    """By which the picture was turned."""
    angle_from: AxisSource
    axis_confidence: float
    """0..1"""
    nipple_confidence: float
    """0..1"""
    muscle_share: float
    """Share of the breast's area, muscle included, that was cleared as muscle."""
    muscle_mm2: float | None
    """The same area. None: the file gives no pixel spacing."""
    kind: FrameKind
    box_cols: float
    box_rows: float
    """Size of the breast box that was laid into the square."""
    black: float
    white: float
    """Display values, 0..1, that became 0 and 1 in the square."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)
