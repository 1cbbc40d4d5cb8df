"""A user's own copy of a Mammo-CLIP checkpoint: an EfficientNet, named as EfficientNet-PyTorch does, and a BERT.

The checkpoints are under CC BY-NC-SA: they are read where the user has them, and never shipped. Nothing here is of
their code; the names of the EfficientNet are those of lukemelas/EfficientNet-PyTorch (Apache-2.0).
"""

import re
from collections import Counter
from collections.abc import Sized
from typing import cast

import timm
import torch
from timm.models.efficientnet import EfficientNet

from glam_train.weights.fit import renamed
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import StoredWeights, Weights

LICENCE = "CC BY-NC-SA (Mammo-CLIP's published checkpoints)"
IMAGE, TEXT = "image_encoder.", ("text_encoder.text_encoder.", "text_encoder.")
MODELS = {(1280, 16): "b0", (1280, 23): "b1", (1408, 23): "b2", (1536, 26): "b3", (1792, 32): "b4", (2048, 39): "b5"}
"""Width of the last map and number of blocks -> size of the EfficientNet."""
STEM = {
    r"_conv_stem\.(.*)": r"conv_stem.\1",
    r"_bn0\.(.*)": r"bn1.\1",
    r"_conv_head\.(.*)": r"conv_head.\1",
    r"_bn1\.(.*)": r"bn2.\1",
}
PARTS = {
    "_depthwise_conv": "conv_dw",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
PLAIN = PARTS | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Parts of a block without expansion, those of the first stage."""
EXPANDED = PARTS | {"_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
UNUSED = r"_fc\..*"


def is_mammo_clip(stored: StoredWeights) -> bool:
    """Whether the keys are those of a Mammo-CLIP checkpoint."""
    return f"{IMAGE}_conv_stem.weight" in stored.tensors


def image_weights(stored: StoredWeights) -> tuple[Weights, str]:
    """Return the EfficientNet's weights under timm's names, and the name of the timm model."""
    tensors = {name.removeprefix(IMAGE): tensor for name, tensor in stored.tensors.items() if name.startswith(IMAGE)}
    blocks = Counter(name.split(".")[1] for name in tensors if name.startswith("_blocks."))
    width = StoredWeights(path=stored.path, tensors=tensors, config={}).shape("_conv_head.weight")[0]
    size = MODELS.get((width, len(blocks)))
    if size is None:
        raise WeightsError(
            f"{stored.path} has an EfficientNet of {len(blocks)} blocks and width {width}: none of b0-b5"
        )
    name = f"tf_efficientnet_{size}"
    return _timm_names(tensors, name), name


def text_weights(stored: StoredWeights) -> Weights:
    """Return the BERT's weights under transformers' names."""
    for prefix in TEXT:
        found = {
            name.removeprefix(prefix): tensor for name, tensor in stored.tensors.items() if name.startswith(prefix)
        }
        if "embeddings.word_embeddings.weight" in found:
            return found
    raise WeightsError(f"{stored.path} has no {TEXT[0]}embeddings.word_embeddings.weight: it has no text tower of BERT")


def _timm_names(tensors: Weights, name: str) -> Weights:
    """Return the weights with blocks counted by stage, and every part under timm's name."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    assert isinstance(model, EfficientNet)
    depths = [len(cast("Sized", stage)) for stage in model.blocks]
    places = [f"{stage}.{block}" for stage, depth in enumerate(depths) for block in range(depth)]
    plain = {str(index) for index, place in enumerate(places) if place.startswith("0.")}

    def of_block(found: re.Match[str]) -> str:
        index, part, rest = found.groups()
        ours = (PLAIN if index in plain else EXPANDED).get(part)
        return found[0] if ours is None else f"blocks.{places[int(index)]}.{ours}.{rest}"

    kept = renamed(tensors, STEM, unused=UNUSED)
    return {re.sub(r"^_blocks\.(\d+)\.(\w+)\.(.*)$", of_block, name): tensor for name, tensor in kept.items()}
