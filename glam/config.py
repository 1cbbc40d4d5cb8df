"""Every number a bundle must remember: frozen dataclasses of JSON types, and the published settings as functions."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from glam.input_size import InputSize, plain_size, rows_and_cols, told_size
from glam.settings import check_numbers, settings_from_json

FrameKind = Literal["stretch", "isotropic", "nipple_mm", "nipple_stretch"]
VoiPolicy = Literal["header", "window", "breast", "voi_lut", "minmax"]
RegionPooling = Literal["anchored", "free", "average"]
PositionIds = Literal["proper", "official_zero"]


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


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """A timm vision transformer, or another timm model by its name."""

    image_size: InputSize = 518
    """Side of the square input, in pixels, or rows and columns of a rectangle; multiples of `patch_size`, but for an
    EfficientNet, whose last cells may reach beyond the image."""
    patch_size: int = 14
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    num_registers: int = 4
    stem: Literal["linear", "conv"] = "linear"
    """linear: one convolution a patch, as in DINOv2; conv: a few small strided ones, which learn from fewer images."""
    positions: Literal["learned", "none"] = "learned"
    """learned: a vector a patch, as in DINOv2; none: a patch knows its place only by what lies around it."""
    layer_scale: float | None = 1e-5
    """Initial LayerScale gain. None: no LayerScale, as in ViT and DeiT."""
    norm_eps: float = 1e-6
    """What LayerNorm adds to a variance."""
    timm_name: str | None = None
    """A timm model to build in place of the sizes above: a vision transformer, or an EfficientNet, whose patches are
    the cells of its last map (`patch_size` 32). None: from the sizes."""
    mean: float | tuple[float, float, float] = 0.5
    """Taken from the grey values in [0, 1]; three numbers: one a channel, as published RGB weights expect."""
    std: float | tuple[float, float, float] = 0.5
    """What the grey values are then divided by, as `mean`."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if isinstance(value := getattr(self, name), list):  # of a JSON file
                object.__setattr__(self, name, tuple(value))
        if isinstance(self.mean, tuple) != isinstance(self.std, tuple):
            raise ValueError(f"mean {self.mean} and std {self.std}: give one number for each, or three for each")
        if not all(0 < std < math.inf for _, std in self.scales):
            raise ValueError(f"std is {self.std}: give a number above 0")
        check_numbers(self, at_least_0=("num_registers", "norm_eps"))
        check_numbers(self, counts=("patch_size", "embed_dim", "depth", "num_heads"))
        object.__setattr__(self, "image_size", plain_size(self.image_size))
        if self.timm_name is None and not self.is_filled:
            size = told_size(self.image_size)
            raise ValueError(f"image_size {size} is not a multiple of patch_size {self.patch_size}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")

    @property
    def scales(self) -> tuple[tuple[float, float], ...]:
        """Mean and standard deviation for all channels, or of each."""
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple):
            return tuple(zip(self.mean, self.std, strict=True))
        assert not isinstance(self.mean, tuple)
        assert not isinstance(self.std, tuple)
        return ((self.mean, self.std),)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; the last ones may reach beyond the image."""
        rows, cols = rows_and_cols(self.image_size)
        return -(-rows // self.patch_size), -(-cols // self.patch_size)

    @property
    def num_patches(self) -> int:
        """Patches of an image."""
        rows, cols = self.grid
        return rows * cols

    @property
    def is_filled(self) -> bool:
        """Whether whole patches fill the image."""
        return not any(length % self.patch_size for length in rows_and_cols(self.image_size))


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """A text tower: a BERT of these sizes, or another language model by its own configuration."""

    vocab_size: int = 28996
    hidden_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    max_positions: int = 512
    max_tokens: int = 144
    """Longest text, in tokens; what is longer is cut."""
    position_ids: PositionIds = "proper"
    """official_zero: every token at position 0, as the released code does by accident; only to load its checkpoints."""
    lower_case: bool = True
    wrap_tokens: bool = False
    """Put [BOS] after [CLS] and [EOS] before the last [SEP] of training text, as the released code does."""
    pool: Literal["first", "mean", "last", "padding"] = "first"
    """first: the state of [CLS]; mean: over the tokens that are no padding; last: the state of the last token that is
    no padding, the only one that a causal language model reads the whole text by; padding: that of the padding after
    it, as the released MaMA reads class prompts."""
    pad_id: int = 0
    """Id of the token that pads; it counts where `pool` is padding."""
    dropout: float = 0.0
    """Chance of a hidden unit or an attention weight to be zeroed in training."""
    architecture: dict[str, Any] | None = None
    """The content of a transformers config.json to build in place of a BERT of the sizes above. None: from the sizes.
    The sizes still say what others read of a tower (`vocab_size`, `hidden_dim`, `depth`, `num_heads`)."""
    lora_rank: int | None = None
    """Rank of the low-rank change that is trained beside each attention projection in place of the tower's own weights
    (peft's default targets for the model's kind); merged into them when exported. None: the weights are trained."""
    lora_alpha: int = 32
    """The low-rank change is scaled by `lora_alpha` / `lora_rank`."""
    lora_dropout: float = 0.1
    """Chance of an input of the low-rank change to be zeroed in training."""

    def __post_init__(self) -> None:
        check_numbers(self, counts=("vocab_size", "hidden_dim", "depth", "num_heads", "ffn_dim"))
        check_numbers(self, counts=("max_positions", "max_tokens", "lora_alpha"), shares=("dropout", "lora_dropout"))
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        if self.max_tokens > self.max_positions:
            raise ValueError(f"max_tokens {self.max_tokens} exceeds max_positions {self.max_positions}")
        if self.pool == "padding" and self.max_tokens == self.max_positions:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no position for the padding that pool padding reads")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank is {self.lora_rank}: give 1 or more, or leave it out")


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


def glam_paper() -> ModelConfig:
    """The printed paper (Du et al., MICCAI 2025): free region queries."""
    return ModelConfig(alignment=AlignmentConfig(pooling="free", values="projected"), frame=FrameConfig(kind="stretch"))


def glam_official() -> ModelConfig:
    """The released code (XYPB/GLAM b863b78): six text layers at position 0, unbounded temperatures."""
    return ModelConfig(
        text=TextConfig(vocab_size=28999, depth=6, position_ids="official_zero", wrap_tokens=True, dropout=0.1),
        alignment=AlignmentConfig(pooling="free", values="projected"),
        frame=FrameConfig(kind="stretch", mask_muscle=False),
        max_scale=None,
    )


def tiny() -> ModelConfig:
    """A model that two CPU cores can train: 252 px, 18 x 18 patches, the same 9 x 9 regions."""
    return ModelConfig(
        vision=VisionConfig(
            image_size=252,
            embed_dim=128,
            depth=3,
            num_heads=2,
            num_registers=0,
            stem="conv",
            positions="none",
            layer_scale=1.0,
        ),
        text=TextConfig(
            vocab_size=4000, hidden_dim=128, depth=2, num_heads=2, ffn_dim=256, max_positions=160, max_tokens=160
        ),
        alignment=AlignmentConfig(pooling_heads=4),
        frame=FrameConfig(size=252, kind="stretch"),
        joint_dim=128,
    )
