"""The vision tower: a timm vision transformer whose CLS and patch tokens are both used, or an EfficientNet."""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import timm
import torch
from timm.models.efficientnet import EfficientNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from glam.config import VisionConfig
from glam.input_size import InputSize, rows_and_cols, told_size

if TYPE_CHECKING:
    from collections.abc import Callable


class ViewFeatures(NamedTuple):
    """What the tower says of a view; `cls` and `patches` went through the last norm."""

    cls: Tensor  # (batch, dim); of an EfficientNet the mean of the patches
    patches: Tensor  # (batch, patch, dim), row-major grid
    all_tokens: Tensor  # (batch, dim): mean of CLS, registers and patches before that norm; of an EfficientNet as `cls`


class ConvStem(nn.Module):
    """Patch embedding of three small convolutions with a total stride of 14 = 2 x 7.

    Texture is seen at half resolution by a few channels, gathered into patches, and mixed with the patches around:
    on a CPU it costs less than a transformer block, and it learns texture from fewer images than one linear map.
    """

    def __init__(self, *, img_size: InputSize, in_chans: int, embed_dim: int, **_: Any) -> None:
        """Take timm's names for `embed_layer`; what timm passes besides has no meaning here."""
        super().__init__()
        rows, cols = rows_and_cols(img_size)
        self.num_patches = (rows // 14) * (cols // 14)
        self.texture = nn.Conv2d(in_chans, 16, kernel_size=5, stride=2, padding=2)
        self.gather = nn.Conv2d(16, 96, kernel_size=7, stride=7)
        self.norm = nn.GroupNorm(1, 96)
        self.mix = nn.Conv2d(96, embed_dim, kernel_size=3, padding=1)
        self.act = nn.GELU()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, channel, H, W) -> (batch, patch, dim)."""
        texture = self.act(self.texture(pixels))  # (batch, 16, H / 2, W / 2)
        patches = self.act(self.norm(self.gather(texture)))  # (batch, 96, row, col)
        return self.mix(patches).flatten(2).mT  # (batch, patch, dim)


class VisionTower(nn.Module):
    """Grey pixels in, normed tokens out. The size of the image is fixed, so that the exported graph is too."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.scales = config.scales
        body = _named(config.timm_name, config) if config.timm_name else _vit(config)
        self.vit = body if isinstance(body, VisionTransformer) else None
        self.cnn = body if isinstance(body, EfficientNet) else None
        self.in_chans: int = 3 if config.stem == "linear" or config.timm_name else 1
        width = body.num_features
        assert isinstance(width, int)
        self.dim: int = width
        self.grid: tuple[int, int] = config.grid

    def checkpoint_gradients(self) -> None:
        """Have the blocks computed again for the gradient, in place of keeping what they computed."""
        body = self.cnn if self.vit is None else self.vit
        assert body is not None
        body.set_grad_checkpointing(True)

    def forward(self, pixels: Tensor) -> ViewFeatures:
        """(batch, 1, H, W) in [0, 1] -> CLS and patch tokens."""
        channels = self.normalised(pixels)  # (batch, 1 or 3, H, W)
        if self.cnn is not None:
            cells = self.cnn.forward_features(channels).flatten(2).mT  # (batch, row * col, dim)
            return ViewFeatures(cls=cells.mean(dim=1), patches=cells, all_tokens=cells.mean(dim=1))
        assert self.vit is not None
        tokens, raw = _tokens(self.vit, channels)  # (batch, prefix + patch, dim)
        return ViewFeatures(
            cls=tokens[:, 0], patches=tokens[:, self.vit.num_prefix_tokens :], all_tokens=raw.mean(dim=1)
        )

    def normalised(self, pixels: Tensor) -> Tensor:
        """Grey values as the weights expect them, in every channel of the stem: (batch, 1 or 3, H, W)."""
        scaled = [(pixels - mean) / std for mean, std in self.scales]  # (batch, 1, H, W) each
        return torch.cat(scaled, dim=1) if len(scaled) > 1 else scaled[0].expand(-1, self.in_chans, -1, -1)


def _tokens(vit: VisionTransformer, channels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens after the last norm and before it: (batch, prefix + patch, dim) each."""
    through: Any = vit.forward_intermediates(channels, indices=1, return_prefix_tokens=True, output_fmt="NLC")
    tokens, [(patches, prefix)] = through
    return tokens, torch.cat([prefix, patches], dim=1)


def _vit(config: VisionConfig) -> VisionTransformer:
    """Build a transformer of DINOv2's kind: registers, LayerScale, no position for the prefix tokens.

    The linear stem takes three channels, so that published weights fit; the conv stem takes the grey one.
    """
    stem: dict[str, Any] = {"in_chans": 3}
    if config.stem == "conv":
        stem = {"in_chans": 1, "embed_layer": _conv_stem(config)}
    return VisionTransformer(
        img_size=rows_and_cols(config.image_size),
        patch_size=config.patch_size,
        num_classes=0,
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        init_values=config.layer_scale,
        norm_layer=partial(nn.LayerNorm, eps=config.norm_eps),
        reg_tokens=config.num_registers,
        no_embed_class=True,
        pos_embed="learn" if config.positions == "learned" else "none",
        **stem,
    )


def _conv_stem(config: VisionConfig) -> "Callable[..., ConvStem]":
    if config.patch_size != 14:
        raise ValueError(f"the conv stem makes patches of 14 px, not patch_size {config.patch_size}: use stem linear")
    return ConvStem


def _named(name: str, config: VisionConfig) -> VisionTransformer | EfficientNet:
    """Build the timm model called `name`, with random weights, at our image size."""
    if timm.models.is_model_in_modules(name, ["efficientnet"]):
        return _named_efficientnet(name, config)
    if timm.models.is_model_in_modules(name, ["vision_transformer", "deit"]):
        return _named_vit(name, config)
    raise ValueError(f"timm_name {name} is none of timm's vision transformers and EfficientNets")


def _named_vit(name: str, config: VisionConfig) -> VisionTransformer:
    size = told_size(config.image_size)
    if not config.is_filled:
        raise ValueError(f"image_size {size} is not a multiple of patch_size {config.patch_size}")
    vit = timm.create_model(name, img_size=rows_and_cols(config.image_size), num_classes=0)
    assert isinstance(vit, VisionTransformer)
    if not vit.has_class_token:
        raise ValueError(f"timm_name {name} has no class token, which GLAM embeds a view by")
    if vit.patch_embed.num_patches != config.num_patches:
        raise ValueError(
            f"timm_name {name} makes {vit.patch_embed.num_patches} patches of a {size} px image, "
            f"patch_size {config.patch_size} makes {config.num_patches}: set patch_size to the model's"
        )
    return vit


def _named_efficientnet(name: str, config: VisionConfig) -> EfficientNet:
    cnn = timm.create_model(name, num_classes=0)
    assert isinstance(cnn, EfficientNet)
    stride = cnn.feature_info[-1]["reduction"]
    if config.patch_size != stride:
        raise ValueError(
            f"timm_name {name} makes cells of {stride} px, not patch_size {config.patch_size}: "
            f"set patch_size to {stride}"
        )
    return cnn
