"""Models of timm: a file of tensors, or the folder that timm saves, whose config.json names the architecture."""

import math
from collections.abc import Sized
from typing import Any, cast

import timm
import torch
from timm.models.efficientnet import EfficientNet
from timm.models.vision_transformer import VisionTransformer

from glam.config import VisionConfig
from glam.input_size import InputSize
from glam_train.weights.fit import renamed, resample_positions
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import StoredWeights, Weights
from glam_train.weights.vit import IMAGENET, VitFacts, check_image_size, one_number

UNUSED = r"(?:head|head_dist|classifier)\..*"
"""The classifier of timm's models."""
CELL_PX = 32
"""Stride of an EfficientNet."""


def is_timm(stored: StoredWeights) -> bool:
    """Whether the keys are those of timm's vision transformers and EfficientNets."""
    names = stored.tensors.keys()
    return "blocks.0.attn.qkv.weight" in names or {"conv_stem.weight", "conv_head.weight"} <= names


def lone_file_weights(stored: StoredWeights) -> tuple[Weights, VitFacts]:
    """Return the weights of a vision transformer whose file does not say which it is; ImageNet's colours are taken."""
    weights = renamed(stored.tensors, {"dist_token": "reg_token"}, unused=UNUSED)
    if "pos_embed" not in weights:
        raise WeightsError(f"{stored.path} does not say which timm model it is: give the folder with its config.json")
    count = weights["pos_embed"].shape[1]
    prefix = 1 + (weights["reg_token"].shape[1] if "reg_token" in weights else 0)
    positioned = next((number for number in (0, 1, prefix) if math.isqrt(count - number) ** 2 == count - number), 1)
    return weights, VitFacts(positioned=positioned)


def named_config(stored: StoredWeights, *, image_size: InputSize, timm_name: str | None = None) -> VisionConfig:
    """Return the configuration of the timm model that config.json names, or of `timm_name`."""
    name = timm_name or str(stored.config["architecture"])
    if not timm.models.is_model_in_modules(name, ["vision_transformer", "deit", "efficientnet"]):
        raise WeightsError(f"{stored.path} is a {name}, none of timm's vision transformers and EfficientNets")
    colours = dict(stored.config.get("pretrained_cfg") or {})
    sizes = _sizes(name, image_size)
    mean = one_number(colours.get("mean") or IMAGENET[0])
    std = one_number(colours.get("std") or IMAGENET[1])
    return VisionConfig(image_size=image_size, timm_name=name, mean=mean, std=std, **sizes)


def named_tensors(stored: StoredWeights, config: VisionConfig) -> Weights:
    """Return the weights of the timm model that config.json names, under `VisionTower`'s names."""
    weights = renamed(stored.tensors, {}, unused=UNUSED)
    if "conv_stem.weight" in weights:
        return {f"cnn.{name}": tensor for name, tensor in weights.items()}
    if "pos_embed" in weights:
        positions = weights["pos_embed"].float()  # (1, prefix or 0 + patch, dim)
        first = positions.shape[1] - math.isqrt(positions.shape[1]) ** 2  # few prefix tokens, if any, have positions
        patches = resample_positions(positions[:, first:], config.grid)
        weights["pos_embed"] = torch.cat([positions[:, :first], patches], dim=1)
    return {f"vit.{name}": tensor for name, tensor in weights.items()}


def _sizes(name: str, image_size: InputSize) -> dict[str, Any]:
    """Return what `VisionConfig` says of a named model's size."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    if isinstance(model, EfficientNet):
        depth = sum(len(cast("Sized", stage)) for stage in model.blocks)
        return {"patch_size": CELL_PX, "embed_dim": model.num_features, "depth": depth, "num_heads": 1}
    assert isinstance(model, VisionTransformer)
    patch_size = model.patch_embed.patch_size[0]
    check_image_size(image_size, patch_size)
    return {
        "patch_size": patch_size,
        "embed_dim": model.num_features,
        "depth": len(model.blocks),
        "num_heads": cast("Any", model.blocks[0]).attn.num_heads,
        "num_registers": model.num_reg_tokens,
    }
