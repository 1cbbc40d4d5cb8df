"""Training that is killed at random instants and resumed: what is left after each death, and at the end."""

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glam.model.checkpoint import load_checkpoint
from glam_train.pretraining.run_folder import checkpoints, read_run, updates_of
from glam_train.pretraining.training_state import load_state, starting_state
from tests.samples.trainings import LOOK_S, same, trained
from tests.samples.warm_training import Begin, Life

MOMENTS = {"start": 1, "between": 4, "save": 5}
"""When a process is killed, and how often so: before it has trained; at any instant of half a second after its first
checkpoint; while a checkpoint of its own is built."""
START_S, BETWEEN_S, SAVE_S = 1.5, 0.5, 0.05
"""Longest times from the beginning of these moments to the death."""
SAVES_LEFT_OUT = 4
"""Of the checkpoints of a process, one of the first so many is what a death in a save is aimed at."""
LOG_EVERY = 10


@dataclass
class Kills:
    """What killing a run has shown so far."""

    moments: Counter[str] = field(default_factory=Counter)
    """Deaths by what they were aimed at."""
    half_saved: int = 0
    """Deaths that left a checkpoint half built, or half removed."""
    updates_saved: list[int] = field(default_factory=list)
    """Updates in the newest checkpoint after each death; -1 where there is none."""
    broken: list[str] = field(default_factory=list)
    """What was found broken after a death."""

    @property
    def kills(self) -> int:
        """Number of deaths."""
        return len(self.updates_saved)


def kill_training(begin: Begin, arguments: Sequence[str], out: Path, *, kills: int, seed: int = 0) -> Kills:
    """Kill a run so many times, and look at its folder after each death.

    The command goes on where the run was left. One that comes to its end begins anew in an empty folder.
    """
    rng, found = random.Random(seed), Kills()
    while found.kills < kills:
        (moment,) = rng.choices([*MOMENTS], [*MOMENTS.values()])
        life = begin(arguments)
        seen = _live(life, out, moment, rng)
        if life.poll() is not None:
            assert life.wait() == 0, life.said.read_text()
            shutil.rmtree(out)
            continue
        os.kill(life.pid, signal.SIGKILL)
        life.wait()
        found.moments[moment] += 1
        look(out, found, seen=seen)
    return found


def _live(life: Life, out: Path, moment: str, rng: random.Random) -> set[str]:
    """Wait for the instant of a death, or the end; return the checkpoints that were whole at any time before."""
    begun = {path.name for path in checkpoints(out)}
    seen, built = set(begun), set[str]()
    wanted = rng.randrange(SAVES_LEFT_OUT) + 1
    end = time.monotonic() + rng.uniform(0, START_S) if moment == "start" else float("inf")
    while life.poll() is None and time.monotonic() < end:
        seen |= {path.name for path in checkpoints(out)}
        built |= {path.name for path in out.glob(f"checkpoints/.step-*.{life.pid}")}
        if end == float("inf") and moment == "between" and seen > begun:
            end = time.monotonic() + rng.uniform(0, BETWEEN_S)
        if end == float("inf") and moment == "save" and len(built) >= wanted:
            end = time.monotonic() + rng.uniform(0, SAVE_S)
        time.sleep(LOOK_S)
    return seen


def look(out: Path, found: Kills, *, seen: set[str]) -> None:
    """Note what a death has left, and what of it is broken."""
    there = checkpoints(out)
    found.half_saved += any(out.glob("checkpoints/.step-*"))
    found.updates_saved.append(updates_of(there[-1]) if there else -1)
    if seen and (not there or there[-1].name < max(seen)):
        found.broken.append(f"{max(seen)} was there and is gone")
    for checkpoint in there:
        try:
            load_checkpoint(checkpoint)
        except ValueError as error:
            found.broken.append(str(error))
    if there:
        found.broken += _broken_run(out, there[-1])


def _broken_run(out: Path, newest: Path) -> list[str]:
    """Say what of a run cannot be gone on from, or has lost lines of metrics from before its newest checkpoint."""
    try:
        load_state(newest, starting_state(read_run(out), newest, device="cpu"))
    except ValueError as error:
        return [str(error)]
    logged = {int(step) for step in re.findall(r'^{"step": (\d+),.*}$', (out / "metrics.jsonl").read_text(), re.M)}
    missing = set(range(0, updates_of(newest), LOG_EVERY)) - logged
    return [f"lines of metrics are gone: {sorted(missing)}"] if missing else []


def ends_as(out: Path, whole: Path) -> bool:
    """Whether two runs have come to the same: weights, optimizer and metrics, bit for bit."""
    return same(trained(out), trained(whole))


def leftovers(out: Path) -> list[str]:
    """Names of what a finished run does not have: parts of files, and checkpoints half built or half removed."""
    return sorted(str(path.relative_to(out)) for pattern in (".*.part", "checkpoints/.*") for path in out.glob(pattern))
