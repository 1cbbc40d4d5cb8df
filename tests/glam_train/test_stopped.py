"""The command that trains, as a process: stopped by signals, by a full disk, by a kill, and started twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam_train.pretraining.run_folder import checkpoints
from tests.samples.ray_kills import descendants
from tests.samples.serving import of_proc
from tests.samples.trainings import LOOK_S, Training, run_to_end, same, small_training, started, trained, wait_for
from tests.samples.warm_training import Begin, Life, warm_training

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SELDOM = ("--save-every", "100000")
STEPS = 300


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts the command."""
    with warm_training(tmp_path_factory.mktemp("warm")) as start:
        yield start


@pytest.fixture(scope="module")
def begin_second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts it beside another."""
    with warm_training(tmp_path_factory.mktemp("warm-second")) as start:
        yield start


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return small_training(tmp_path_factory.mktemp("training"), steps=STEPS)


@pytest.fixture(scope="module")
def whole(begin: Begin, training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert begin(training.arguments(out, *SELDOM)).wait() == 0
    return out


def in_the_middle(process: Life | subprocess.Popen[str], out: Path) -> None:
    """Wait until a process has made an update and written of it."""
    before = lines(out)
    while lines(out) <= before:
        assert process.poll() is None
        time.sleep(LOOK_S)


def lines(out: Path) -> int:
    return (out / "metrics.jsonl").read_text().count("\n") if (out / "metrics.jsonl").exists() else 0


def told(life: Life) -> list[str]:
    """What a process said, but for how far it was."""
    return [line for line in life.said.read_text().splitlines() if not line.startswith("pretrain ")]


def test_a_run_that_signals_stop_says_where_it_saved_and_ends_as_one_that_was_left_alone(
    begin: Begin, training: Training, whole: Path, tmp_path: Path
):
    out = tmp_path / "run"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        life = begin(training.arguments(out, *SELDOM))
        in_the_middle(life, out)
        os.kill(life.pid, number)
        os.kill(life.pid, number)  # as `timeout` does
        assert life.wait() == 130
        saved = checkpoints(out)[-1]
        updates = int(saved.name.removeprefix("step-"))
        assert 0 < updates < STEPS
        assert told(life)[1:] == [f"stopped by a signal after {updates} updates. Saved as {saved}: go on with --resume"]
    assert begin(training.arguments(out, *SELDOM)).wait() == 0
    assert same(trained(out), trained(whole))


def test_ctrl_c_before_the_first_update_is_one_line(begin: Begin, tmp_path: Path):
    life = begin(["prepare-phantoms", "--pairs", "60", "--preset", "tiny", "--out", str(tmp_path / "cache")])
    wait_for(life, tmp_path, "cache/cache.json")
    os.kill(life.pid, signal.SIGINT)
    assert life.wait() == 130
    assert "Traceback" not in life.said.read_text()
    assert told(life)[-1] == "interrupted"


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 5 MB: four checkpoints and a little."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_fills_while_it_saves_is_one_line_and_the_run_goes_on_when_there_is_room(
    begin: Begin, training: Training, whole: Path, small_disk: Path
):
    out, ballast = small_disk / "run", small_disk / "ballast"
    life = begin(training.arguments(out, "--save-every", "20"))
    wait_for(life, out, "checkpoints/step-*")
    size = sum(path.stat().st_size for path in checkpoints(out)[-1].rglob("*") if path.is_file())
    free = os.statvfs(small_disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - size // 2))
    assert life.wait() == 1
    last = checkpoints(out)[-1]
    (line,) = told(life)[1:]
    assert "cannot be written (" in line
    assert line.endswith(f"the last whole checkpoint is {last}: make room and go on with --resume")
    assert not list(out.glob("checkpoints/.*"))
    ballast.unlink()
    assert begin(training.arguments(out, *SELDOM)).wait() == 0
    assert same(trained(out), trained(whole))


def test_a_second_process_is_refused_in_a_sentence_and_a_killed_one_leaves_the_folder_free(
    begin: Begin, begin_second: Begin, training: Training, whole: Path, tmp_path: Path
):
    out = tmp_path / "run"
    first = begin(training.arguments(out, "--save-every", "10"))
    in_the_middle(first, out)
    os.kill(first.pid, signal.SIGSTOP)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = begin_second(training.arguments(out, "--learning-rate", "0.001"))
    assert second.wait() == 1
    assert told(second) == [f"another process trains the run at {out}: stop it or wait for its end"]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert begin_second(training.arguments(out, *SELDOM)).wait() == 0
    assert same(trained(out), trained(whole))


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
NO_PYTHON = ["--no-python"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A run whose updates two processes share."""
    return small_training(tmp_path_factory.mktemp("shared"), steps=40, batch_size=2, accumulate=2)


@pytest.fixture(scope="module")
def shared_whole(shared: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes that nobody disturbed."""
    out = tmp_path_factory.mktemp("shared-whole") / "run"
    run_to_end([*TORCHRUN, *NO_PYTHON, *shared.command(out, *SELDOM)])
    return out


def test_two_processes_that_a_signal_stops_say_it_once_and_go_on_to_the_same_bits(
    shared: Training, shared_whole: Path, tmp_path: Path
):
    out = tmp_path / "run"
    launcher = started([*TORCHRUN, *NO_PYTHON, *shared.command(out, *SELDOM)])
    in_the_middle(launcher, out)
    launcher.send_signal(signal.SIGTERM)
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    (saved,) = checkpoints(out)
    assert said.count("stopped by a signal") == said.count(f"Saved as {saved}: go on with --resume") == 1
    run_to_end([*TORCHRUN, *NO_PYTHON, *shared.command(out, *SELDOM)])
    assert same(trained(out), trained(shared_whole))


def test_a_launcher_that_restarts_goes_on_from_the_newest_checkpoint_when_a_process_was_killed(
    shared: Training, shared_whole: Path, tmp_path: Path
):
    out = tmp_path / "run"
    launcher = started([*TORCHRUN, "--max-restarts", "1", *NO_PYTHON, *shared.command(out, "--save-every", "10")])
    wait_for(launcher, out, "checkpoints/step-*")
    (first,) = [process.pid for process in descendants(launcher.pid) if b"RANK=0" in environment(process.pid)]
    os.kill(first, signal.SIGKILL)
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    assert same(trained(out), trained(shared_whole))


def environment(pid: int) -> list[bytes]:
    return of_proc(pid, "environ").split(b"\0")
