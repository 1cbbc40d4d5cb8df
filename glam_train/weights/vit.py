"""Weights of a plain vision transformer under timm's names -> the tower that `VisionConfig`'s sizes describe.

DINOv2 with registers or without, ViT, DeiT and distilled DeiT are one architecture once the positions of their prefix
tokens are added into these: CLS, then registers (the distillation token is one), then patches.
"""

from dataclasses import dataclass

import torch

from glam.config import VisionConfig
from glam.input_size import InputSize, plain_size, rows_and_cols, told_size
from glam_train.weights.fit import resample_positions, three_channel_stem
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import StoredWeights, Weights

Scale = float | tuple[float, float, float]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HEAD_WIDTH = 64
"""Width of an attention head in every published ViT-S, B and L, DeiT and DINOv2; a file of tensors does not tell it."""


@dataclass(frozen=True, kw_only=True)
class VitFacts:
    """What names and shapes do not tell of a vision transformer."""

    num_heads: int | None = None
    """None: heads of `HEAD_WIDTH`."""
    norm_eps: float = 1e-6
    mean: Scale = IMAGENET[0]
    std: Scale = IMAGENET[1]
    positioned: int = 1
    """Prefix tokens that have positions of their own, at the head of `pos_embed`."""


def vit_config(stored: StoredWeights, weights: Weights, facts: VitFacts, *, image_size: InputSize) -> VisionConfig:
    """Return the configuration of a tower of these weights at an image size."""
    if any(".mlp.w12." in name for name in weights):
        raise WeightsError(f"{stored.path} is a ViT-g with SwiGLU layers, which is not read: take ViT-S, B or L")
    named = StoredWeights(path=stored.path, tensors=weights, config=stored.config)
    embed_dim, _, patch_size, _ = named.shape("patch_embed.proj.weight")
    check_image_size(image_size, patch_size)
    if facts.num_heads is None and embed_dim % HEAD_WIDTH:
        raise WeightsError(
            f"{stored.path} is {embed_dim} wide, no multiple of heads of {HEAD_WIDTH}: give a folder with the "
            "config.json that says how many heads it has"
        )
    return VisionConfig(
        image_size=image_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=len({name.split(".")[1] for name in weights if name.startswith("blocks.")}),
        num_heads=facts.num_heads or embed_dim // HEAD_WIDTH,
        num_registers=named.shape("reg_token")[1] if "reg_token" in weights else 0,
        layer_scale=1e-5 if "blocks.0.ls1.gamma" in weights else None,
        norm_eps=facts.norm_eps,
        mean=one_number(facts.mean),
        std=one_number(facts.std),
    )


def vit_tensors(weights: Weights, facts: VitFacts, *, grid: tuple[int, int]) -> Weights:
    """Return the weights under `VisionTower`'s names, with the positions of prefix tokens in the tokens themselves."""
    ours = {name: tensor.float() for name, tensor in weights.items()}
    positions = ours["pos_embed"]  # (1, prefix + patch, dim)
    prefix = [ours["cls_token"], *([ours["reg_token"]] if "reg_token" in ours else [])]
    tokens = torch.cat(prefix, dim=1)  # (1, CLS + register, dim)
    placed = positions[:, : facts.positioned]
    tokens = torch.cat([tokens[:, : facts.positioned] + placed, tokens[:, facts.positioned :]], dim=1)
    ours["cls_token"] = tokens[:, :1]
    if "reg_token" in ours:
        ours["reg_token"] = tokens[:, 1:]
    ours["pos_embed"] = resample_positions(positions[:, facts.positioned :], grid)
    ours["patch_embed.proj.weight"] = three_channel_stem(ours["patch_embed.proj.weight"])
    return {f"vit.{name}": tensor for name, tensor in ours.items()}


def check_image_size(image_size: InputSize, patch_size: int) -> None:
    """Refuse an image that the patches of the weights do not fill."""
    sides = rows_and_cols(image_size)
    if any(length % patch_size for length in sides):
        nearest = plain_size([max(1, round(length / patch_size)) * patch_size for length in sides])
        raise WeightsError(
            f"the weights make patches of {patch_size} px, which do not fill an image of {told_size(image_size)} px: "
            f"prepare and train at {told_size(nearest)} px, or take other weights"
        )


def one_number(scale: Scale | list[float]) -> Scale:
    """Return one number for three equal ones, else the three."""
    if isinstance(scale, (int, float)):
        return float(scale)
    red, green, blue = (float(value) for value in scale)
    return red if red == green == blue else (red, green, blue)
