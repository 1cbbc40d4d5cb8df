"""Items a second of `glam-embed`, beside what its stages cost and beside independent processes that do the same work.

python -m bench.cohort_rates [--quick] [--phantoms DIR] [--seconds S] [--rounds N]

In each round one after the other, because a shared machine is not equally fast for minutes: a run with two readers and
one model, and two independent processes, each of which reads, runs the model and writes by itself; ratios are medians
over the rounds. `of_the_machine` is the run's rate over what the CPU time of the stages allows on all cores; other work
on the machine lowers it, and `busy_elsewhere` says how much there was. `of_the_cpu_it_used` is the CPU time of the
stages over that of all processes of the run, and remains comparable then.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle, islice
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from bench.serve import busy_elsewhere
from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.loading import with_variant
from glam.manifest.table import read_manifest
from glam.phantom.exam import write_exams
from glam.store.schema import ShardMark
from glam.store.write import write_shard
from glam_serve.cohort.decoder import DecoderOptions
from glam_serve.cohort.items import Item, Shard, read_item
from glam_serve.cohort.plan import make_plan
from glam_serve.cohort.recipe import GROUP_SIZE, ModelOptions, Recipe, run_record
from glam_serve.cohort.runner import Runner

CORES = os.cpu_count() or 1
SHARD_ITEMS = GROUP_SIZE
LEAST_SHARDS = 4


def recipe_of(bundle: Path, *, workers: int) -> Recipe:
    """A run of breasts by a bundle, its model on one thread."""
    opened = with_variant(read_bundle(bundle), None)
    model = ModelOptions(threads=1)
    record = run_record(
        opened, level="breast", dtype="float32", aggregation="probabilities", provider=model.provider_told
    )
    decoders = DecoderOptions(workers=workers, ahead=2 * GROUP_SIZE + workers)
    return Recipe(bundle=bundle, variant=opened.variant, record=record, model=model, decoders=decoders)


def items_of(manifest: Path) -> list[Item]:
    """The breasts of a manifest."""
    plan = make_plan(read_manifest(manifest), None, root=manifest.parent, level="breast")
    return [item for shard in plan.shards(plan.marks("")) for item in shard.items]


def endless_shards(items: Sequence[Item]) -> Iterator[Shard]:
    """Yield shards of items over and over."""
    again = cycle(items)
    for number in cycle(range(8)):
        yield Shard(number, "", tuple(islice(again, SHARD_ITEMS)))


class Alone:
    """One process that does everything in turn, its stages timed."""

    def __init__(self, bundle: Path, manifest: Path) -> None:
        self.recipe = recipe_of(bundle, workers=1)
        self.runner: Runner = self.recipe.runner()
        self.items = items_of(manifest)
        self.frame = read_bundle(bundle).model.frame
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - start

    def run(self, seconds: float, store: Path) -> dict[str, Any]:
        """Do shards for so long; how many items that were, the seconds, and CPU seconds an item by stage."""
        self.cpu_s.clear()
        start, count = time.monotonic(), 0
        for shard in endless_shards(self.items):
            self._shard(shard, store)
            count += len(shard.items)
            if time.monotonic() - start > seconds:
                break
        return {
            "items": count,
            "seconds": time.monotonic() - start,
            "cpu_s": {stage: used / count for stage, used in self.cpu_s.items()},
        }

    def _shard(self, shard: Shard, store: Path) -> None:
        rows = []
        for start in range(0, len(shard.items), GROUP_SIZE):
            items = shard.items[start : start + GROUP_SIZE]
            with self._stage("read"):
                prepared = [read_item(item, self.frame) for item in items]
            with self._stage("model"):
                good = [(item, entry, entry.exam) for item, entry in zip(items, prepared, strict=True) if entry.exam]
                rows += self.runner.rows_of(good)
        with self._stage("write"):
            mark = ShardMark(self.recipe.record.config.key, shard.number, "")
            write_shard(store, self.recipe.record, mark, rows, ())


class Together:
    """Independent processes of that kind, which work when they are told to."""

    def __init__(self, bundle: Path, manifest: Path, folder: Path, *, count: int) -> None:
        self.processes = []
        for number in range(count):
            store = folder / f"alone-{number}"
            store.mkdir()
            command = [sys.executable, "-m", "bench.cohort_rates", "--alone", str(bundle), str(manifest), str(store)]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.processes.append(subprocess.Popen(command, **pipes))

    def run(self, seconds: float) -> list[dict[str, Any]]:
        """Have all of them work at the same time; what each says."""
        for process in self.processes:
            print(seconds, file=process.stdin, flush=True)
        return [json.loads(process.stdout.readline()) for process in self.processes if process.stdout is not None]

    def end(self) -> None:
        """Have them end."""
        for process in self.processes:
            process.communicate()


def run_rate(recipe: Recipe, items: Sequence[Item], store: Path, *, seconds: float) -> dict[str, float]:
    """Items a second of a run and its CPU seconds an item, from its first shard on, when all processes are at work."""
    runner = recipe.runner()
    times, used = list[float](), list[float]()
    with closing(runner.run(store, endless_shards(items), threading.Event())) as committed:  # pyright: ignore[reportArgumentType]
        for _ in committed:
            times.append(time.monotonic())
            used.append(time.process_time() + sum(_cpu_s(child.pid) for child in active_children()))
            if len(times) > LEAST_SHARDS and times[-1] - times[0] > seconds:
                break
    items_done = (len(times) - 1) * SHARD_ITEMS
    return {"items_per_s": items_done / (times[-1] - times[0]), "cpu_s": (used[-1] - used[0]) / items_done}


def _cpu_s(pid: int | None) -> float:
    """CPU seconds of a process (proc(5): utime and stime); 0 of one that is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def rate_figures(bundle: Path, manifest: Path, folder: Path, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Rates of both in every round, and the medians of their ratios."""
    items, recipe, store = items_of(manifest), recipe_of(bundle, workers=2), folder / "run"
    store.mkdir()
    together = Together(bundle, manifest, folder, count=2)
    together.run(0.0)
    taken = list[dict[str, Any]]()
    for number in range(rounds):
        parts = {"run": lambda: run_rate(recipe, items, store, seconds=seconds), "alone": lambda: together.run(seconds)}
        order = list(parts) if number % 2 else list(reversed(parts))
        taken.append({"busy_elsewhere": busy_elsewhere()} | {name: parts[name]() for name in order})
    together.end()
    stages = [entry["alone"][0]["cpu_s"] for entry in taken]
    work_s = [sum(cpu_s.values()) for cpu_s in stages]
    alone = [sum(process["items"] / process["seconds"] for process in entry["alone"]) for entry in taken]
    rates = [entry["run"]["items_per_s"] for entry in taken]
    return {
        "cores": CORES,
        "rounds": rounds,
        "busy_elsewhere": _median([entry["busy_elsewhere"] for entry in taken]),
        "cpu_s_an_item": {stage: _median([cpu_s[stage] for cpu_s in stages]) for stage in stages[0]},
        "cpu_s_an_item_of_the_run": _median([entry["run"]["cpu_s"] for entry in taken]),
        "items_per_s": _median(rates),
        "items_per_s_of_independent": _median(alone),
        "of_the_machine": _median([rate * used / CORES for rate, used in zip(rates, work_s, strict=True)]),
        "of_the_cpu_it_used": _median(
            [used / entry["run"]["cpu_s"] for used, entry in zip(work_s, taken, strict=True)]
        ),
        "of_independent": _median([rate / other for rate, other in zip(rates, alone, strict=True)]),
    }


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 4)


def answer(bundle: Path, manifest: Path, store: Path) -> None:
    """Be an independent process: for each number of seconds on the input, work for so long and say what was done."""
    alone = Alone(bundle, manifest)
    for line in sys.stdin:
        print(json.dumps(alone.run(float(line), store)), flush=True)


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 5 seconds")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--phantoms", type=Path, help="folder of exams, made where they are missing")
    parser.add_argument("--alone", type=Path, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        answer(*options.alone)
        return
    seconds, rounds = (5.0, 2) if options.quick else (options.seconds, options.rounds)
    with tempfile.TemporaryDirectory() as name:
        manifest = write_exams(options.phantoms or Path(name) / "phantoms", num_exams=4, seed=5)
        figures = rate_figures(options.bundle, manifest, Path(name), seconds=seconds, rounds=rounds)
    names = ("of_the_machine", "of_the_cpu_it_used", "of_independent")
    print_summary("cohort_rates", figures, {key: goal(figures[key], at_least=0.9) for key in names})


if __name__ == "__main__":
    main()
