"""Exactly once: runs of `glam-embed` that are killed at random moments end in the store of a run that was not.

python -m bench.cohort_kills [--quick] [--engine local|ray] [--exams N] [--kills N] [--workers 1 3]

On Ray, every run starts a cluster of this machine with two actors; its driver is killed, and in half of the lives one
of the actors before it. That store is compared with the local engine's too, in which vectors may differ by 1e-5.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from glam.phantom.exam import write_exams
from glam.store.read import read_rows, read_success, vectors
from glam.store.verify import verify_store
from tests.samples.kills import Kills, Life, embed_command, kill_until_done, live, run_to_end
from tests.samples.ray_kills import RayLives, ray_folder
from tests.samples.stores import contents

SHARD_SIZE = 4
SHARDS_A_LIFE = 2
"""About so many shards a run finishes before it is killed."""
RAY = ("--engine", "ray", "--actors", "2", "--num-cpus", "1")


def kill_figures(
    manifest: Path,
    folder: Path,
    *,
    kills: int,
    options: tuple[str, ...],
    live: Callable[[list[str], float, int], Life] = live,
) -> dict[str, Any]:
    """Kill runs of a cohort until there were so many kills, a new store where one is whole; compare every store.

    The store of the run that was left alone is the folder's `whole`.
    """
    options = ("--shard-size", str(SHARD_SIZE), *options)
    whole, store = folder / "whole", folder / "killed"
    began = time.time()
    took_s = run_to_end(embed_command(manifest, whole, *options))
    expected, expected_success = contents(whole), read_success(whole)
    assert expected_success is not None
    first_s = min(path.stat().st_mtime for path in whole.glob("part-*")) - began
    longest_s = first_s + SHARDS_A_LIFE * 2 * (took_s - first_s) / expected_success["shards"]
    rng, done, stores, equal, problems = random.Random(0), list[Kills](), 0, 0, 0
    command = embed_command(manifest, store, *options)
    while sum(entry.kills for entry in done) < kills:
        shutil.rmtree(store, ignore_errors=True)
        most = kills - sum(entry.kills for entry in done)
        done.append(kill_until_done(command, store, rng, most=most, longest_s=longest_s, live=live))
        stores += 1
        equal += contents(store) == expected and read_success(store) == expected_success
        problems += len(verify_store(store).problems)
    return {
        "rows": read_rows(store).num_rows,
        "uninterrupted_s": round(took_s, 1),
        "kills": sum(entry.kills for entry in done),
        "stores": stores,
        "stores_equal": equal,
        "problems": problems,
        "shards_after_each_life": [entry.progress for entry in done],
    }


def ray_figures(manifest: Path, folder: Path, *, kills: int) -> dict[str, Any]:
    """Kill drivers and actors, and compare the store of Ray with that of the local engine."""
    lives = RayLives(random.Random(1))
    with ray_folder():
        figures = kill_figures(manifest, folder, kills=kills, options=RAY, live=lives.live)
    run_to_end(embed_command(manifest, folder / "local", "--shard-size", str(SHARD_SIZE)))
    return figures | {
        "drivers_killed": lives.drivers,
        "actors_killed": lives.actors,
        "not_started": lives.not_started,
        "processes_left": lives.left,
        "furthest_from_the_local_engine": furthest(folder / "whole", folder / "local"),
    }


def furthest(store: Path, other: Path) -> float:
    """Return the largest difference between numbers of the vectors of two stores; infinite where rows differ."""
    rows, others = read_rows(store), read_rows(other)
    keys = ["exam_id", "laterality"]
    if rows.select(keys) != others.select(keys):
        return float("inf")
    return float(np.abs(vectors(rows) - vectors(others)).max())


def main() -> None:
    """Kill, compare, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 exams, 5 kills, one worker")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--exams", type=int, default=300)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], help="of the local engine: a run for each")
    parser.add_argument("--phantoms", type=Path, help="folder of exams, made where they are missing")
    options = parser.parse_args()
    exams, kills, workers = (8, 5, [1]) if options.quick else (options.exams, options.kills, options.workers)
    runs = dict[str, dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        manifest = write_exams(options.phantoms or Path(name) / "phantoms", num_exams=exams, seed=10)
        if options.engine == "ray":
            runs["ray"] = ray_figures(manifest, Path(name) / "ray", kills=kills)
        for count in workers if options.engine == "local" else ():
            folder, of_workers = Path(name) / str(count), ("--workers", str(count))
            runs[f"{count}_workers"] = kill_figures(manifest, folder, kills=kills, options=of_workers)
    goals = {}
    for kind, run in runs.items():
        goals[f"stores_that_differ_{kind}"] = goal(run["stores"] - run["stores_equal"], at_most=0)
        goals[f"problems_{kind}"] = goal(run["problems"], at_most=0)
    if "ray" in runs:
        goals["ray_from_local"] = goal(runs["ray"]["furthest_from_the_local_engine"], at_most=1e-5)
        goals["processes_left"] = goal(runs["ray"]["processes_left"], at_most=0)
    print_summary("cohort_kills", {"exams": exams} | runs, goals)


if __name__ == "__main__":
    main()
