"""The vision tower as ONNX Runtime runs it quickest: one node for an attention, none for a LayerScale.

The weights of LayerScale go into the layer before it, and the attention becomes com.microsoft's MultiHeadAttention,
which never holds the (token, token) scores of all heads. Only ONNX Runtime knows that node: the graph is a variant.
"""

import copy
from typing import Any, cast

import torch
from timm.layers.attention import Attention
from timm.layers.layer_scale import LayerScale
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from glam.model.glam import Glam

_NODE = "com.microsoft::MultiHeadAttention"


class FusedAttention(nn.Module):
    """timm's attention, with everything between its two linear layers in one node."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.scale = attention.scale
        self.qkv = attention.qkv
        self.proj = attention.proj

    def forward(self, tokens: Tensor, **_: Any) -> Tensor:
        """(batch, token, dim) -> (batch, token, dim)."""
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)  # (batch, token, dim) each
        mixed = torch.onnx.ops.symbolic(
            _NODE,
            (query, key, value),
            {"num_heads": self.num_heads, "scale": float(self.scale)},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        return self.proj(mixed)


def fused(model: Glam) -> Glam | None:
    """Return a copy of a model whose vision tower is to be exported, never run; None where an attention differs."""
    blocks = [module for module in model.vision.modules() if isinstance(module, Block)]
    if not blocks or not all(map(_is_plain, blocks)):
        return None
    copied = copy.deepcopy(model)
    for block in copied.vision.modules():
        if isinstance(block, Block):
            fold_layer_scale(block)
            block.attn = FusedAttention(block.attn)  # type: ignore[assignment]
    return copied


@torch.no_grad()
def fold_layer_scale(block: Block) -> None:
    """Multiply each LayerScale of a block into the linear layer before it."""
    layers = ((block.attn.proj, "ls1"), (block.mlp.fc2, "ls2"))
    for linear, name in cast("tuple[tuple[nn.Linear, str], ...]", layers):
        layer_scale = getattr(block, name)
        if isinstance(layer_scale, LayerScale):
            linear.weight.mul_(layer_scale.gamma[:, None])
            if linear.bias is not None:
                linear.bias.mul_(layer_scale.gamma)
            setattr(block, name, nn.Identity())


def _is_plain(block: Block) -> bool:
    """Say whether the attention of a block is what the node computes: no norm, gate or mask in it."""
    attention = block.attn
    parts = ("q_norm", "k_norm", "norm")
    return (
        isinstance(attention, Attention)
        and all(isinstance(getattr(attention, name), nn.Identity) for name in parts)
        and attention.gate is None
    )
