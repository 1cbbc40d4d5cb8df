"""Exactly once: runs of `glam-embed` that are killed at random moments end in the store of a run that was not.

python -m bench.cohort_kills [--quick] [--exams N] [--kills N] [--workers 1 3]
"""

import argparse
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.report import goal, print_summary
from glam.phantom.exam import write_exams
from glam.store.read import read_rows, read_success
from glam.store.verify import verify_store
from tests.samples.kills import Kills, embed_command, kill_until_done, run_to_end
from tests.samples.stores import contents

SHARD_SIZE = 4
SHARDS_A_LIFE = 2
"""About so many shards a run finishes before it is killed."""


def kill_figures(manifest: Path, folder: Path, *, kills: int, workers: int, seed: int = 0) -> dict[str, Any]:
    """Kill runs of a cohort until there were so many kills, a new store where one is whole; compare every store."""
    options = ("--shard-size", str(SHARD_SIZE), "--workers", str(workers))
    whole, store = folder / f"whole-{workers}", folder / f"killed-{workers}"
    took_s = run_to_end(embed_command(manifest, whole, *options))
    expected, expected_success = contents(whole), read_success(whole)
    assert expected_success is not None
    idle_s = run_to_end(embed_command(manifest, whole, *options))  # to start and to see that nothing is to do
    longest_s = idle_s + SHARDS_A_LIFE * 2 * (took_s - idle_s) / expected_success["shards"]
    rng, done, stores, equal, problems = random.Random(seed), list[Kills](), 0, 0, 0
    while sum(entry.kills for entry in done) < kills:
        shutil.rmtree(store, ignore_errors=True)
        most = kills - sum(entry.kills for entry in done)
        command = embed_command(manifest, store, *options)
        done.append(kill_until_done(command, store, rng, most=most, longest_s=longest_s))
        stores += 1
        equal += contents(store) == expected and read_success(store) == expected_success
        problems += len(verify_store(store).problems)
    rows = read_rows(store).num_rows
    return {
        "rows": rows,
        "uninterrupted_s": round(took_s, 1),
        "kills": sum(entry.kills for entry in done),
        "stores": stores,
        "stores_equal": equal,
        "problems": problems,
        "shards_after_each_kill": [entry.progress for entry in done],
    }


def main() -> None:
    """Kill, compare, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 exams, 5 kills, one worker")
    parser.add_argument("--exams", type=int, default=300)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--phantoms", type=Path, help="folder of exams, made where they are missing")
    options = parser.parse_args()
    exams, kills, workers = (8, 5, [1]) if options.quick else (options.exams, options.kills, options.workers)
    with tempfile.TemporaryDirectory() as name:
        manifest = write_exams(options.phantoms or Path(name) / "phantoms", num_exams=exams, seed=10)
        runs = {count: kill_figures(manifest, Path(name), kills=kills, workers=count) for count in workers}
    goals = {}
    for count, run in runs.items():
        goals[f"stores_that_differ_{count}_workers"] = goal(run["stores"] - run["stores_equal"], at_most=0)
        goals[f"problems_{count}_workers"] = goal(run["problems"], at_most=0)
    figures = {f"{count} workers": run for count, run in runs.items()}
    print_summary("cohort_kills", {"exams": exams} | figures, goals)


if __name__ == "__main__":
    main()
