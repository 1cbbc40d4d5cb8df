"""MaMA's presets: one paper with several text towers, and what becomes of them with weights and options."""

import re
from dataclasses import asdict, replace

import pytest
import torch

from glam.licence import checkpoint_provenance
from glam.model.checkpoint import load_checkpoint, load_heads
from glam.model.text import TextTower
from glam_train.cli import main
from glam_train.command_line import split_settings
from glam_train.commands import Pretrain
from glam_train.config import changed_config
from glam_train.presets import describe_preset, paper_of, preset
from glam_train.pretraining.run_folder import checkpoints, read_run
from glam_train.pretraining.setup import starting_model
from glam_train.weights.towers import published_start
from tests.samples.published import SENTENCES, language_model, vit_folder

CAUSAL = {"mama-paper": ("gpt2", 2560, "BioMedLM"), "mama-meditron": ("llama", 4096, "Meditron-7B")}
CAUSAL |= {"mama-llama3": ("llama", 4096, "Llama-3-8B")}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_text_tower_has_the_papers_low_rank_changes_and_the_mean_of_its_tokens(name):
    """MaMA, A.4: rank 8, alpha 32, dropout 0.1."""
    config, (family, width, model) = preset(name), CAUSAL[name]
    text = config.model.text
    assert (text.lora_rank, text.lora_alpha, text.lora_dropout) == (8, 32, 0.1)
    assert (text.pool, text.architecture["model_type"], text.hidden_dim, text.depth) == ("mean", family, width, 32)
    assert config.starts_from == f"DINOv2 ViT-B/14 with registers, and {model}"
    bert = preset("mama-bert")
    assert config == replace(bert, model=replace(bert.model, text=text), starts_from=config.starts_from)


def test_mama_paper_is_what_the_other_presets_of_mama_are_told_beside():
    for name in (*CAUSAL, "mama-bert", "mama-official"):
        assert paper_of(name) == "mama-paper"
    assert describe_preset("mama-llama3")["differs"]["model.text.hidden_dim"] == {
        "mama-paper": 2560,
        "mama-llama3": 4096,
    }


@pytest.mark.parametrize(("name", "pool"), [("mama-paper", "mean"), ("mama-official", "padding")])
def test_the_weights_that_a_run_is_given_take_the_place_of_the_presets_architecture(tmp_path, name, pool):
    language_model(tmp_path / "gpt2", "gpt2")
    wanted = replace(preset(name).model.text, max_tokens=60)
    start = published_start(replace(preset(name).model, text=wanted), vision=None, text=tmp_path / "gpt2")
    text = start.model.text
    assert (text.architecture["n_layer"], text.hidden_dim, text.max_tokens, text.pool) == (2, 64, 60, pool)
    assert (text.lora_rank, text.lora_alpha, text.lora_dropout) == (8, 32, 0.1)
    assert text.pad_id == start.tokenizer.pad_id == start.tokenizer.token_id("<|endoftext|>")


def test_padding_is_what_the_tokenizer_of_the_weights_pads_by(tmp_path):
    language_model(tmp_path / "llama", "llama")
    start = published_start(preset("mama-llama3").model, vision=None, text=tmp_path / "llama")
    assert start.model.text.pad_id == start.tokenizer.token_id("</s>") != 0


def small_run(tmp_path, cache, monkeypatch, **given) -> Pretrain:
    """One late update of mama-official at 28 px."""
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: cache)
    vision = {"image_size": 28, "embed_dim": 32, "depth": 1, "num_heads": 2}
    text = {"max_tokens": 60, "lora_rank": 2}
    model = {"vision": vision, "text": text, "frame": asdict(cache.frame)}
    settings = {"model": model, "steps": 1, "batch_size": 4, "accumulate": 1, "local_start_step": 0}
    settings |= {"text": {"max_cut": 1.0}, "precision": "fp32", "learning_rate": 1e-3}
    return Pretrain(
        cache=tmp_path, out=tmp_path / "run", preset="mama-official", settings=settings, device="cpu", **given
    )


def test_a_run_of_mama_official_starts_from_published_towers_and_keeps_its_heads(tmp_path, toy_cache, monkeypatch):
    vit_folder(tmp_path / "dinov2", "dinov2_with_registers")
    language_model(tmp_path / "gpt2", "gpt2")
    towers = {"vision_weights": tmp_path / "dinov2", "text_weights": tmp_path / "gpt2"}
    command = small_run(tmp_path, toy_cache, monkeypatch, **towers)
    command.settings["model"]["vision"] = {"image_size": 28}  # the file has the rest
    command.run()
    (folder,) = checkpoints(command.out)
    begun, trained = read_run(command.out), load_checkpoint(folder)
    first = starting_model(begun.config, None, begun.start.towers).state_dict()
    moved = {name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, first[name])}
    assert {"text_projection.weight", "image_projection.weight", "vision.vit.patch_embed.proj.weight"} <= moved
    assert not [name for name in moved if name.startswith(("text.", "vision.vit.norm"))]
    assert {name.split(".")[0] for name in load_heads(folder)} == {"view_head", "patch_head", "sentence_head"}
    told = checkpoint_provenance(folder)["method"]
    assert told["not_trained"] == ["vision.vit.norm", "text.transformer"]


def test_padding_is_what_the_tokenizer_of_a_run_pads_by(tmp_path, toy_cache, monkeypatch):
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", "[MASK]", "breast", "[PAD]"]) + "\n")
    command = small_run(tmp_path, toy_cache, monkeypatch, tokenizer=tmp_path / "vocab.txt", from_scratch=True)
    command.settings["model"]["text"] |= {
        "hidden_dim": 32,
        "num_heads": 2,
        "architecture": {"n_embd": 32, "n_head": 2, "n_layer": 1},
    }
    command.run()
    assert read_run(command.out).config.model.text.pad_id == 5


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_low_rank_changes_have_the_same_gradient_where_the_layers_are_computed_twice(tmp_path, family):
    """The released code's have none: it recomputes in the way that needs an input with a gradient."""
    language_model(tmp_path / family, family)
    start = published_start(preset("mama-paper").model, vision=None, text=tmp_path / family)
    tokens = start.tokenizer.encode(SENTENCES, max_tokens=40)
    gradients = []
    for twice in (False, True):
        torch.manual_seed(0)
        quiet = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
        text = replace(start.model.text, lora_dropout=0.0, architecture=start.model.text.architecture | quiet)
        tower = TextTower(text)
        for name, parameter in tower.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter)
        if twice:
            tower.checkpoint_gradients()
        tower(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)).tokens.square().mean().backward()
        gradients.append({name: p.grad for name, p in tower.named_parameters() if p.requires_grad})
    assert gradients[0]
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_every_option_that_the_help_of_a_causal_preset_lists_is_taken(capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--preset", "mama-paper", "--help"])
    told = re.sub(r"[\s│|]+", " ", capsys.readouterr().out)
    listed = re.findall(r" (--model\.text\.architecture\.[\w.-]*) INT \(default: (\d+)\)", told)
    assert ("--model.text.architecture.n-layer", "32") in listed
    arguments = [text for pair in listed for text in pair]
    split = split_settings(arguments, own=())
    assert split.rest == []
    assert changed_config(preset("mama-paper"), split.settings) == preset("mama-paper")


def test_parts_of_an_architecture_are_options_with_values_of_json():
    options = ["--model.text.architecture.n-layer", "2", "--model.text.architecture.scale-attn-weights", "false"]
    options += ["--model.text.architecture.activation-function=gelu"]
    config = changed_config(preset("mama-paper"), split_settings(options, own=()).settings)
    changed = {"n_layer": 2, "scale_attn_weights": False, "activation_function": "gelu"}
    assert config.model.text.architecture == preset("mama-paper").model.text.architecture | changed
