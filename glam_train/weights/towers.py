"""Published weights in a run: what of its settings they decide, the record of them, and loading them into its model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from glam.config import ModelConfig, TextConfig
from glam.files import JsonDict
from glam.model.glam import Glam
from glam.words.tokens import Tokenizer, with_special_tokens
from glam_train.weights.fit import plain_state
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import Weights
from glam_train.weights.text import TextWeights, read_text_weights
from glam_train.weights.vision import read_vision_weights

_WORDS = ("embeddings.word_embeddings.weight", "wte.weight", "embed_tokens.weight")
"""Ends of the names of what holds a row a token."""


@dataclass(frozen=True, kw_only=True)
class TowerStart:
    """Where a tower of a run starts."""

    path: Path
    source: JsonDict
    """Of `WeightsSource.as_json`."""

    def as_json(self) -> JsonDict:
        """Return what a run's config.json says of it."""
        return {"path": str(self.path), **self.source}


def tower_from_json(entry: JsonDict) -> TowerStart:
    """Return what `TowerStart.as_json` wrote; KeyError for less than that."""
    source = {key: entry[key] for key in ("name", "layout", "sha256", "licence")}
    return TowerStart(path=Path(entry["path"]), source=source)


@dataclass(frozen=True, kw_only=True)
class PublishedStart:
    """A model configuration that published weights fit, and the record of them."""

    model: ModelConfig
    towers: dict[str, TowerStart]
    tokenizer: Tokenizer | None
    """That of the text weights. None: they have none, or there are none."""


def published_start(model: ModelConfig, *, vision: Path | None, text: Path | None) -> PublishedStart:
    """Return the model configuration with the towers of these files, and where each is to be read again."""
    towers: dict[str, TowerStart] = {}
    tokenizer = None
    if vision is not None:
        of_vision = read_vision_weights(vision, image_size=model.vision.image_size)
        model = replace(model, vision=of_vision.config)
        towers["vision"] = TowerStart(path=vision.resolve(), source=of_vision.source.as_json())
    if text is not None:
        of_text = read_text_weights(text, max_tokens=model.text.max_tokens)
        tokenizer = of_text.tokenizer
        if tokenizer is not None and model.text.wrap_tokens:
            tokenizer = with_special_tokens(tokenizer)
        model = replace(model, text=_text_config(of_text, tokenizer, model.text))
        towers["text"] = TowerStart(path=text.resolve(), source=of_text.source.as_json())
    return PublishedStart(model=model, towers=towers, tokenizer=tokenizer)


def load_towers(model: Glam, towers: Mapping[str, TowerStart]) -> None:
    """Load published weights into the towers of a model; WeightsError if they have changed since the run was started.

    What a tower has besides (low-rank changes, rows of added tokens) keeps its random numbers.
    """
    config = model.config
    if (start := towers.get("vision")) is not None:
        of_vision = read_vision_weights(start.path, image_size=config.vision.image_size)
        check_same(start, of_vision.source.as_json())
        _load(model.vision, of_vision.tensors)
    if (start := towers.get("text")) is not None:
        of_text = read_text_weights(start.path, max_tokens=config.text.max_tokens)
        check_same(start, of_text.source.as_json())
        _load(model.text, _for_tower(of_text.tensors, model.text, config.text))


def check_same(start: TowerStart, source: JsonDict) -> None:
    """Refuse weights that are not those that a run was started from."""
    if source["sha256"] != start.source["sha256"]:
        raise WeightsError(f"{start.path} is not what the run was started from: put those weights back")


def _text_config(weights: TextWeights, tokenizer: Tokenizer | None, preset: TextConfig) -> TextConfig:
    """Return the weights' sizes with the preset's way of training: low-rank changes, dropout, positions, pooling."""
    sizes = weights.config
    released = preset.position_ids == "official_zero"  # it keeps the first six layers of a BERT of twelve
    return replace(
        sizes,
        vocab_size=max(sizes.vocab_size, 0 if tokenizer is None else tokenizer.vocab_size),
        depth=min(sizes.depth, preset.depth) if released else sizes.depth,
        position_ids=preset.position_ids,
        wrap_tokens=preset.wrap_tokens,
        pool=sizes.pool if preset.pool == "first" else preset.pool,
        dropout=preset.dropout,
        lora_rank=preset.lora_rank,
        lora_alpha=preset.lora_alpha,
        lora_dropout=preset.lora_dropout,
    )


def _for_tower(tensors: Weights, tower: nn.Module, config: TextConfig) -> Weights:
    """Return the tensors of the layers that the tower has; the released code has fewer, and no token types."""
    state = plain_state(tower)
    kept = {name: tensor for name, tensor in tensors.items() if name in state}
    if config.position_ids == "official_zero":
        types = "bert.embeddings.token_type_embeddings.weight"
        kept[types] = torch.zeros_like(kept[types])
    return kept


@torch.no_grad()
def _load(tower: nn.Module, tensors: Weights) -> None:
    """Copy tensors into a tower that they were checked to fit."""
    state = plain_state(tower)
    assert state.keys() == tensors.keys()
    for name, tensor in tensors.items():
        rows = state[name][: tensor.shape[0]] if name.endswith(_WORDS) else state[name]
        rows.copy_(tensor)
