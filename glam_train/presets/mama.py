"""MaMA's settings, by its text towers, and those of its released code."""

from dataclasses import replace

from glam.config import ModelConfig, TextConfig
from glam.files import JsonDict
from glam_train.config import ImageAugmentation, PretrainConfig, TextAugmentation, Views
from glam_train.methods.mama_settings import MamaOfficialSettings, MamaSettings
from glam_train.presets.frames import mama_frame, mama_official_frame
from glam_train.presets.glam import DINOV2, STARTS_FROM

_LLAMA: JsonDict = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-5,
}
BIOMEDLM: JsonDict = {
    "model_type": "gpt2",
    "vocab_size": 28896,
    "n_embd": 2560,
    "n_layer": 32,
    "n_head": 20,
    "n_positions": 1024,
    "bos_token_id": 28895,
    "eos_token_id": 28895,
}
MEDITRON = _LLAMA | {"vocab_size": 32017, "intermediate_size": 11008, "max_position_embeddings": 2048}
LLAMA3 = _LLAMA | {
    "vocab_size": 128256,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}
"""Sizes as published. A run takes the config.json of the weights that it is given in their place."""


def mama_paper_preset() -> PretrainConfig:
    """MaMA of the paper: BioMedLM (2.7 B) with low-rank changes of rank 8, alpha 32 and dropout 0.1.

    AdamW, learning rate 4e-5, weight decay 0.1, 40,000 steps, 4,000 of warm-up from 1e-8, batch 144 as 36 on each of
    four devices, the local loss from step 8,000 on, fields masked with a chance of 0.8, views of the study with 0.5.
    """
    return _with_text(mama_bert_preset(), _causal(BIOMEDLM, hidden_dim=2560, num_heads=20), "BioMedLM")


def mama_meditron_preset() -> PretrainConfig:
    """MaMA with Meditron-7B (its Table 12), low-rank changes as with BioMedLM."""
    return _with_text(mama_bert_preset(), _causal(MEDITRON, hidden_dim=4096, num_heads=32), "Meditron-7B")


def mama_llama3_preset() -> PretrainConfig:
    """MaMA with Llama-3-8B (its Table 12), low-rank changes as with BioMedLM."""
    return _with_text(mama_bert_preset(), _causal(LLAMA3, hidden_dim=4096, num_heads=32), "Llama-3-8B")


def mama_bert_preset() -> PretrainConfig:
    """MaMA-BERT of the paper (Tables 1 to 3): BioClinicalBERT, trained whole; else as mama-paper."""
    return PretrainConfig(
        model=ModelConfig(
            text=TextConfig(max_tokens=256, pool="mean", dropout=0.1),
            alignment=None,
            frame=mama_frame(),
            image_pool="mean",
        ),
        starts_from=STARTS_FROM,
        method=MamaSettings(),
        views=Views(strategy="study", probability=0.5),
        local_start_step=8000,
        weight_decay=0.1,
        clip_norm=None,
        text=TextAugmentation(style="papers"),
        image=ImageAugmentation(rotate_deg=0.0, shift=0.0, scale=0.0, gamma=0.5, noise=0.0, reverse=0.5, blur=0.4),
    )


def mama_official_preset() -> PretrainConfig:
    """MaMA's released scripts/pretrain.sh on one device: 36 images a pass, two passes an update, bf16-true, AdamW."""
    paper = mama_paper_preset()
    return replace(
        paper,
        model=replace(
            paper.model,
            text=replace(paper.model.text, max_tokens=144, pool="padding"),
            frame=mama_official_frame(),
            image_pool="all_tokens",
            max_scale=None,
        ),
        method=MamaOfficialSettings(),
        accumulate=2,
        negatives="micro_batch",
        decay_all=True,
        precision="bf16-true",
    )


def _causal(architecture: JsonDict, *, hidden_dim: int, num_heads: int) -> TextConfig:
    """Return a causal language model with the paper's low-rank changes, pooled over the tokens of a text."""
    positions = architecture.get("n_positions") or architecture["max_position_embeddings"]
    return TextConfig(
        vocab_size=architecture["vocab_size"],
        hidden_dim=hidden_dim,
        depth=32,
        num_heads=num_heads,
        ffn_dim=architecture.get("intermediate_size") or 4 * hidden_dim,
        max_positions=positions,
        max_tokens=256,
        lower_case=False,
        pool="mean",
        architecture=architecture,
        lora_rank=8,
        lora_alpha=32,
        lora_dropout=0.1,
    )


def _with_text(config: PretrainConfig, text: TextConfig, name: str) -> PretrainConfig:
    return replace(config, model=replace(config.model, text=text), starts_from=f"{DINOV2}, and {name}")
