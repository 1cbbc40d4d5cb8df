"""The model as a whole: two towers, the space they share, the alignment module, and the frame its images come in."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from glam.config.frame import FrameConfig
from glam.config.towers import TextConfig, VisionConfig
from glam.input_size import told_size
from glam.settings import check_numbers, settings_from_json

RegionPooling = Literal["anchored", "free", "average"]


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Region pooling and patch-to-slice attention."""

    side: int = 9
    """Regions along a side; a column of them is one AP slice."""
    pooling: RegionPooling = "anchored"
    """anchored: a learned query for each place, which sees the patches around it; free: learned queries over all
    patches, as released; average: the mean of the patches of each place, those beyond a whole number left out."""
    pooling_heads: int = 8
    slice_heads: int = 4
    window: float = 1.5
    """Reach of an anchored query along each axis, in regions from its centre."""
    spread: float | None = 0.5
    """How far from its centre an anchored query prefers to look: a Gaussian's standard deviation, in regions.
    None: all of its window alike."""
    values: Literal["plain", "projected"] = "plain"
    """plain: a region is the weighted mean of its patches, and finds the weighted mean of the other view's regions;
    projected: both through learned projections, as printed and released, and what is attended to may stand for
    anything (docs/adr/0004-plain-values.md)."""
    keys: Literal["slice", "band", "all"] = "slice"
    """What a region is compared with in the other view. slice: the regions of its own slice; band: all regions, those
    of near slices most, after CA3D-Diff (arXiv 2510.04947); all: all regions alike."""
    band: float = 1.0
    """Standard deviation of the band, in slices."""

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError(f"side is {self.side}: give 1 region or more along a side")
        check_numbers(self, counts=("pooling_heads", "slice_heads"), above_0=("window", "spread"))
        if not self.band > 0:
            raise ValueError(f"band is {self.band}: give a number of slices above 0")

    @property
    def is_tied_to_places(self) -> bool:
        """Whether region (row, col) pools from the patches around its own place."""
        return self.pooling != "free"

    @property
    def num_regions(self) -> int:
        """Regions of a view."""
        return self.side**2


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Two towers, their projections, the alignment module, and the frame its images come in.

    The defaults are ours: Eq. 2 to 4 of the paper with anchored regions, proper positions and clamped temperatures.
    """

    retired: ClassVar[tuple[str, ...]] = ("view_projection",)
    """Keys of older bundles: whether training had a head between the views, which no answer depends on."""
    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    alignment: AlignmentConfig | None = field(default_factory=AlignmentConfig)
    """None: a model that does not compare its views, whose answers have no attention."""
    frame: FrameConfig = field(default_factory=FrameConfig)
    joint_dim: int = 512
    """Width of the space that images and texts share."""
    projection_hidden: int | None = None
    """Width of a hidden layer, with a ReLU, of both projections into that space. None: they are linear."""
    max_scale: float | None = 100.0
    """Upper bound of every learnable inverse temperature. None: unbounded, as in the released code."""
    image_pool: Literal["first", "mean", "all_tokens"] = "first"
    """What a view is embedded by. first: the CLS token; mean: the mean of its patch tokens, as in MaMA; all_tokens: the
    mean of CLS, registers and patches before the last norm, as in MaMA's released code."""

    def __post_init__(self) -> None:
        check_numbers(self, counts=("joint_dim", "projection_hidden"), above_0=("max_scale",))
        self._check_heads()
        image, frame = told_size(self.vision.image_size), told_size(self.frame.size)
        if image != frame:
            raise ValueError(f"vision.image_size {image} is not frame.size {frame}")
        if self.alignment is not None and not (isinstance(self.frame.size, int) and self.vision.is_filled):
            raise ValueError(
                f"the alignment module takes a square of whole patches of {self.vision.patch_size} px, not {frame}: set"
                " vision.image_size and frame.size to one such number, or alignment to none"
            )

    def _check_heads(self) -> None:
        """Raise ValueError where the heads of the alignment module do not divide the width of a patch."""
        if self.alignment is None:
            return
        width, averages = self.vision.embed_dim, self.alignment.pooling == "average"
        for name in ("slice_heads",) if averages else ("slice_heads", "pooling_heads"):
            if width % (heads := getattr(self.alignment, name)):
                raise ValueError(f"vision.embed_dim {width} is not a multiple of alignment.{name} {heads}")

    @property
    def compares_views(self) -> bool:
        """Whether the model says where the regions of one view lie in the other."""
        return self.alignment is not None

    def as_json(self) -> dict[str, Any]:
        """Return nested dicts of JSON types."""
        return json.loads(json.dumps(asdict(self)))


def model_config_from_json(data: dict[str, Any]) -> ModelConfig:
    """Return the configuration that `ModelConfig.as_json` wrote. SettingError: a key or value that is none of it."""
    return settings_from_json(ModelConfig, data, within="model.")
