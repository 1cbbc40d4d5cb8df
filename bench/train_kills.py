"""Nothing is lost but updates since the last save: a training run that is killed at random instants, and resumed.

python -m bench.train_kills [--quick] [--kills N]

A process of `glam-train pretrain` on phantoms, of a model of a few thousand weights that saves every other update, gets
SIGKILL before it trains, at any instant after its first checkpoint, or while a checkpoint is built, and the same
command goes on. (Its imports are made before, once for all lives: they touch no file of a run.) After each death: the
newest checkpoint that was ever whole is there, every checkpoint loads, and no line of metrics from before it is gone.
At the end weights, optimizer and metrics are those of a run left alone, bit for bit.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import goal, print_summary
from tests.samples.training_kills import ends_as, kill_training, leftovers
from tests.samples.trainings import small_training
from tests.samples.warm_training import Begin, warm_training

SAVE_EVERY = ("--save-every", "2")


def kill_figures(begin: Begin, folder: Path, *, kills: int, steps: int) -> dict[str, Any]:
    """Train once without and once with so many kills, and compare."""
    training = small_training(folder, steps=steps)
    whole, killed = folder / "whole", folder / "killed"
    begun = time.monotonic()
    run_to_end(begin, training.arguments(whole, *SAVE_EVERY))
    took_s = time.monotonic() - begun
    arguments = training.arguments(killed, *SAVE_EVERY)
    found = kill_training(begin, arguments, killed, kills=kills)
    run_to_end(begin, arguments)
    return {
        "updates": steps,
        "left_alone_s": round(took_s, 1),
        "kills": found.kills,
        "kills_by_moment": dict(sorted(found.moments.items())),
        "half_saved": found.half_saved,
        "updates_saved_after_each_kill": found.updates_saved,
        "broken": found.broken,
        "left_over": leftovers(killed),
        "ends_as_the_run_left_alone": ends_as(killed, whole),
    }


def run_to_end(begin: Begin, arguments: Sequence[str]) -> None:
    """Let a run come to its end."""
    life = begin(arguments)
    assert life.wait() == 0, life.said.read_text()


def main() -> None:
    """Kill, compare, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 kills, 40 updates")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    kills, steps = (3, 40) if options.quick else (options.kills, options.steps)
    with tempfile.TemporaryDirectory() as name, warm_training(Path(name)) as begin:
        figures = kill_figures(begin, Path(name), kills=kills, steps=steps)
    goals = {
        "broken": goal(len(figures["broken"]), at_most=0),
        "left_over": goal(len(figures["left_over"]), at_most=0),
        "ends_as_the_run_left_alone": goal(int(figures["ends_as_the_run_left_alone"]), at_least=1),
    }
    print_summary("train_kills", figures, goals)


if __name__ == "__main__":
    main()
