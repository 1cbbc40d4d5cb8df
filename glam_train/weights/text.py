"""A text tower's weights from a folder of transformers, or from a Mammo-CLIP checkpoint."""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from transformers import BertConfig, PretrainedConfig

from glam.config import TextConfig
from glam.files import JsonDict
from glam.model.text import CAUSAL_FAMILIES, FAMILIES, TextTower, architecture_config
from glam.words.tokens import Tokenizer
from glam_train.weights import mammo_clip
from glam_train.weights.fit import check_fit, renamed
from glam_train.weights.source import WeightsError, WeightsSource, weights_source
from glam_train.weights.stored import StoredWeights, Weights, read_json, read_stored
from glam_train.weights.tokenizer_files import FolderTokenizer, folder_tokenizer

HEAD_WIDTH = 64
"""Width of an attention head of a BERT whose file does not tell it."""
_TOP = r"(?:bert\.|roberta\.|transformer\.|model\.)?"
NAMES = {_TOP + r"(.*)\.gamma": r"\1.weight", _TOP + r"(.*)\.beta": r"\1.bias", _TOP + "(.*)": r"\1"}
"""Names under the head of any model of the family, and what the first BERTs called their norms."""
UNUSED = (
    r"cls\..*|lm_head\..*|classifier\..*|qa_outputs\..*|score\..*|"  # heads of what the tower was trained on
    + _TOP
    + r"(?:pooler\..*|embeddings\.position_ids|embeddings\.token_type_ids|"
    + r"h\.\d+\.attn\.(?:bias|masked_bias)|(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq)"
)

STORAGE = ("auto_map", "dtype", "torch_dtype", "transformers_version", "quantization_config")


class TextWeights(NamedTuple):
    """A tower to build, what to load into it, and the words it knows."""

    config: TextConfig
    tensors: Weights
    """Under `TextTower`'s names."""
    tokenizer: Tokenizer | None
    """None: the file has none (Mammo-CLIP's)."""
    source: WeightsSource


def read_text_weights(path: Path, *, max_tokens: int = 144) -> TextWeights:
    """Return the text tower of a folder of transformers with its tokenizer; WeightsError names what does not fit."""
    stored = read_stored(path)
    if not stored.config:
        return _mammo_clip(stored, max_tokens)
    family = stored.config.get("model_type")
    if family not in FAMILIES:
        raise WeightsError(f"{path} is a {family}: a text tower can be one of {', '.join(FAMILIES)}")
    words = folder_tokenizer(path)
    config = _config(stored, words, max_tokens)
    prefix = "transformer." if family != "bert" else "bert."
    tensors = {prefix + name: tensor for name, tensor in renamed(stored.tensors, NAMES, unused=UNUSED).items()}
    _check(tensors, config, path)
    _check_words(words.tokenizer, config, path)
    files = (*stored.files, *words.files)
    source = weights_source(path, layout=f"transformers, {family}", files=files, metadata=stored.extra | stored.config)
    return TextWeights(config, tensors, words.tokenizer, source)


def _config(stored: StoredWeights, words: FolderTokenizer, max_tokens: int) -> TextConfig:
    """Return the configuration of a folder's tower; what sizes do not tell is kept as `architecture`."""
    said = stored.config
    try:
        settings = architecture_config(said)
    except (TypeError, ValueError, AttributeError) as error:  # transformers' own checks of what the user's file holds
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{stored.path / 'config.json'} is no model that can be built: {reason}") from error
    positions = int(settings.max_position_embeddings)
    if settings.model_type == "roberta":  # counts positions from after its padding token's id
        positions -= int(settings.pad_token_id) + 1
    return TextConfig(
        vocab_size=int(settings.vocab_size),
        hidden_dim=int(settings.hidden_size),
        depth=int(settings.num_hidden_layers),
        num_heads=int(settings.num_attention_heads),
        ffn_dim=_ffn_dim(said, settings.hidden_size),
        max_positions=positions,
        max_tokens=min(max_tokens, positions),
        lower_case=words.lower_case,
        pool=_pool(stored.path, settings.model_type),
        pad_id=words.tokenizer.pad_id,
        dropout=float(getattr(settings, "hidden_dropout_prob", 0.0)),
        architecture=None if _is_plain_bert(settings) else _kept(said),
    )


def _ffn_dim(said: JsonDict, hidden_dim: int) -> int:
    return int(said.get("intermediate_size") or said.get("n_inner") or 4 * hidden_dim)


def _kept(said: JsonDict) -> JsonDict:
    """Return what of a config.json says how to build the model, without where and how it was stored."""
    return {key: value for key, value in said.items() if not key.startswith("_") and key not in STORAGE}


def _is_plain_bert(settings: PretrainedConfig) -> bool:
    """Whether the sizes alone tell what to build."""
    plain = BertConfig()
    alike = ("hidden_act", "layer_norm_eps", "type_vocab_size")
    return isinstance(settings, BertConfig) and all(getattr(settings, key) == getattr(plain, key) for key in alike)


def _pool(folder: Path, family: str) -> Literal["first", "mean", "last"]:
    """Return how one vector is made of a text: as a sentence-transformers folder states it, else as the family does."""
    stated = read_json(folder / "1_Pooling" / "config.json")
    if stated.get("pooling_mode_mean_tokens"):
        return "mean"
    return "last" if family in CAUSAL_FAMILIES else "first"


def _mammo_clip(stored: StoredWeights, max_tokens: int) -> TextWeights:
    """Return the BERT of a Mammo-CLIP checkpoint, whose sizes its shapes tell."""
    bert = renamed(mammo_clip.text_weights(stored), NAMES, unused=UNUSED)
    sized = StoredWeights(path=stored.path, tensors=bert, config={})
    vocab_size, hidden_dim = sized.shape("embeddings.word_embeddings.weight")
    positions = sized.shape("embeddings.position_embeddings.weight")[0]
    config = TextConfig(
        vocab_size=vocab_size,
        hidden_dim=hidden_dim,
        depth=len({name.split(".")[2] for name in bert if name.startswith("encoder.layer.")}),
        num_heads=max(1, hidden_dim // HEAD_WIDTH),
        ffn_dim=sized.shape("encoder.layer.0.intermediate.dense.weight")[0],
        max_positions=positions,
        max_tokens=min(max_tokens, positions),
        dropout=0.1,
    )
    tensors = {f"bert.{name}": tensor for name, tensor in bert.items()}
    _check(tensors, config, stored.path)
    source = weights_source(
        stored.path, layout="Mammo-CLIP, BERT", files=stored.files, metadata={"license": mammo_clip.LICENCE}
    )
    return TextWeights(config, tensors, None, source)


def _check(tensors: Weights, config: TextConfig, path: Path) -> None:
    with torch.device("meta"):
        tower = TextTower(config)
    check_fit(tensors, tower, where=path)


def _check_words(tokenizer: Tokenizer, config: TextConfig, path: Path) -> None:
    """Refuse a tokenizer with ids that the weights have no row for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise WeightsError(
            f"the tokenizer of {path} has {tokenizer.vocab_size} tokens, its weights {config.vocab_size}: "
            "it is of another model"
        )
