"""How much a patch or a word counts: as much as [CLS] looks at it in the last layer of its tower, mean over the heads.

The towers do not give their attention away. What goes into the last attention layer is caught as it passes, and the
one row of the map that belongs to [CLS] is computed again from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def last_patch_layer(tower: Any) -> Any:
    """Return the last attention layer of a vision tower; ValueError for one that is no transformer."""
    vit = getattr(tower, "vit", None)
    if vit is None:
        raise ValueError("the vision tower has no attention that says how much a patch counts: set token_shares even")
    return vit.blocks[-1].attn


def last_word_layer(tower: Any) -> Any:
    """Return the last self-attention of a text tower; ValueError for one that is no BERT."""
    bert = getattr(tower, "bert", None)
    if bert is None:
        raise ValueError("the text tower has no [CLS] that says how much a word counts: set token_shares even")
    return bert.encoder.layer[-1].attention.self


@contextmanager
def caught_input(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the first input of each call of a layer while the block runs."""
    caught: list[Tensor] = []

    def catch(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        del module
        caught.append((arguments[0] if arguments else named["hidden_states"]).detach())

    handle = layer.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        yield caught
    finally:
        handle.remove()


def the_input(caught: list[Tensor]) -> Tensor:
    """Return the one input that was caught; ValueError where compiled code went round the layer."""
    if not caught:
        raise ValueError("the attention of the tower was not seen: do not compile it, or set token_shares even")
    return caught[-1]


@torch.no_grad()
def patch_shares(layer: Any, tokens: Tensor, *, num_patches: int) -> Tensor:
    """Shares of the patches of each image, (batch, patch), by the attention layer of a timm ViT and its input.

    tokens: (batch, prefix + patch, dim), CLS first.
    """
    qkv = layer.qkv(tokens).unflatten(2, (3, layer.num_heads, -1))  # (batch, token, 3, head, dim)
    query, keys = layer.q_norm(qkv[:, 0, 0]), layer.k_norm(qkv[:, :, 1])
    weights = _attention(query, keys)[:, -num_patches:]
    return weights / weights.sum(dim=1, keepdim=True)


@torch.no_grad()
def word_shares(layer: Any, states: Tensor, is_word: Tensor) -> Tensor:
    """Shares of the words of each text, (batch, token), by the self-attention of a BERT and its input.

    states: (batch, token, dim), [CLS] first; is_word: (batch, token) bool, False for [CLS] and padding, whose share is
    0. Padding takes no attention, and [CLS] has none of the shares, so that both may stand in the sum of the softmax.
    """
    heads = (layer.num_attention_heads, -1)
    query, keys = layer.query(states[:, 0]).unflatten(1, heads), layer.key(states).unflatten(2, heads)
    seen = is_word.clone()
    seen[:, 0] = True
    weights = _attention(query, keys, seen) * is_word
    return weights / weights.sum(dim=1, keepdim=True)


def even_shares(is_token: Tensor) -> Tensor:
    """The same share for each token, 0 for what is none: (batch, token)."""
    weights = is_token.float()
    return weights / weights.sum(dim=1, keepdim=True)


def _attention(query: Tensor, keys: Tensor, seen: Tensor | None = None) -> Tensor:
    """Attention of one query (batch, head, dim) to keys (batch, token, head, dim), mean over heads: (batch, token)."""
    wanted = torch.promote_types(query.dtype, torch.float32)
    logits = torch.einsum("bhd,bthd->bht", query.to(wanted), keys.to(wanted)) * query.shape[-1] ** -0.5
    if seen is not None:
        logits = logits.masked_fill(~seen.unsqueeze(1), -torch.inf)
    return logits.softmax(dim=2).mean(dim=1)
