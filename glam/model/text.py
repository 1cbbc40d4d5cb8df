"""The text tower: a language model that gives every token's state, and the ways to make one vector of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PretrainedConfig, PreTrainedModel

from glam.config import TextConfig

CAUSAL_FAMILIES = ("gpt2", "llama")
FAMILIES = ("bert", "roberta", *CAUSAL_FAMILIES)
"""`model_type` of the transformers models that a text tower can be; the causal ones read from left to right."""


class TextFeatures(NamedTuple):
    """States of the last layer, and which of them are no padding."""

    tokens: Tensor  # (batch, token, dim)
    mask: Tensor  # (batch, token), 1 for text and 0 for padding


class TextTower(nn.Module):
    """Token ids in, token states out. One sequence a text, padded on the right: every token type of a BERT is 0.

    Where a text is embedded by the state of the padding after it, each has one padding token more than it came with.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        model = _with_adapters(_language_model(config), config)
        self.bert = model if isinstance(model, BertModel) else None
        self.transformer = None if isinstance(model, BertModel) else model
        self.dim = config.hidden_dim
        self.positions_of = POSITIONS[config.position_ids]
        self.padded_by = config.pad_id if config.pool == "padding" else None

    def checkpoint_gradients(self) -> None:
        """Have the layers computed again for the gradient, in place of keeping what they computed."""
        model = self.transformer if self.bert is None else self.bert
        assert model is not None
        enable: Any = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})  # the first is its name from transformers 5 on

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextFeatures:
        """(batch, token) of ids and of 1 (text) or 0 (padding)."""
        if self.padded_by is not None:
            token_ids, mask = F.pad(token_ids, (0, 1), value=self.padded_by), F.pad(mask, (0, 1))
        if self.bert is not None:
            states = self.bert(
                input_ids=token_ids,
                attention_mask=mask,
                token_type_ids=torch.zeros_like(token_ids),
                position_ids=self.positions_of(token_ids),
            )
        else:
            assert self.transformer is not None
            states = self.transformer(input_ids=token_ids, attention_mask=mask)
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


def last_token(features: TextFeatures) -> Tensor:
    """Return the state of the last token that is no padding: (batch, dim)."""
    last = (features.mask.sum(dim=1) - 1).clamp(min=0)  # (batch,)
    index = last[:, None, None].expand(-1, 1, features.tokens.shape[2])  # (batch, 1, dim)
    return features.tokens.gather(1, index)[:, 0]


def first_padding(features: TextFeatures, *, max_tokens: int | None = None) -> Tensor:
    """Return the state of the padding token that follows each text: (batch, dim).

    The released MaMA reads class prompts by it (XYPB/MaMA 0ca3a9e, encoder_pemed.py). A text of `max_tokens`, which no
    padding follows there, has the state of its first token, as all such texts have.
    """
    length = features.mask.sum(dim=1)  # (batch,)
    if max_tokens is not None:
        length = length * (length < max_tokens)
    index = length[:, None, None].expand(-1, 1, features.tokens.shape[2])  # (batch, 1, dim)
    return features.tokens.gather(1, index)[:, 0]


POSITIONS: dict[str, Callable[[Tensor], Tensor]] = {"proper": proper_positions, "official_zero": zero_positions}
POOLINGS: dict[str, Callable[[TextFeatures], Tensor]] = {
    "first": first_token,
    "mean": mean_of_tokens,
    "last": last_token,
    "padding": first_padding,
}


def text_pooling(config: TextConfig) -> Callable[[TextFeatures], Tensor]:
    """Return the way in which a tower's states make one vector of a text."""
    if config.pool == "padding":
        return partial(first_padding, max_tokens=config.max_tokens)
    return POOLINGS[config.pool]


def merge_adapters(model: nn.Module) -> None:
    """Add every low-rank change to the weights it stands beside, in place, and leave plain layers."""
    adapted: list[tuple[str, Any]] = [each for each in model.named_modules() if hasattr(each[1], "lora_A")]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())


def _language_model(config: TextConfig) -> PreTrainedModel:
    """Build the model with random weights."""
    if config.architecture is None:
        return BertModel(_bert_config(config), add_pooling_layer=False)
    settings = architecture_config(config.architecture)
    settings._attn_implementation = "eager"  # exports to a quarter fewer nodes than sdpa, without its guards
    settings.use_cache = False
    if settings.model_type in CAUSAL_FAMILIES:
        return AutoModel.from_config(settings)
    return AutoModel.from_config(settings, add_pooling_layer=False)


def architecture_config(architecture: dict[str, Any]) -> PretrainedConfig:
    """Return the configuration of a transformers config.json; ValueError for a model that no text tower can be."""
    family = architecture.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"a text tower can be one of {', '.join(FAMILIES)}, not model_type {family}")
    return AutoConfig.for_model(**architecture)


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


def _with_adapters(model: PreTrainedModel, config: TextConfig) -> PreTrainedModel:
    """Freeze the weights and put a trained low-rank change beside peft's default targets, if there is a rank."""
    if config.lora_rank is None:
        return model
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds, and only such towers need it

    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        fan_in_fan_out=model.config.model_type == "gpt2",  # its layers hold their weights the other way round
    )
    adapted = inject_adapter_in_model(adapters, model)
    assert isinstance(adapted, PreTrainedModel)
    return adapted
