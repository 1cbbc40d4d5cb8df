"""Runs of `glam-embed` that are killed at random moments, with all their processes, and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glam_serve.cohort.ray_cluster import NOT_STARTED

ROOT = Path(__file__).parents[2]

LONGER, SHORTER = 1.2, 0.8
STARTS = 5
"""Tries to start a Ray on a machine that may be too busy for it."""
MUCH = 3
"""Shards that a run should not do more of before it is killed."""


class Kills(NamedTuple):
    """What it took to finish."""

    kills: int
    progress: list[int]
    """Parts in the store after each life."""


class Life(NamedTuple):
    """A run from its start until it ends or is killed."""

    kills: int
    has_ended: bool
    """By itself."""


def embed_command(manifest: Path, store: Path, *options: str) -> list[str]:
    """The command of a run."""
    command = [sys.executable, "-m", "glam_serve.cohort.cli", "run", "--manifest", str(manifest), "--out", str(store)]
    return [*command, *options]


def run_to_end(command: list[str]) -> float:
    """Run a command to its end; return the seconds it took. Exit codes 0 and 3 are those of a finished run."""
    for _ in range(STARTS):
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if NOT_STARTED not in done.stderr:
            break
    assert done.returncode in (0, 3), done.stderr
    return time.monotonic() - start


def live(command: list[str], seconds: float, most: int) -> Life:
    """Start a command in a process group of its own and kill the group after a while, if it has not ended before."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return Life(1, has_ended=False)
    assert process.returncode in (0, 3), f"the run ended with {process.returncode}"
    return Life(0, has_ended=True)


def kill_until_done(
    command: list[str],
    store: Path,
    rng: random.Random,
    *,
    most: int,
    longest_s: float,
    live: Callable[[list[str], float, int], Life] = live,
) -> Kills:
    """Kill a run at random moments after its start until it ends; after `most` kills let it end.

    The moments lie up to `longest_s` after the start; longer where runs did nothing so far, shorter where one did much.
    `live`: a life by the command, the seconds after which it is killed, and the most kills that are left.
    """
    kills, progress, has_ended = 0, list[int](), False
    while kills < most and not has_ended:
        life = live(command, rng.uniform(0, longest_s), most - kills)
        kills, has_ended = kills + life.kills, life.has_ended
        before = progress[-1] if progress else 0
        progress.append(len(list(store.glob("part-*.parquet"))))
        longest_s *= LONGER if progress[-1] == before else SHORTER if progress[-1] > before + MUCH else 1
    run_to_end(command)
    return Kills(kills, progress)
