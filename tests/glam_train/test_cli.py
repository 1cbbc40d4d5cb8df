import json
from dataclasses import replace
from pathlib import Path

import pytest

from glam_train.cli import main
from glam_train.commands import Pretrain
from glam_train.pretraining.run_folder import checkpoints, read_run

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_released_checkpoint_is_imported_by_the_printed_command(tmp_path):
    from glam.model.checkpoint import load_checkpoint

    heads = ["--vision-heads", "6", "--text-heads", "4"]
    words = ["--tokenizer", str(GOLDEN / "vocab.txt"), "--out", str(tmp_path / "model")]
    assert main(["import-official", str(GOLDEN / "official.ckpt"), *words, *heads]) == 0
    assert load_checkpoint(tmp_path / "model").config.alignment.pooling == "free"


def test_a_failed_run_ends_with_1_and_one_sentence(tmp_path, capsys):
    assert main(["pretrain", "--cache", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("no prepared cache at")
    assert captured.err.count("\n") == 1


def test_a_wrong_command_line_ends_with_2():
    with pytest.raises(SystemExit) as stop:
        main(["pretrain", "--no-such-option"])
    assert stop.value.code == 2


def test_a_run_is_started_resumed_and_told_by_commands(tmp_path, toy_cache, toy_config, monkeypatch, capsys):
    import glam_train.data.cache
    import glam_train.methods.glam

    monkeypatch.setattr(glam_train.methods.glam, "tiny_preset", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    command = Pretrain(cache=tmp_path, out=tmp_path / "run", preset="tiny", steps=3, stop_after_s=0.0, device="cpu")
    command.run()
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-0000001"]
    replace(command, resume=True, stop_after_s=None).run()
    assert capsys.readouterr().out.splitlines()[-1].endswith("step-0000003")
    with pytest.raises(ValueError, match="has steps 3, not 9"):
        replace(command, resume=True, steps=9).run()
    config = read_run(tmp_path / "run").config
    assert (config.steps, config.batch_size) == (3, toy_config.batch_size)
    capsys.readouterr()
    assert main(["provenance", "--run-folder", str(tmp_path / "run")]) == 0
    assert json.loads(capsys.readouterr().out)["updates"] == 3


def test_a_run_can_start_from_the_weights_and_words_of_a_checkpoint(tmp_path, toy_cache, toy_config, monkeypatch):
    import torch
    from safetensors.torch import load_file

    import glam_train.data.cache
    import glam_train.methods.glam

    monkeypatch.setattr(glam_train.methods.glam, "tiny_preset", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    first = Pretrain(cache=tmp_path, out=tmp_path / "first", preset="tiny", steps=2, device="cpu")
    first.run()
    start = checkpoints(tmp_path / "first")[-1]
    replace(first, out=tmp_path / "second", start_from=start, learning_rate=0.0).run()
    before = load_file(start / "weights.safetensors")
    after = load_file(checkpoints(tmp_path / "second")[-1] / "weights.safetensors")
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    assert moved < 1e-6  # only min_learning_rate is left
    assert torch.isfinite(torch.tensor(moved))
    assert (tmp_path / "second" / "tokenizer.json").read_text() == (start / "tokenizer.json").read_text()


def test_a_model_takes_the_grey_policy_of_its_cache_and_keeps_it(tmp_path, toy_cache, toy_config, monkeypatch):
    import glam_train.data.cache
    import glam_train.methods.glam
    from glam.model.checkpoint import load_checkpoint

    by_range = replace(toy_cache, frame=replace(toy_cache.frame, voi="minmax"))
    caches = {"plain": toy_cache, "range": by_range}
    monkeypatch.setattr(glam_train.methods.glam, "tiny_preset", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: caches[folder.name])
    command = Pretrain(cache=Path("range"), out=tmp_path / "run", preset="tiny", steps=1, device="cpu")
    command.run()
    (last,) = checkpoints(tmp_path / "run")
    assert load_checkpoint(last).config.frame.voi == "minmax"
    replace(command, resume=True).run()
    replace(command, out=tmp_path / "next", start_from=last).run()
    with pytest.raises(ValueError, match="prepare it again with the preset and --voi of the model"):
        replace(command, out=tmp_path / "other", start_from=last, cache=Path("plain")).run()
    with pytest.raises(ValueError, match="the cache was prepared for"):
        replace(command, resume=True, cache=Path("plain")).run()
