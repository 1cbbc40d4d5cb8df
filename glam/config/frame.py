"""How a mammogram is laid into the model's input."""

from dataclasses import dataclass
from typing import Literal

from glam.input_size import InputSize, plain_size, rows_and_cols, told_size

FrameKind = Literal["stretch", "isotropic", "nipple_mm", "nipple_stretch"]
VoiPolicy = Literal["header", "window", "breast", "voi_lut", "minmax"]


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """How a mammogram is laid into the model's input, called its square even where it is a rectangle."""

    size: InputSize = 518
    """Side of the square, in pixels; or rows and columns of a rectangle, such as [1520, 912]."""
    kind: FrameKind = "nipple_stretch"
    """stretch: the breast box fills the square, as in the released code; isotropic: one scale for both axes, padded;
    nipple_mm: one scale in mm for all views, counted from the nipple; nipple_stretch: columns as nipple_mm, and the
    rows of the breast box fill the square."""
    span_mm: float = 140.0
    """Width of the square in frames counted from the nipple."""
    align_mlo: bool = True
    """Rotate the MLO view so that its chest-nipple axis is horizontal."""
    mask_muscle: bool = True
    """Clear the pectoral muscle of an aligned MLO view, where one is seen."""
    voi: VoiPolicy = "header"
    """Grey values: header: VOI LUT, else window, else the breast's own range; window: a window before a VOI LUT;
    breast: always the breast's own range; voi_lut: as header, then spread from the image's darkest to its brightest
    pixel, which is the image's own range where there is neither, as is common with pydicom's apply_voi_lut; minmax:
    neither VOI LUT nor window, modality values spread from the image's darkest to its brightest pixel."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", plain_size(self.size))
        if min(self.height, self.width) < 14:
            raise ValueError(f"size {told_size(self.size)} is smaller than one patch of 14 px")
        if not 20 <= self.span_mm <= 500:
            raise ValueError(f"span_mm {self.span_mm} is not within 20 and 500 mm")

    @property
    def height(self) -> int:
        """Rows of the square."""
        return rows_and_cols(self.size)[0]

    @property
    def width(self) -> int:
        """Columns of the square."""
        return rows_and_cols(self.size)[1]

    @property
    def in_mm(self) -> bool:
        """Whether the columns are millimetres from the nipple."""
        return self.kind in ("nipple_mm", "nipple_stretch")
