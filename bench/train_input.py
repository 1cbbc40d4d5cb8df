"""Whether training waits for its data: updates a second from the cache on disk, beside the same from memory.

python -m bench.train_input [--quick] [--preset tiny] [--alone]

Four streams feed the same updates of the same model in turn, for a number of rounds: the cache as training reads it,
mapped from disk (warm; or cold: a copy whose pages are dropped from memory before each round); the same pixels as
arrays in memory; and batches that were made before, in memory as tensors. A share is the median over rounds of the time
that one stream takes, of that of another, the wait for batches included. `reading` is what the disk costs, `input` what
reading, changing the images and writing the reports cost together, which on a processor alone compete with the model
for its cores. `alone`: the batches that one and two readers make with nothing to train, which has to be more than a GPU
takes.
"""

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.report import goal, print_summary
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache, read_cache
from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.known_places import place_kinds
from glam_train.presets import PRESETS, preset
from glam_train.pretraining.loop import update
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import TrainingState, state_of

AT_LEAST = 0.95
Updates = Iterator[tuple[int, list[Batch]]]
Stream = Callable[[], Updates]


def in_memory(cache: PairCache) -> PairCache:
    """Return the cache with its pixels as arrays in memory."""
    return replace(cache, shards=[np.array(shard) for shard in cache.shards])


def drop_pages(folder: Path) -> None:
    """Have the kernel forget what it holds of the shards of a cache, as far as it will."""
    for path in folder.glob("shard-*.npy"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_bytes() -> int:
    """Bytes that this process had fetched from disks (proc(5))."""
    (found,) = re.findall(r"^read_bytes: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    return int(found)


def seconds(stream: Stream, state: TrainingState, config: PretrainConfig) -> float:
    """Return the time that the updates of a stream take, but for the first, before which nothing is read ahead."""
    begun = None
    with closing(stream()) as updates:  # type: ignore[type-var]
        for step, passes in updates:
            update(state, passes, config, step)
            begun = time.perf_counter() if begun is None else begun
    assert begun is not None
    return time.perf_counter() - begun


def measure(folder: Path, config: PretrainConfig, *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every round, by stream, and the megabytes that the cold one has from the disk.

    `folder` has the cache; each round runs the streams in another order.
    """
    cache, cold = read_cache(folder / "cache"), shutil.copytree(folder / "cache", folder / "cold")
    arrays = in_memory(cache)
    words = report_vocabulary(cache.records, style=config.text.style)
    text = replace(config.model.text, vocab_size=words.vocab_size)
    config = replace(config, model=replace(config.model, text=text))
    state = state_of(starting_model(config, None), config, device="cpu")

    def batches(source: PairCache) -> PairBatches:
        return PairBatches(cache=source, tokenizer=words, config=config, place_kinds=place_kinds(config))

    ready = [batches(cache).update(step) for step in range(config.steps)]
    streams: dict[str, Stream] = {
        "disk_cold": lambda: batches(read_cache(cold)).updates(0),
        "disk_warm": lambda: batches(cache).updates(0),
        "arrays": lambda: batches(arrays).updates(0),
        "tensors": lambda: ((step, passes) for step, passes in enumerate(ready)),
    }
    taken: dict[str, list[float]] = {name: [] for name in [*streams, "cold_mb"]}
    seconds(streams["tensors"], state, config)  # to warm up
    for number in range(rounds):
        names = list(streams)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            drop_pages(cold)
            before = read_bytes()
            taken[name].append(seconds(streams[name], state, config))
            if name == "disk_cold":
                taken["cold_mb"].append((read_bytes() - before) / 1e6)
        sys.stderr.write(f"round {number + 1}: { {name: round(times[-1], 2) for name, times in taken.items()} }\n")
    return taken


def rates(folder: Path, config: PretrainConfig) -> dict[str, float]:
    """Return the pairs a second that readers make of batches by themselves, by their number; torch has one thread."""
    cache = read_cache(folder / "cache")
    words = report_vocabulary(cache.records, style=config.text.style)
    stream = PairBatches(cache=cache, tokenizer=words, config=config, place_kinds=place_kinds(config))
    found, threads = dict[str, float](), torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun has it
    for readers in (1, 2):
        begun = time.perf_counter()
        pairs = sum(len(part.view) for _, passes in stream.updates(0, readers=readers) for part in passes)
        found[str(readers)] = round(pairs / (time.perf_counter() - begun), 2)
    torch.set_num_threads(threads)
    return found


def ratio(taken: dict[str, list[float]], fast: str, slow: str) -> float:
    """Return how much of the speed of one stream another has: the median over rounds."""
    return round(statistics.median(a / b for a, b in zip(taken[fast], taken[slow], strict=True)), 3)


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 4 updates of 8 pairs")
    parser.add_argument("--alone", action="store_true", help="train nothing")
    parser.add_argument("--preset", choices=[*PRESETS], default="tiny")
    parser.add_argument("--pairs", type=int, default=64, help="in the cache")
    parser.add_argument("--batch", type=int, default=16, help="pairs an update")
    parser.add_argument("--updates", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pairs, batch, updates, rounds = (
        (16, 8, 4, 2) if options.quick else (options.pairs, options.batch, options.updates, options.rounds)
    )
    config = replace(preset(options.preset), batch_size=batch, accumulate=1, steps=updates + 1, warmup_steps=0)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:  # of a disk: /tmp may be memory
        for _ in cache_phantoms(Path(name) / "cache", num_pairs=pairs, seed=TRAINING_SEED, frame=config.model.frame):
            pass
        alone = rates(Path(name), config)
        if options.alone:
            print_summary("train_input", {"preset": options.preset, "pairs_a_second_alone": alone}, {})
            return
        taken = measure(Path(name), config, rounds=rounds)
    cold_mb = taken.pop("cold_mb")
    figures: dict[str, Any] = {
        "preset": options.preset,
        "pairs_a_second_alone": alone,
        "pairs_an_update": batch,
        "updates_a_round": updates,
        "rounds": rounds,
        "pairs_a_second": {name: round(batch * updates / statistics.median(times), 2) for name, times in taken.items()},
        "cold_mb_a_round": round(statistics.median(cold_mb), 1),
        "reading_warm": ratio(taken, "arrays", "disk_warm"),
        "reading_cold": ratio(taken, "arrays", "disk_cold"),
        "input": ratio(taken, "tensors", "disk_warm"),
    }
    goals = {name: goal(figures[name], at_least=AT_LEAST) for name in ("reading_warm", "reading_cold", "input")}
    print_summary("train_input", figures, goals)


if __name__ == "__main__":
    main()
