"""A vision tower's weights from a file or folder of any layout that is read."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from glam.config import VisionConfig
from glam.input_size import InputSize
from glam.model.vision import VisionTower
from glam_train.presets.frames import MAMMO_CLIP_GREY
from glam_train.weights.dinov2 import dinov2_weights, is_dinov2
from glam_train.weights.fit import check_fit
from glam_train.weights.mammo_clip import LICENCE, image_weights, is_mammo_clip
from glam_train.weights.source import WeightsError, WeightsSource, weights_source
from glam_train.weights.stored import StoredWeights, Weights, read_json, read_stored
from glam_train.weights.timm_files import is_timm, lone_file_weights, named_config, named_tensors
from glam_train.weights.transformers_files import FAMILIES, is_transformers_vit, transformers_weights
from glam_train.weights.vit import VitFacts, vit_config, vit_tensors

LAYOUTS = (
    "DINOv2's .pth, timm's vision transformers and EfficientNets, transformers' Dinov2, Dinov2WithRegisters, ViT and "
    "DeiT, Mammo-CLIP's EfficientNet"
)


class VisionWeights(NamedTuple):
    """A tower to build and what to load into it."""

    config: VisionConfig
    tensors: Weights
    """Under `VisionTower`'s names."""
    source: WeightsSource


def read_vision_weights(path: Path, *, image_size: InputSize) -> VisionWeights:
    """Return the vision tower of a file or folder, for images of this size; its layout is found from its keys.

    Positions are resampled to the grid of the image. WeightsError names what does not fit.
    """
    stored = read_stored(path)
    layout, config, tensors = _converted(stored, image_size=image_size)
    with torch.device("meta"):
        tower = VisionTower(config)
    check_fit(tensors, tower, where=path)
    metadata = stored.extra | dict(stored.config.get("pretrained_cfg") or {}) | stored.config
    source = weights_source(path, layout=layout, files=stored.files, metadata=metadata)
    if layout.startswith("Mammo-CLIP"):
        source = replace(source, licence=source.licence or LICENCE)
    return VisionWeights(config, tensors, source)


def is_vision(folder: Path) -> bool:
    """Whether the config.json of a folder is of a vision tower; by it alone, before any tensor is read."""
    config = read_json(folder / "config.json")
    return "architecture" in config or config.get("model_type") in FAMILIES


def _converted(stored: StoredWeights, *, image_size: InputSize) -> tuple[str, VisionConfig, Weights]:
    """Return the layout in words, the tower's configuration and its tensors."""
    if is_dinov2(stored):
        registers = "with registers" if "register_tokens" in stored.tensors else "without registers"
        return f"DINOv2 {registers}, the authors'", *_vit(stored, dinov2_weights(stored), image_size)
    if is_transformers_vit(stored):
        return f"transformers, {stored.config.get('model_type')}", *_vit(
            stored, transformers_weights(stored), image_size
        )
    if is_mammo_clip(stored):
        return _mammo_clip(stored, image_size)
    if is_timm(stored):
        if "architecture" not in stored.config:
            return "timm, without config.json", *_vit(stored, lone_file_weights(stored), image_size)
        config = named_config(stored, image_size=image_size)
        return f"timm, {config.timm_name}", config, named_tensors(stored, config)
    first = ", ".join(sorted(stored.tensors)[:3])
    raise WeightsError(f"{stored.path} has {first} ...: no vision tower that is read ({LAYOUTS})")


def _vit(stored: StoredWeights, found: tuple[Weights, VitFacts], image_size: InputSize) -> tuple[VisionConfig, Weights]:
    weights, facts = found
    config = vit_config(stored, weights, facts, image_size=image_size)
    return config, vit_tensors(weights, facts, grid=config.grid)


def _mammo_clip(stored: StoredWeights, image_size: InputSize) -> tuple[str, VisionConfig, Weights]:
    weights, name = image_weights(stored)
    mean, std = MAMMO_CLIP_GREY
    config = replace(named_config(stored, image_size=image_size, timm_name=name), mean=mean, std=std)
    return f"Mammo-CLIP, {name}", config, {f"cnn.{key}": tensor for key, tensor in weights.items()}
