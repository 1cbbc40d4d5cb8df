"""The folder of a run: what starts and resumes it, and the provenance of its weights whoever edits or copies what."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from glam.licence import LicenceError, checkpoint_provenance, permission
from glam_train.cli import main
from glam_train.commands import Pretrain
from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.begun import Begun
from glam_train.pretraining.loop import LoopOptions, pretrain
from glam_train.pretraining.run_folder import (
    RunError,
    check_fit,
    checkpoints,
    provenance,
    read_run,
    run_provenance,
    start_run,
)

GOLDEN = Path(__file__).parents[1] / "golden"
CPU = LoopOptions(device="cpu")
STOPPED = replace(CPU, stop_after_s=0.0)


def train(folder, cache, config, start_from=None, options=STOPPED):
    """The checkpoint of a run of one update, which can be resumed."""
    tokenizer = report_vocabulary(cache.records, style="glam")
    start_run(folder, config, data=describe_cache(cache), tokenizer=tokenizer, start=Begun(checkpoint=start_from))
    return pretrain(folder, cache, options)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def real_cache(toy_cache):
    return replace(toy_cache, source={"kind": "manifest", "sha256": "ab", "split": "train"})


@pytest.fixture(scope="module")
def of_real(tmp_path_factory, real_cache, toy_config):
    """A checkpoint trained on a manifest."""
    return train(tmp_path_factory.mktemp("real") / "run", real_cache, toy_config)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, of_real, toy_cache, toy_config):
    """The run that went on from it on phantoms."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    train(folder, toy_cache, toy_config, of_real)
    return folder


@pytest.fixture
def run(tuned, tmp_path):
    """A copy of that run, to be tampered with."""
    return shutil.copytree(tuned, tmp_path / "run")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, toy_cache, toy_config):
    """A finished run of phantoms."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, toy_cache, toy_config, options=CPU)
    return folder


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoints" / ".step-0000009.123").mkdir(parents=True)
    assert checkpoints(tmp_path) == []


def test_a_cache_smaller_than_an_update_is_refused(toy_cache, toy_config):
    with pytest.raises(RunError, match="an update takes 16"):
        check_fit(replace(toy_config, batch_size=16, accumulate=1), toy_cache)


def test_a_second_run_in_a_folder_is_refused(whole_run, toy_cache, toy_config):
    with pytest.raises(RunError, match="holds a run"):
        train(whole_run, toy_cache, toy_config)


def test_the_settings_of_a_run_come_back(whole_run, toy_config):
    assert read_run(whole_run).config == toy_config


def test_provenance_says_what_was_seen(whole_run):
    found = provenance(whole_run, licence=None)
    assert found["synthetic"] is True
    assert found["updates"] == 6
    assert found["data"]["pairs"] == 12


def test_provenance_of_real_data_needs_a_licence(whole_run, tmp_path, toy_cache, toy_config):
    real = replace(toy_cache, source={"kind": "manifest"})
    folder = tmp_path / "run"
    train(folder, real, toy_config)
    with pytest.raises(RunError, match="--licence"):
        provenance(folder, licence=None)
    assert provenance(folder, licence="CC BY 4.0")["licence"] == "CC BY 4.0"


def test_a_checkpoint_of_phantoms_alone_permits_everything(tmp_path, toy_cache, toy_config):
    carried = checkpoint_provenance(train(tmp_path / "run", toy_cache, toy_config))
    assert (carried["synthetic"], carried["start_from"]) == (True, None)
    assert permission(carried) == (True, True)


def test_a_checkpoint_of_real_data_permits_nothing_of_itself(of_real):
    carried = checkpoint_provenance(of_real)
    assert (carried["synthetic"], carried["licence"], carried["data"]["sha256"]) == (False, None, "ab")
    assert permission(carried) == (False, False)


def test_phantoms_do_not_wash_what_they_started_from(tuned, of_real, tmp_path):
    copied = shutil.copytree(checkpoints(tuned)[-1], tmp_path / "elsewhere")
    carried = checkpoint_provenance(copied)
    assert carried["synthetic"] is True
    assert carried["start_from"] == checkpoint_provenance(of_real)
    assert permission(carried) == (False, False)


def test_the_first_generation_counts_in_the_third(tuned, tmp_path, toy_cache, toy_config, of_real):
    third = train(tmp_path / "third", toy_cache, toy_config, checkpoints(tuned)[-1])
    carried = checkpoint_provenance(third)
    assert carried["start_from"]["start_from"] == checkpoint_provenance(of_real)
    assert permission(carried) == (False, False)


def test_weights_copied_by_hand_into_a_new_folder_are_of_unknown_licence(of_real, tmp_path, toy_cache, toy_config):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "weights.safetensors", "tokenizer.json"):
        shutil.copy(of_real / name, bare / name)
    carried = checkpoint_provenance(train(tmp_path / "run", toy_cache, toy_config, bare))
    assert carried["start_from"]["licence"] is None
    assert carried["start_from"]["weights_sha256"] == checkpoint_provenance(of_real)["weights_sha256"]
    assert permission(carried) == (False, False)


def test_the_provenance_of_phantoms_beside_other_weights_is_refused(of_real, tmp_path, toy_cache, toy_config):
    phantoms = train(tmp_path / "phantoms", toy_cache, replace(toy_config, seed=1))
    forged = shutil.copytree(of_real, tmp_path / "forged")
    shutil.copy(phantoms / "provenance.json", forged / "provenance.json")
    with pytest.raises(LicenceError, match="is not of the weights beside it"):
        train(tmp_path / "run", toy_cache, toy_config, forged)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda run: run.update(start_provenance=None, start_from=None), "another start_from"),
        (lambda run: run["start_provenance"].update(permits=["share"], licence="mine"), "another start_from"),
        (lambda run: run.pop("start_provenance"), "of an older version"),
        (lambda run: run["data"].update(pairs=13), "another data"),
    ],
)
def test_a_run_whose_settings_were_edited_is_neither_resumed_nor_told(run, toy_cache, change, complaint):
    edit(run / "config.json", change)
    for act in (lambda: pretrain(run, toy_cache, CPU), lambda: provenance(run, licence=None)):
        with pytest.raises(RunError, match=complaint):
            act()


def test_a_key_that_is_there_twice_stops_the_run(run):
    text = (run / "config.json").read_text().rstrip().removesuffix("}")
    (run / "config.json").write_text(text + ', "start_provenance": null}')
    with pytest.raises(RunError, match="'start_provenance' is there twice"):
        read_run(run)


def test_a_checkpoint_without_its_provenance_is_not_gone_on_from(run):
    (checkpoints(run)[-1] / "provenance.json").unlink()
    with pytest.raises(RunError, match="another data in its provenance"):
        read_run(run)


def test_other_weights_in_a_checkpoint_are_not_gone_on_from(run, of_real):
    shutil.copy(of_real / "weights.safetensors", checkpoints(run)[-1] / "weights.safetensors")
    with pytest.raises(LicenceError, match="is not of the weights beside it"):
        read_run(run)


def test_a_start_that_changed_before_the_first_update_is_refused(of_real, tmp_path, toy_cache, toy_config):
    start = shutil.copytree(of_real, tmp_path / "start")
    tokenizer = report_vocabulary(toy_cache.records, style="glam")
    start_run(
        tmp_path / "run",
        toy_config,
        data=describe_cache(toy_cache),
        tokenizer=tokenizer,
        start=Begun(checkpoint=start),
    )
    assert read_run(tmp_path / "run").start_provenance == checkpoint_provenance(of_real)
    (start / "provenance.json").unlink()
    with pytest.raises(RunError, match="has changed since the run"):
        pretrain(tmp_path / "run", toy_cache, CPU)


def test_a_resumed_run_keeps_what_it_started_from(run, of_real, toy_cache):
    last = pretrain(run, toy_cache, CPU)
    assert checkpoint_provenance(last)["updates"] == 6
    assert checkpoint_provenance(last)["start_from"] == checkpoint_provenance(of_real)


def test_the_command_prints_what_the_newest_checkpoint_carries(tuned, capsys):
    assert main(["provenance", "--run-folder", str(tuned)]) == 0
    assert json.loads(capsys.readouterr().out) == checkpoint_provenance(checkpoints(tuned)[-1])
    assert main(["provenance", "--run-folder", str(tuned), "--licence", "CC0 1.0"]) == 1
    assert "under start_from" in capsys.readouterr().err


def test_an_imported_checkpoint_is_of_unknown_licence(tmp_path):
    heads = ["--vision-heads", "6", "--text-heads", "4"]
    words = ["--tokenizer", str(GOLDEN / "vocab.txt"), "--out", str(tmp_path / "model")]
    assert main(["import-official", str(GOLDEN / "official.ckpt"), *words, *heads]) == 0
    carried = checkpoint_provenance(tmp_path / "model")
    assert (carried["data"]["kind"], carried["licence"]) == ("imported", None)
    assert permission(carried) == (False, False)
    assert permission({"data": {"kind": "phantoms"}, "synthetic": True, "start_from": carried}) == (False, False)


def test_a_bundle_is_no_start(tmp_path, toy_cache, monkeypatch):
    import glam_train.data.cache
    from glam.bundle import DEMO_BUNDLE

    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    with pytest.raises(ValueError, match="it is a bundle, start from the checkpoint that it was exported from"):
        Pretrain(cache=tmp_path, out=tmp_path / "run", preset="tiny", start_from=DEMO_BUNDLE).run()


def test_a_run_is_no_start_and_its_newest_checkpoint_is_named(run, tmp_path, toy_cache, monkeypatch):
    import glam_train.data.cache

    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    with pytest.raises(ValueError, match=r"it is the folder of a run, whose newest is .*step-0000001"):
        Pretrain(cache=tmp_path, out=tmp_path / "other", preset="tiny", start_from=run).run()


def test_a_checkpoint_without_its_state_says_what_to_delete(run, toy_cache):
    (checkpoints(run)[-1] / "state" / "meta.json").unlink()
    with pytest.raises(RunError, match=r"meta\.json is damaged: delete .*step-0000001 and resume from the"):
        pretrain(run, toy_cache, CPU)


def test_a_folder_that_holds_a_run_says_so_before_anything_else(run, tmp_path, toy_cache, monkeypatch):
    import glam_train.data.cache

    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    with pytest.raises(RunError, match="holds a run: continue it with --resume"):
        Pretrain(cache=tmp_path, out=run, preset="glam").run()


@pytest.mark.parametrize("name", ["meta.json", "optimizer.pt"])
def test_a_damaged_state_says_which_checkpoint_to_delete(run, toy_cache, name):
    (checkpoints(run)[-1] / "state" / name).write_text("torn")
    with pytest.raises(
        RunError, match=f"{name} is damaged: delete .*step-0000001 and resume from the checkpoint before"
    ):
        pretrain(run, toy_cache, CPU)


def test_settings_of_another_version_are_refused(run):
    edit(run / "config.json", lambda content: content["config"]["method"].update(name="clap"))
    with pytest.raises(RunError, match="unknown method 'clap'"):
        read_run(run)
    edit(run / "config.json", lambda content: content.pop("data"))
    with pytest.raises(RunError, match="has no data: restore it"):
        read_run(run)


def test_provenance_says_in_which_style_the_reports_were(tmp_path, toy_cache, toy_config):
    config = replace(toy_config, text=replace(toy_config.text, style="natural"))
    words = report_vocabulary(toy_cache.records, style="natural")
    start_run(tmp_path / "run", config, data=describe_cache(toy_cache), tokenizer=words)
    assert run_provenance(tmp_path / "run", updates=0)["report_style"] == "natural"
