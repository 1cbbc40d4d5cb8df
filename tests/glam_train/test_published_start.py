"""Runs that start from published weights: which must, what they load and record, what a resumed one refuses."""

import json
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.licence import checkpoint_provenance, forbidding, permission, provenance_of_weights
from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam
from glam.model.text import merge_adapters
from glam.runtime import OnnxRuntime
from glam.words.tokens import Tokenizer
from glam_export.build import Imprint, build_bundle
from glam_export.card import model_card
from glam_train.commands import Pretrain
from glam_train.presets import PRESETS, preset
from glam_train.pretraining.run_folder import RunError, checkpoints, read_run
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.start import Start, new_run
from glam_train.weights.source import WeightsError
from glam_train.weights.text import read_text_weights
from glam_train.weights.towers import load_towers, published_start
from glam_train.weights.vision import read_vision_weights
from tests.samples.published import SENTENCES, language_model, vit_folder

LORA = {"lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a DINOv2 with a licence and of a BERT without, and those of others of their kinds."""
    folder = tmp_path_factory.mktemp("published")
    vit_folder(folder / "dinov2", "dinov2_with_registers")
    (folder / "dinov2" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    vit_folder(folder / "vit", "vit")
    language_model(folder / "bert", "bert")
    language_model(folder / "gpt2", "gpt2")
    return folder


@pytest.fixture
def tiny(toy_cache, toy_config, monkeypatch):
    """The toy settings as `tiny`, and the toy cache wherever one is read."""
    monkeypatch.setitem(PRESETS, "tiny", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: toy_cache)


@pytest.fixture
def command(tmp_path, folders):
    """One update of the toy model, from both published towers."""
    paths = {"vision_weights": folders / "dinov2", "text_weights": folders / "bert"}
    return Pretrain(cache=tmp_path, out=tmp_path / "run", preset="tiny", settings={"steps": 1}, device="cpu", **paths)


def first_model(out):
    run = read_run(out)
    return starting_model(run.config, None, run.start.towers)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_whose_paper_starts_from_published_weights_is_not_started_without(tmp_path, toy_cache, name):
    start = preset(name).starts_from
    if name in ("tiny", "random-vit"):
        assert start is None
        return
    assert start is not None
    reads = "text" not in preset(name).method.not_trained
    asked = "give --vision-weights and --text-w" if reads else "give --vision-weights, or --from-scratch"
    with pytest.raises(RunError, match=rf"{name} starts from published weights .*{asked}"):
        new_run(tmp_path / "run", toy_cache, preset_name=name, options={}, start=Start())
    if reads:
        only = Start(vision_weights=tmp_path)
        with pytest.raises(RunError, match="give --text-weights, or --from-scratch"):
            new_run(tmp_path / "run", toy_cache, preset_name=name, options={}, start=only)
    with pytest.raises(RunError, match="the cache was prepared for"):  # the next thing that is looked at
        new_run(tmp_path / "run", toy_cache, preset_name=name, options={}, start=Start(from_scratch=True))


@pytest.mark.usefixtures("tiny")
def test_a_run_starts_from_the_towers_of_published_weights_and_their_words(command, folders, capsys):
    command.run()
    model, run = first_model(command.out), read_run(command.out)
    vision = read_vision_weights(folders / "dinov2", image_size=28)
    text = read_text_weights(folders / "bert")
    assert run.config.model.vision == vision.config
    for tower, tensors in ((model.vision, vision.tensors), (model.text, text.tensors)):
        state = tower.state_dict()
        assert state.keys() == tensors.keys()
        assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    assert Tokenizer.from_file(run.tokenizer).backend.to_str() == text.tokenizer.backend.to_str()
    said = capsys.readouterr().err
    assert "vision weights: dinov2 (transformers, dinov2_with_registers)" in said
    assert "text weights: bert (transformers, bert)" in said
    load_checkpoint(checkpoints(command.out)[-1])


@pytest.mark.usefixtures("tiny")
def test_what_was_loaded_stands_in_the_run_the_checkpoint_and_the_card(command, folders):
    command.run()
    vision = read_vision_weights(folders / "dinov2", image_size=28).source.as_json()
    text = read_text_weights(folders / "bert").source.as_json()
    written = json.loads((command.out / "config.json").read_text())["weights"]
    assert written["vision"] == {"path": str(folders / "dinov2"), **vision}
    provenance = checkpoint_provenance(checkpoints(command.out)[-1])
    recorded = provenance["start_from"]
    assert recorded["data"] == {"kind": "published weights", "vision": vision, "text": text}
    assert str(folders) not in json.dumps(provenance)  # names of files alone leave the machine
    assert recorded["licence"] is None  # only one of the two states its own
    assert permission(provenance) == (False, False)
    assert forbidding(provenance, "serve") == "start_from"
    stated = recorded | {"licence": "Apache-2.0, MIT", "permits": ["serve", "share"]}
    assert permission(provenance | {"start_from": stated}) == (True, True)


def test_the_card_names_the_published_weights(folders, exported_manifest):
    sources = {"vision": read_vision_weights(folders / "dinov2", image_size=28).source.as_json()}
    start = provenance_of_weights(sources)
    assert start["licence"] == "apache-2.0"
    card = model_card(exported_manifest | {"provenance": {"data": "mine", "licence": "own", "start_from": start}})
    assert "vision name dinov2; layout transformers, dinov2_with_registers; sha256 config.json " in card
    assert sources["vision"]["sha256"]["model.safetensors"] in card
    assert "| licence | apache-2.0 |" in card
    assert "| start_from | not known: published by others |" in card


@pytest.fixture
def exported_manifest():
    """The manifest of the demo bundle."""
    return json.loads((DEMO_BUNDLE / "bundle.json").read_text())


@pytest.mark.usefixtures("tiny")
def test_a_resumed_run_refuses_other_weights_and_takes_its_own(command, folders):
    replace(command, settings={"steps": 2}, stop_after_s=0.0).run()
    resumed = replace(command, settings={"steps": 2}, resume=True)
    with pytest.raises(RunError, match=r"the vision tower of the run at .* started from dinov2, not from .*vit"):
        replace(resumed, vision_weights=folders / "vit").run()
    with pytest.raises(RunError, match="has published weights: leave out --from-scratch"):
        replace(resumed, from_scratch=True).run()
    resumed.run()
    assert [path.name for path in checkpoints(command.out)] == ["step-0000001", "step-0000002"]
    plain = replace(command, out=command.out.with_name("plain"), vision_weights=None, text_weights=None)
    plain.run()
    with pytest.raises(RunError, match="started from random numbers, not from"):
        replace(plain, resume=True, vision_weights=folders / "dinov2").run()


@pytest.mark.usefixtures("tiny")
def test_weights_that_changed_before_the_first_checkpoint_are_refused(tmp_path, toy_cache):
    vit_folder(tmp_path / "dinov2", "dinov2")
    start = Start(vision_weights=tmp_path / "dinov2")
    new_run(tmp_path / "run", toy_cache, preset_name="tiny", options={"steps": 1}, start=start)
    weights = load_file(tmp_path / "dinov2" / "model.safetensors")
    weights["layernorm.bias"] += 1
    save_file(weights, tmp_path / "dinov2" / "model.safetensors")
    with pytest.raises(WeightsError, match="is not what the run was started from: put those weights back"):
        first_model(tmp_path / "run")


@pytest.fixture
def adapted(tiny, toy_config, monkeypatch):
    """The preset tiny, its text tower tuned by low-rank changes."""
    text = replace(toy_config.model.text, **LORA)
    config = replace(toy_config, model=replace(toy_config.model, text=text), warmup_steps=0, precision="fp32")
    monkeypatch.setitem(PRESETS, "tiny", lambda: config)


@pytest.mark.usefixtures("adapted")
def test_a_causal_model_is_tuned_by_low_rank_changes_and_exported_without(command, folders, tmp_path):
    replace(command, text_weights=folders / "gpt2", settings={"steps": 3, "text": {"max_cut": 1.0}}).run()
    (last,) = checkpoints(command.out)
    config = read_run(command.out).config.model.text
    assert (config.lora_rank, config.pool, config.architecture["model_type"]) == (4, "last", "gpt2")
    before, after = first_model(command.out), load_checkpoint(last)
    states = before.text.state_dict(), after.text.state_dict()
    moved = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert moved
    assert all(".lora_" in name for name in moved)
    merged = load_checkpoint(last)
    merge_adapters(merged.text)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        vectors = [model.embed_text(ids, torch.ones_like(ids)) for model in (after, merged)]
    torch.testing.assert_close(*vectors, rtol=0, atol=1e-5)


def test_the_released_way_keeps_six_layers_and_adds_its_tokens(tmp_path, toy_config):
    language_model(tmp_path / "bert", "bert")
    text = replace(toy_config.model.text, depth=1, position_ids="official_zero", wrap_tokens=True)
    model = replace(toy_config.model, text=text)
    start = published_start(model, vision=None, text=tmp_path / "bert")
    assert start.model.text.depth == 1
    assert start.model.text.vocab_size == read_text_weights(tmp_path / "bert").config.vocab_size + 3
    torch.manual_seed(0)
    loaded = Glam(start.model)
    load_towers(loaded, start.towers)
    stored = read_text_weights(tmp_path / "bert").tensors["bert.embeddings.word_embeddings.weight"]
    rows = loaded.text.bert.embeddings.word_embeddings.weight
    assert torch.equal(rows[:-3], stored)
    assert rows[-3:].abs().sum() > 0
    assert not loaded.text.bert.embeddings.token_type_embeddings.weight.any()


@pytest.mark.usefixtures("tiny")
def test_weights_without_words_ask_for_them_and_words_that_do_not_fit_are_refused(command, folders, tmp_path):
    state = load_file(folders / "bert" / "model.safetensors")
    torch.save({"model": {f"text_encoder.{name}": tensor for name, tensor in state.items()}}, tmp_path / "m.tar")
    wordless = replace(command, text_weights=tmp_path / "m.tar")
    with pytest.raises(ValueError, match=r"m\.tar has no tokenizer: give its own with --tokenizer"):
        wordless.run()
    (tmp_path / "long.txt").write_text((folders / "bert" / "vocab.txt").read_text() + "more\nwords\n")
    with pytest.raises(ValueError, match="give their own"):
        replace(wordless, tokenizer=tmp_path / "long.txt").run()
    with pytest.raises(ValueError, match="leave out --tokenizer"):
        replace(command, tokenizer=folders / "bert" / "vocab.txt").run()
    with pytest.raises(ValueError, match="keeps its towers: leave out the published weights"):
        replace(command, start_from=tmp_path).run()
    assert not command.out.exists()


@pytest.mark.usefixtures("tiny")
def test_nothing_but_a_name_of_the_hub_asks_the_network(command, folders, monkeypatch):
    asked = []

    def connect(self, address):
        asked.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args) or [])
    command.run()
    assert asked == []
    fetched = []

    def snapshot_download(name, allow_patterns):
        fetched.append((name, tuple(allow_patterns)))
        return str(folders / name.split("/")[1])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    out = command.out.with_name("hub")
    hub = replace(command, out=out, vision_weights=None, text_weights=None, from_hub=("a/bert", "b/dinov2"))
    hub.run()
    assert [name for name, _ in fetched] == ["a/bert", "b/dinov2"]
    assert not any("*.bin" in patterns for _, patterns in fetched)
    assert read_run(out).start.towers.keys() == {"vision", "text"}
    with pytest.raises(ValueError, match="c/vit is a second vision weights: give one"):
        replace(hub, out=out.with_name("next"), from_hub=("b/dinov2", "c/vit")).run()


@pytest.mark.usefixtures("tiny")
def test_a_name_that_the_hub_does_not_have_is_told_with_a_way_out(command, monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot_download(name, allow_patterns):
        raise LocalEntryNotFoundError("cannot be found")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(WeightsError, match=r"a/b cannot be had from the hub \(cannot be found\): give the path"):
        replace(command, vision_weights=None, from_hub=("a/b",)).run()


@pytest.mark.slow
@pytest.mark.usefixtures("adapted")
def test_a_bundle_of_published_towers_with_low_rank_changes_serves_what_the_checkpoint_computes(
    command, folders, tmp_path
):
    replace(command, text_weights=folders / "gpt2", settings={"steps": 2, "text": {"max_cut": 1.0}}).run()
    (last,) = checkpoints(command.out)
    build_bundle(last, tmp_path / "bundle", Imprint(name="toy", version="1"))
    bundle = read_bundle(tmp_path / "bundle")
    tokens = bundle.tokenizer().encode(SENTENCES, max_tokens=64)
    images = np.random.default_rng(1).random((2, 1, 28, 28), dtype=np.float32)
    runtime, model = OnnxRuntime(tmp_path / "bundle"), load_checkpoint(last)
    with torch.no_grad():
        texts = model.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)).numpy()
        views = model.embed_view(model.vision(torch.from_numpy(images))).numpy()
    np.testing.assert_allclose(runtime.text(tokens.ids, tokens.mask), texts, rtol=0, atol=1e-4)
    np.testing.assert_allclose(runtime.vision(images).embedding, views, rtol=0, atol=1e-4)
    card = model_card(json.loads((tmp_path / "bundle" / "bundle.json").read_text()))
    assert "layout transformers, gpt2" in card


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vision": {"depth": 7}}, r"dinov2 has model.vision.depth 2, not 7: leave out --model.vision.depth, or give"),
        ({"vision": {"embed_dim": 64}}, r"has model.vision.embed_dim 128, not 64: leave out --model.vision.embed-dim"),
        ({"text": {"ffn_dim": 48}}, r"bert has model.text.ffn_dim \d+, not 48: leave out --model.text.ffn-dim"),
    ],
)
def test_a_setting_of_the_command_line_that_the_weights_have_otherwise_is_refused(command, settings, message):
    with pytest.raises(RunError, match=message):
        replace(command, settings={"steps": 1, "model": settings}).run()
    assert not command.out.exists()


@pytest.mark.usefixtures("tiny")
def test_a_setting_that_the_weights_have_too_is_no_contradiction_and_grey_values_are_the_users(
    command, folders, capsys
):
    settings = {"vision": {"depth": 2, "mean": 0.3, "std": 0.25}, "text": {"vocab_size": 77}}
    replace(command, settings={"steps": 1, "model": settings}).run()
    vision, stored = read_run(command.out).config.model.vision, read_vision_weights(folders / "dinov2", image_size=28)
    assert vision == replace(stored.config, mean=0.3, std=0.25)
    assert "as the vision weights have it" not in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_what_the_weights_replace_of_a_file_of_settings_is_told(command, tmp_path, capsys):
    (tmp_path / "settings.json").write_text(json.dumps({"model": {"vision": {"depth": 7, "mean": 0.5, "std": 0.5}}}))
    replace(command, config=tmp_path / "settings.json").run()
    said = capsys.readouterr().err
    assert "model.vision.depth is 2, as the vision weights have it, not 7\n" in said
    assert "model.vision.mean is (0.485, 0.456, 0.406), as the vision weights have it, not 0.5\n" in said
    assert read_run(command.out).config.model.vision.depth == 2
