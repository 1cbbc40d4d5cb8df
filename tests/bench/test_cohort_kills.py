"""Short versions of the runs that are killed fifty times."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cohort_kills import furthest, kill_figures, ray_figures
from glam.phantom.exam import write_exams
from tests.samples.ray_kills import RayLives, descendants, end, process_of
from tests.samples.serving import wait_until
from tests.samples.stores import write_store

STARTS_ONE = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exams(tmp_path_factory.mktemp("phantoms"), num_exams=3, seed=2)


@pytest.mark.slow
def test_a_store_is_compared_with_that_of_a_run_that_was_left_alone(manifest: Path, tmp_path: Path):
    figures = kill_figures(manifest, tmp_path, kills=1, options=())
    assert figures["kills"] == 1
    assert figures["stores_equal"] == figures["stores"] > 0
    assert (figures["rows"], figures["problems"]) == (6, 0)


@pytest.mark.slow
def test_drivers_and_actors_of_ray_are_killed_and_the_store_is_that_of_one_process(manifest: Path, tmp_path: Path):
    pytest.importorskip("ray", reason="ray is not installed")
    figures = ray_figures(manifest, tmp_path, kills=1)
    assert figures["drivers_killed"] + figures["actors_killed"] == figures["kills"] == 1
    assert figures["stores_equal"] == figures["stores"] > 0
    assert (figures["rows"], figures["problems"], figures["processes_left"]) == (6, 0, 0)
    assert figures["furthest_from_the_local_engine"] <= 1e-5


def test_vectors_are_compared_row_by_row(tmp_path: Path):
    write_store(tmp_path / "a", ["e", "f"])
    write_store(tmp_path / "b", ["e", "f"])
    write_store(tmp_path / "c", ["e", "g"])
    assert furthest(tmp_path / "a", tmp_path / "b") == 0
    assert furthest(tmp_path / "a", tmp_path / "c") == float("inf")


def test_a_life_that_ends_by_itself_has_no_kill_and_one_that_is_killed_leaves_no_process():
    lives = RayLives(random.Random(0))
    assert lives.live([sys.executable, "-c", "pass"], 60, 1) == (0, True)
    assert lives.live(["sleep", "60"], 0.1, 1) == (1, False)
    assert (lives.drivers, lives.actors, lives.left) == (1, 0, 0)


def test_processes_that_outlive_their_parent_are_ended():
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        started = descendants(parent.pid)
        assert [process.pid for process in started] == [child]
        parent.kill()
    assert process_of(child) is not None
    assert end(started) == 0  # it was no actor
    wait_until(lambda: process_of(child) is None, "the process ends", 20)
