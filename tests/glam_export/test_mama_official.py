"""A model as MaMA's released code has it, exported: a causal language model, and features that no other model has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glam.bundle import Bundle, read_bundle
from glam.config import TextConfig
from glam.licence import write_provenance
from glam.loading import load
from glam.model.checkpoint import load_checkpoint, save_checkpoint
from glam.model.glam import Glam
from glam.runtime import OnnxRuntime
from glam.words.report import class_prompts
from glam.words.tokens import Tokenizer, train_wordpiece
from glam_export.build import Imprint, build_bundle
from tests.glam_export.conftest import CONFIG
from tests.samples.shared import made_once

GPT = {"model_type": "gpt2", "vocab_size": 200, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 80}
TEXT = TextConfig(
    vocab_size=200,
    hidden_dim=32,
    depth=1,
    num_heads=2,
    max_positions=80,
    max_tokens=64,
    pool="padding",
    architecture=GPT | {"bos_token_id": 1, "eos_token_id": 1},
    lora_rank=2,
)
MODEL = replace(CONFIG, text=TEXT, alignment=None, image_pool="all_tokens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint of random weights and of its bundle."""
    return made_once(tmp_path_factory, "mama_official", _export)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return read_bundle(folder / "bundle")


def _export(folder: Path) -> None:
    torch.manual_seed(0)
    model = Glam(MODEL).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        elif name.endswith(("gamma", "norm.weight", "norm.bias")):
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
    train_wordpiece(class_prompts("birads"), vocab_size=200).save(folder / "words.json")
    save_checkpoint(model, folder / "checkpoint", folder / "words.json")
    write_provenance(folder / "checkpoint", {"data": "random weights", "licence": None, "start_from": None})
    provenance = {"licence": "CC0 1.0", "permits": ["serve", "share"]}
    imprint = Imprint(name="mama", version="0.0.1", provenance=provenance)
    build_bundle(folder / "checkpoint", folder / "bundle", imprint)


def test_a_view_is_served_by_the_mean_of_all_tokens_before_the_last_norm(folder: Path, bundle: Bundle):
    model = load_checkpoint(folder / "checkpoint")
    images = np.random.default_rng(0).random((2, 1, 56, 56), np.float32)
    raw: list[torch.Tensor] = []
    model.vision.vit.norm.register_forward_pre_hook(lambda _, inputs: raw.append(inputs[0]))
    with torch.no_grad():
        model.vision(torch.from_numpy(images))
        expected = torch.nn.functional.normalize(model.image_projection(raw[0].mean(dim=1)), dim=1).numpy()
    for variant in (None, "fused"):
        out = OnnxRuntime(bundle.folder, threads=1, variant=variant).vision(images)
        np.testing.assert_allclose(out.embedding, expected, atol=1e-5)


def test_a_prompt_is_served_by_the_state_of_the_padding_after_it(folder: Path, bundle: Bundle):
    model, runtime = load_checkpoint(folder / "checkpoint"), OnnxRuntime(bundle.folder, threads=1)
    words = Tokenizer.from_file(bundle.folder / "tokenizer.json")
    tokens = words.encode(class_prompts("birads"), max_tokens=64)
    served = runtime.text(tokens.ids, tokens.mask)
    for row, ids, mask in zip(served, tokens.ids, tokens.mask, strict=True):
        length = int(mask.sum())
        ended = torch.from_numpy(np.append(ids[:length], words.pad_id)[None])
        with torch.no_grad():
            states = model.text.transformer(
                input_ids=ended, attention_mask=(torch.arange(length + 1) < length)[None].long()
            )
            expected = model.text_projection(states.last_hidden_state[0, length])
        np.testing.assert_allclose(row, torch.nn.functional.normalize(expected, dim=0).numpy(), atol=1e-5)


def test_the_bundle_answers_on_mammograms_and_says_that_it_compares_no_views(bundle: Bundle, mammograms):
    answer = load(bundle.folder).predict(mammograms["L_CC"], mammograms["L_MLO"])
    assert answer.attention is None
    assert sum(answer.density.values()) == pytest.approx(1)
    assert np.linalg.norm(answer.embedding) == pytest.approx(1, abs=1e-5)
