"""The text tower: a BERT that gives every token's state, and the ways to make one vector of them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from glam.config import TextConfig


class TextFeatures(NamedTuple):
    """States of the last layer, and which of them are no padding."""

    tokens: Tensor  # (batch, token, dim)
    mask: Tensor  # (batch, token), 1 for text and 0 for padding


class TextTower(nn.Module):
    """Token ids in, token states out. One sequence a text: every token type is 0."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.bert = BertModel(_bert_config(config), add_pooling_layer=False)
        self.dim = config.hidden_dim
        self.positions_of = POSITIONS[config.position_ids]

    def checkpoint_gradients(self) -> None:
        """Have the layers computed again for the gradient, in place of keeping what they computed."""
        self.bert.gradient_checkpointing_enable({"use_reentrant": False})

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextFeatures:
        """(batch, token) of ids and of 1 (text) or 0 (padding)."""
        states = self.bert(
            input_ids=token_ids,
            attention_mask=mask,
            token_type_ids=torch.zeros_like(token_ids),
            position_ids=self.positions_of(token_ids),
        )
        return TextFeatures(tokens=states.last_hidden_state, mask=mask)


def proper_positions(token_ids: Tensor) -> Tensor:
    """0, 1, 2, ... for every text."""
    return torch.arange(token_ids.shape[1], device=token_ids.device).expand_as(token_ids)


def zero_positions(token_ids: Tensor) -> Tensor:
    """0 for every token, which leaves no word order.

    The released code hands its token types to the argument that means positions (XYPB/GLAM b863b78, encoder_bert.py).
    """
    return torch.zeros_like(token_ids)


def first_token(features: TextFeatures) -> Tensor:
    """Return the state of [CLS]: (batch, dim)."""
    return features.tokens[:, 0]


def mean_of_tokens(features: TextFeatures) -> Tensor:
    """Return the mean state of the tokens that are no padding: (batch, dim)."""
    weights = features.mask.to(features.tokens.dtype)
    total = torch.einsum("btd,bt->bd", features.tokens, weights)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1)


POSITIONS: dict[str, Callable[[Tensor], Tensor]] = {"proper": proper_positions, "official_zero": zero_positions}
POOLINGS: dict[str, Callable[[TextFeatures], Tensor]] = {"first": first_token, "mean": mean_of_tokens}


def _bert_config(config: TextConfig) -> BertConfig:
    bert = BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_dim,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        intermediate_size=config.ffn_dim,
        max_position_embeddings=config.max_positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )
    bert._attn_implementation = "eager"  # exports to a quarter fewer nodes than sdpa, without its guards
    return bert
