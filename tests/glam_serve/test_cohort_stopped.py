"""Runs that a full disk, a signal or a kill ends: what is whole stays, and the next run ends in the same store."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glam.bundle import Bundle
from glam.local_server import group_lives
from glam.store import write
from glam.store.read import read_success
from glam.store.summary import summarise
from glam.store.verify import verify_store
from glam_serve.cohort.signals import stopped_by_signals
from tests.samples.cohorts import EXAMS
from tests.samples.kills import ROOT, embed_command, kill_until_done, run_to_end
from tests.samples.serving import wait_until
from tests.samples.stores import contents


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(
    whole: Path,
    phantoms: Path,
    embed: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    real, store = write.write_table, tmp_path / "s"

    def full(path: Path, *arguments: Any) -> None:
        if path.name == "part-000002.parquet":
            raise OSError(28, "No space left on device")
        real(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(write, "write_table", full)
        assert embed(phantoms / "manifest.csv", store) == 5
    printed = capsys.readouterr()
    assert "no space left" in printed.err
    assert json.loads(printed.out)["shards_done"] == 2
    assert read_success(store) is None
    assert embed(phantoms / "manifest.csv", store) == 0
    assert contents(store) == contents(whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_really_is_full_leaves_whole_shards(
    small_disk: Path, phantoms: Path, embed: Callable[..., int], whole: Path
):
    (small_disk / "ballast").write_bytes(bytes(40_000))
    store = small_disk / "s"
    assert embed(phantoms / "manifest.csv", store, shard_size=1) == 5
    assert verify_store(store).problems == ()
    assert 0 < summarise(store).shards_done < 2 * EXAMS
    assert not list(store.glob(".*.part"))
    (small_disk / "ballast").unlink()


def test_an_interrupted_run_says_what_is_there_and_the_next_one_goes_on(
    phantoms: Path, random_bundle: Bundle, whole: Path, tmp_path: Path
):
    store = tmp_path / "s"
    options = ["--bundle", str(random_bundle.folder), "--shard-size", "2"]
    command = embed_command(phantoms / "manifest.csv", store, *options)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while "shard 1 of 3" not in run.stderr.readline():
            assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in err
    assert json.loads(out)["shards_done"] in (1, 2)
    run_to_end(command)
    assert contents(store) == contents(whole)


def test_what_the_caller_had_ignored_stops_no_run():
    """`nohup glam-embed run` goes on when its terminal is closed."""
    stop = threading.Event()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.is_set()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_run_that_is_killed_in_its_middle_ends_in_the_same_store(
    phantoms: Path, random_bundle: Bundle, whole: Path, tmp_path: Path
):
    store = tmp_path / "s"
    command = embed_command(phantoms / "manifest.csv", store, *options_of(random_bundle, workers=1))
    kill_at_first_part(command, store)
    assert read_success(store) is None
    run_to_end(command)
    assert_same(store, whole)


@pytest.mark.slow
def test_a_run_that_is_killed_at_five_random_moments_ends_in_the_same_store(
    phantoms: Path, random_bundle: Bundle, whole: Path, tmp_path: Path
):
    """At fifty, with one and with three workers: bench/cohort_kills.py."""
    store = tmp_path / "s"
    command = embed_command(phantoms / "manifest.csv", store, *options_of(random_bundle, workers=3))
    took_s = run_to_end(command)
    shutil.rmtree(store)
    kill_until_done(command, store, random.Random(3), most=5, longest_s=took_s)
    assert_same(store, whole)


def options_of(bundle: Bundle, *, workers: int) -> list[str]:
    """The options of a run whose shards are small."""
    return ["--bundle", str(bundle.folder), "--shard-size", "2", "--workers", str(workers)]


def assert_same(store: Path, whole: Path) -> None:
    """A store holds what that of a run that was left alone does, and is sound."""
    assert contents(store) == contents(whole)
    assert read_success(store) == read_success(whole)
    assert verify_store(store).problems == ()


def kill_at_first_part(command: list[str], store: Path) -> None:
    """Start a run, and kill it with all its processes when its first shard is done."""
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: any(store.glob("part-*.parquet")) or run.poll() is not None, "a part", 120)
        assert run.poll() is None
    finally:
        if group_lives(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_the_processes_of_a_run_end_with_it_though_it_alone_is_killed(
    phantoms: Path, random_bundle: Bundle, tmp_path: Path
):
    options = ["--bundle", str(random_bundle.folder), "--shard-size", "1", "--workers", "2"]
    command = embed_command(phantoms / "manifest.csv", tmp_path / "s", *options)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while "shard 1 of" not in run.stderr.readline():
            assert run.poll() is None
        tree = Path(f"/proc/{run.pid}/task").glob("*/children")
        children = [Path("/proc", pid) for file in tree for pid in file.read_text().split()]
        run.kill()
    assert len(children) >= 2
    wait_until(lambda: not any(child.exists() for child in children), "the processes end", 20)


def test_threads_do_not_outlive_a_run(whole: Path):
    assert [thread.name for thread in threading.enumerate() if thread.name == "decoders"] == []
