"""A checkpoint is whole or absent, whatever ends the process or the disk, and one process at a time is in a run."""

import json
import os
import resource
import shutil
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glam.files import write_json
from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.lock import check_free, locked
from glam_train.pretraining.loop import LoopOptions, pretrain
from glam_train.pretraining.metrics_log import MetricsLog
from glam_train.pretraining.run_folder import RunError, checkpoints, read_run, start_run
from glam_train.pretraining.training_state import save_state, starting_state

CPU = LoopOptions(device="cpu", log_every=1)


class Killed(BaseException):
    """The end of the process, which nothing catches."""


@contextmanager
def largest_file(size: int):
    """Have the kernel refuse to write more into any file."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def begin(folder, cache, config):
    words = report_vocabulary(cache.records, style="glam")
    start_run(folder, config, data=describe_cache(cache), tokenizer=words)
    return folder


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, toy_cache, toy_config):
    """A run of one update."""
    folder = begin(tmp_path_factory.mktemp("stopped") / "run", toy_cache, toy_config)
    pretrain(folder, toy_cache, replace(CPU, stop_after_s=0.0))
    return folder


@pytest.fixture
def run(stopped_run, tmp_path):
    """A copy of it."""
    return shutil.copytree(stopped_run, tmp_path / "run")


def state_of_run(folder):
    run = read_run(folder)
    return starting_state(run, checkpoints(folder)[-1], device="cpu")


def save(folder, step):
    return save_state(folder, state_of_run(folder), step=step, tokenizer=folder / "tokenizer.json")


def names(folder):
    return [path.name for path in checkpoints(folder)]


def test_every_file_of_a_checkpoint_is_on_the_disk_before_the_checkpoint_has_its_name(run, monkeypatch):
    flushed, real_fsync, real_replace = set(), os.fsync, Path.replace

    def fsync(descriptor):
        flushed.add(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    def replacing(path, target):
        if Path(target).name == "step-0000002":
            there = {entry.name: entry.stat().st_ino for entry in [path, *path.rglob("*")]}
            assert {name for name, inode in there.items() if inode not in flushed} == set()
            flushed.clear()
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replacing)
    final = save(run, 2)
    assert {path.name for path in final.rglob("*")} >= {"optimizer.pt", "meta.json", "weights.safetensors"}
    assert final.parent.stat().st_ino in flushed


def test_a_kill_while_the_step_it_went_on_from_is_saved_again_leaves_that_checkpoint(run, monkeypatch):
    def killed(path, target):
        raise Killed

    before = load_file(checkpoints(run)[-1] / "weights.safetensors")
    state = state_of_run(run)
    monkeypatch.setattr(Path, "replace", killed)
    final = save_state(run, state, step=1, tokenizer=run / "tokenizer.json")
    monkeypatch.undo()
    assert names(run) == [final.name] == ["step-0000001"]
    assert load_file(final / "weights.safetensors").keys() == before.keys()


def test_a_kill_while_an_old_checkpoint_is_removed_leaves_no_half_of_it(run, monkeypatch):
    save(run, 2)
    real = shutil.rmtree

    def killed(path, ignore_errors=False):
        if Path(path).exists():
            (Path(path) / "weights.safetensors").unlink()
            raise Killed
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(Killed):
        save(run, 3)
    monkeypatch.undo()
    assert names(run) == ["step-0000002", "step-0000003"]
    with locked(run):
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == names(run)


@pytest.mark.parametrize("too_large", ["weights.safetensors", "optimizer.pt"])
def test_a_file_of_a_checkpoint_that_cannot_be_written_is_told_in_a_line_with_the_last_whole_one(
    run, toy_cache, too_large
):
    last = checkpoints(run)[-1]
    weights, optimizer = [last / "weights.safetensors", last / "state" / "optimizer.pt"]
    size = weights.stat().st_size // 2 if too_large == weights.name else optimizer.stat().st_size - 100
    assert weights.stat().st_size < optimizer.stat().st_size - 100
    with largest_file(size), pytest.raises(RunError) as failed:
        pretrain(run, toy_cache, CPU)
    message = str(failed.value)
    assert message.count("\n") == 0
    assert "step-0000006 cannot be written" in message
    assert f"the last whole checkpoint is {last}: make room and go on with --resume" in message
    assert [path.name for path in (run / "checkpoints").iterdir()] == [last.name]
    assert pretrain(run, toy_cache, CPU).name == "step-0000006"


def test_metrics_that_cannot_be_written_end_the_run_after_the_update_was_saved(run, toy_cache, monkeypatch):
    real = MetricsLog.write

    def write(log, step, values):
        if step == 3:
            raise OSError(28, "No space left on device")
        real(log, step, values)

    monkeypatch.setattr(MetricsLog, "write", write)
    with pytest.raises(
        RunError, match=r"metrics of update 3 cannot be written \(No space.*Saved as .*step-0000004: go"
    ):
        pretrain(run, toy_cache, CPU)
    assert names(run)[-1] == "step-0000004"


def test_numbers_that_are_not_finite_are_left_out_of_the_metrics_of_an_update_that_fp16_leaves_out(
    tmp_path, toy_cache, toy_config, monkeypatch
):
    import glam_train.pretraining.loop as loop

    real = loop.update

    def update(*arguments):
        return real(*arguments) | {"view": float("inf")}

    monkeypatch.setattr(loop, "update", update)
    folder = begin(tmp_path / "run", toy_cache, replace(toy_config, steps=1, warmup_steps=0))
    pretrain(folder, toy_cache, CPU)
    (line,) = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"total", "local"} <= line.keys()
    assert "view" not in line


def test_a_run_whose_settings_are_replaced_stays_locked(run):
    with locked(run):
        write_json(run / "config.json", json.loads((run / "config.json").read_text()))
        with pytest.raises(RunError, match="another process trains the run at"), locked(run):
            pass
        with pytest.raises(RunError, match="another process"):
            check_free(run)
    check_free(run)


def test_two_processes_do_not_begin_a_run_in_one_folder(tmp_path, toy_cache, toy_config):
    with locked(tmp_path), pytest.raises(RunError, match="another process"):
        begin(tmp_path, toy_cache, toy_config)
    assert not (tmp_path / "config.json").exists()
    begin(tmp_path, toy_cache, toy_config)
    with pytest.raises(RunError, match="holds a run"):
        begin(tmp_path, toy_cache, replace(toy_config, seed=1))
    assert read_run(tmp_path).config == toy_config


def test_what_a_killed_process_left_in_a_run_is_removed_by_the_next(run):
    (run / "checkpoints" / ".step-0000009.12").mkdir()
    (run / ".config.json.12000.part").touch()
    with locked(run):
        assert not list(run.glob("**/.step-*"))
        assert not list(run.glob(".*.part"))


def test_a_kill_while_metrics_are_cut_back_leaves_them(tmp_path, monkeypatch):
    before = '{"step": 0}\n{"step": 10}\n{"step": 20}\n'
    (tmp_path / "metrics.jsonl").write_text(before)

    def killed(path, target):
        raise Killed

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(Killed):
        MetricsLog(tmp_path, start_step=20)
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_full_disk_is_told_when_a_line_is_written_and_not_again_when_the_log_is_closed(tmp_path):
    with closing(MetricsLog(tmp_path, start_step=0)) as log:
        log.write(0, {"total": 1.0})
        size = (tmp_path / "metrics.jsonl").stat().st_size
        with largest_file(size + 5), pytest.raises(OSError, match="No space left on device"):
            log.write(1, {"total": 2.0})
    with closing(MetricsLog(tmp_path, start_step=1)):
        assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0, "total": 1.0}\n'


def test_tensorboard_reads_the_events_and_leaves_out_what_a_resumed_run_made_anew(tmp_path):
    with closing(MetricsLog(tmp_path, start_step=0)) as log:
        for step in range(3):
            log.write(step, {"total": float(step), "scale/view": 0.5})
    with closing(MetricsLog(tmp_path, start_step=2)) as log:
        log.write(2, {"total": 7.0})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("total")] == [(0, 0.0), (1, 1.0), (2, 7.0)]
    assert [event.value for event in events.Scalars("scale/view")] == [0.5, 0.5]
