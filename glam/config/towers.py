"""The two towers: a vision transformer or EfficientNet, and a BERT or causal language model."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from glam.input_size import InputSize, plain_size, rows_and_cols, told_size
from glam.settings import check_numbers

PositionIds = Literal["proper", "official_zero"]


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
