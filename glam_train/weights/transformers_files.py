"""Vision transformers in a folder of transformers: DINOv2 with registers or without, ViT, DeiT."""

from typing import NamedTuple

import torch

from glam.files import JsonDict
from glam_train.weights.fit import renamed
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import StoredWeights, Weights, read_json
from glam_train.weights.vit import IMAGENET, Scale, VitFacts

_TOP = r"(?:dinov2_with_registers\.|dinov2\.|vit\.|deit\.)?"
_LAYER = _TOP + r"encoder\.layer\.(\d+)\."
_END = r"\.(weight|bias)"
_ANY = r"blocks.\1."

STEM = {
    _TOP + r"embeddings\.cls_token": "cls_token",
    _TOP + r"embeddings\.(?:register_tokens|distillation_token)": "reg_token",
    _TOP + r"embeddings\.position_embeddings": "pos_embed",
    _TOP + r"embeddings\.patch_embeddings\.projection" + _END: r"patch_embed.proj.\1",
    _TOP + "layernorm" + _END: r"norm.\1",
    _LAYER + r"attention\.attention\.(query|key|value)" + _END: _ANY + r"attn.\2.\3",
    _LAYER + r"attention\.output\.dense" + _END: _ANY + r"attn.proj.\2",
}
DINOV2 = STEM | {
    _LAYER + "(norm[12])" + _END: _ANY + r"\2.\3",
    _LAYER + r"mlp\.(fc[12])" + _END: _ANY + r"mlp.\2.\3",
    _LAYER + r"layer_scale([12])\.lambda1": _ANY + r"ls\2.gamma",
}
VIT = STEM | {
    _LAYER + "layernorm_before" + _END: _ANY + r"norm1.\2",
    _LAYER + "layernorm_after" + _END: _ANY + r"norm2.\2",
    _LAYER + r"intermediate\.dense" + _END: _ANY + r"mlp.fc1.\2",
    _LAYER + r"output\.dense" + _END: _ANY + r"mlp.fc2.\2",
}
UNUSED = _TOP + r"(?:embeddings\.mask_token|pooler\..*|classifier\..*|(?:cls|distillation)_classifier\..*)"


class Family(NamedTuple):
    """A `model_type` of transformers."""

    names: dict[str, str]
    mean: Scale
    std: Scale
    positioned: int


FAMILIES = {
    "dinov2": Family(DINOV2, *IMAGENET, positioned=1),
    "dinov2_with_registers": Family(DINOV2, *IMAGENET, positioned=1),
    "vit": Family(VIT, 0.5, 0.5, positioned=1),
    "deit": Family(VIT, *IMAGENET, positioned=2),
}


def is_transformers_vit(stored: StoredWeights) -> bool:
    """Whether the keys are those of transformers' vision transformers."""
    return any(name.endswith("embeddings.patch_embeddings.projection.weight") for name in stored.tensors)


def transformers_weights(stored: StoredWeights) -> tuple[Weights, VitFacts]:
    """Return the weights under timm's names, and what config.json and preprocessor_config.json say of them."""
    config = stored.config
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        known = ", ".join(FAMILIES)
        raise WeightsError(
            f"{stored.path} is a {config.get('model_type', 'file without config.json')}: give the folder of a {known}"
        )
    _check_kind(stored, config)
    weights = _with_joint_projections(renamed(stored.tensors, family.names, unused=UNUSED), stored)
    pictures = read_json(stored.path / "preprocessor_config.json")
    facts = VitFacts(
        num_heads=int(config["num_attention_heads"]),
        norm_eps=float(config.get("layer_norm_eps", 1e-12)),
        mean=pictures.get("image_mean") or family.mean,
        std=pictures.get("image_std") or family.std,
        positioned=family.positioned,
    )
    return weights, facts


def _check_kind(stored: StoredWeights, config: JsonDict) -> None:
    if config.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"{stored.path} computes with {config['hidden_act']}, not gelu: it is not read")
    if config.get("use_swiglu_ffn"):
        raise WeightsError(f"{stored.path} is a ViT-g with SwiGLU layers, which is not read: take ViT-S, B or L")
    if "num_attention_heads" not in config:
        raise WeightsError(f"{stored.path / 'config.json'} has no num_attention_heads: copy the folder again")


def _with_joint_projections(weights: Weights, stored: StoredWeights) -> Weights:
    """Return the weights with query, key and value of a block as the one projection that timm has."""
    joint = {name: tensor for name, tensor in weights.items() if ".attn.query." not in name}
    for name in [name for name in weights if ".attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if missing := [part for part in parts if part not in weights]:
            raise WeightsError(f"{stored.path} has nothing for {missing[0]}: it is incomplete")
        joint[name.replace(".query.", ".qkv.")] = torch.cat([weights[part] for part in parts])
        for part in parts[1:]:
            del joint[part]
    return joint
