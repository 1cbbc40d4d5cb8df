"""Runs of `glam-embed` on a Ray cluster that they start themselves, whose driver or an actor is killed."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from glam_serve.cohort.ray_cluster import NOT_STARTED
from tests.samples.kills import ROOT, Life
from tests.samples.serving import of_proc

ACTOR = "ray::ShardActor"
ACTOR_DIES = 0.5
"""Share of the lives in which one does."""
SOON_S = 5.0
"""Longest time from the first actor to the death of one, and from that to the driver's."""
ENDS_S = 30.0
"""Longest time that actors and their readers may outlive their driver; agents of Ray that were starting do by 80 s."""


@dataclass
class RayLives:
    """Lives of runs: the driver alone is killed, and in some of them an actor before it."""

    rng: random.Random
    actors: int = 0
    """Killed so far."""
    drivers: int = 0
    not_started: int = 0
    """Lives without a cluster, because the machine was too busy for one."""
    left: int = 0
    """Actors and readers that had to be ended because they outlived their driver."""

    def live(self, command: list[str], seconds: float, most: int) -> Life:
        """Start a command and kill its driver after a while; or, soon after it has actors, one of them and then it."""
        with tempfile.TemporaryFile("w+") as said:
            driver = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
            killed = 0
            if most > 1 and self.rng.random() < ACTOR_DIES:
                killed = self._kill_actor(driver)
                seconds = self.rng.uniform(0, SOON_S)
            if not ends_within(driver, seconds):
                self._kill_driver(driver)
                return Life(killed + 1, has_ended=False)
            said.seek(0)
            words = said.read()
        is_without = driver.returncode == 1 and NOT_STARTED in words
        assert is_without or driver.returncode in (0, 3), words
        self.not_started += is_without
        return Life(killed, has_ended=not is_without)

    def _kill_actor(self, driver: subprocess.Popen) -> int:
        """Kill an actor soon after there is one, and return how many that were: the run may have ended before."""
        while not actors_of(driver.pid) and not ends_within(driver, 0.1):
            pass
        ends_within(driver, self.rng.uniform(0, SOON_S))
        actors = actors_of(driver.pid)
        if actors:
            os.kill(self.rng.choice(actors), signal.SIGKILL)
        self.actors += bool(actors)
        return int(bool(actors))

    def _kill_driver(self, driver: subprocess.Popen) -> None:
        processes = descendants(driver.pid)
        driver.kill()
        driver.wait()
        self.drivers += 1
        self.left += end(processes)


@contextmanager
def ray_folder() -> Iterator[None]:
    """Have clusters keep sockets and logs in a folder of their own, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder
        try:
            yield
        finally:
            del os.environ["RAY_TMPDIR"]


def ends_within(process: subprocess.Popen, seconds: float) -> bool:
    """Whether a process ends within a while."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def actors_of(driver: int) -> list[int]:
    """Return the actors that a driver has, by their numbers."""
    return [process.pid for process in descendants(driver) if process.name == ACTOR]


class Process(NamedTuple):
    """A process as proc(5) shows it; one that goes on may take another name."""

    pid: int
    name: str
    parent: int
    started: int
    """In ticks since the machine started: another process of the same number has another one."""


def process_of(pid: int) -> Process | None:
    """Return what there is to know of a process; None where it has ended."""
    head, _, words = of_proc(pid, "stat").decode(errors="replace").rpartition(") ")
    if not words or words[0] in "ZX":
        return None
    fields = words.split()  # from the third of proc(5) on
    return Process(pid, head.partition("(")[2], int(fields[1]), int(fields[19]))


def descendants(pid: int) -> list[Process]:
    """Return the processes that a process started, those that they started, and so on."""
    entries = [process_of(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")]
    processes, family = [entry for entry in entries if entry], {pid}
    while more := {entry.pid for entry in processes if entry.parent in family} - family:
        family |= more
    return [entry for entry in processes if entry.pid in family - {pid}]


def end(processes: list[Process]) -> int:
    """Wait until actors and their readers have ended, end everything that goes on, and return how many of them did."""
    ours = [process for process in processes if process.name == ACTOR]
    ours += [process for process in processes if process.parent in {actor.pid for actor in ours}]
    deadline = time.monotonic() + ENDS_S
    while any(map(goes_on, ours)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = sum(map(goes_on, ours))
    for process in filter(goes_on, processes):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return left


def goes_on(process: Process) -> bool:
    """Whether a process has not ended."""
    now = process_of(process.pid)
    return now is not None and now.started == process.started
