"""One update by one, two, four and eight processes of this machine (gloo): its loss, its gradients, what crosses.

python -m bench.ranks [--quick] [--worlds 1 8]

The model is a small one in float64 with dropout, the update eight passes of two pairs; what is measured is that sharing
it out changes nothing, and how many bytes a process hands over, beside the number that follows from shapes alone. Then
a run of three updates by most processes, which is stopped after the first and resumed, beside that of one process. It
says nothing about speed: the processes share the cores of one machine.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.report import goal, print_summary
from bench.traffic import bytes_a_pair
from glam_train.config import PretrainConfig
from glam_train.data.cache import describe_cache, read_cache
from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.run_folder import start_run
from tests.samples.ranks import ended, start_ranks
from tests.samples.trainings import FRAME, small_config

PASSES, PAIRS, STEPS = 8, 2, 3
SHAPE_BYTES = 8
"""A dimension of a shape, which crosses before what has it."""


def prepared_run(folder: Path) -> PretrainConfig:
    """Begin a run of an update of eight passes on phantoms; return its settings."""
    for _ in cache_phantoms(folder / "cache", num_pairs=PASSES * PAIRS, seed=TRAINING_SEED, frame=FRAME):
        pass
    cache = read_cache(folder / "cache")
    words = report_vocabulary(cache.records, style="glam")
    config = small_config(batch_size=PAIRS, accumulate=PASSES, steps=STEPS, warmup_steps=0)
    text = replace(config.model.text, vocab_size=words.vocab_size)
    config = replace(config, model=replace(config.model, text=text))
    start_run(folder / "run", config, data=describe_cache(cache), tokenizer=words)
    return config


def updates(folder: Path, worlds: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Loss, gradients and bytes of the same update, by number of processes."""
    for world in worlds:
        ended(start_ranks("gradient", folder / "run", folder / "cache", world=world))
    return {world: torch.load(folder / "run" / f"gradient-{world}.pt") for world in worlds}


def expected_bytes(folder: Path, config: PretrainConfig, weights: int, world: int) -> dict[str, int]:
    """Bytes that one of several processes hands over, from the shapes of features and weights, in float64."""
    pair = bytes_a_pair(config, read_cache(folder / "cache"), double=True)
    shapes = sum(feature.dims for feature in pair.values()) * SHAPE_BYTES
    own = config.pairs_per_update // world * sum(feature.bytes_a_pair for feature in pair.values())
    return {"gathered": own + shapes, "summed": weights * torch.float64.itemsize}


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Largest difference of a gradient, as a share of the largest number in it."""
    scales = {name: float(gradient.abs().max()) or 1.0 for name, gradient in expected.items()}
    return max(float((found[name] - expected[name]).abs().max()) / scales[name] for name in expected)


def losses_of_runs(folder: Path, world: int) -> dict[str, list[float]]:
    """Total losses in the metrics of a run by one process, and of one by several that was stopped and resumed."""
    alone, shared = folder / "alone", folder / "shared"
    for place in (alone, shared):
        shutil.copytree(folder / "run", place)
    ended(start_ranks("run", alone, folder / "cache", world=1))
    ended(start_ranks("run", shared, folder / "cache", world=world, options="stop"))
    ended(start_ranks("run", shared, folder / "cache", world=world))
    runs = {"1": alone, str(world): shared}
    return {
        name: [json.loads(line)["total"] for line in (place / "metrics.jsonl").read_text().splitlines()]
        for name, place in runs.items()
    }


def main() -> None:
    """Run the updates and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one and two processes")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of processes, 1 first")
    options = parser.parse_args()
    worlds = [1, 2] if options.quick else options.worlds
    with tempfile.TemporaryDirectory() as name:
        config = prepared_run(Path(name))
        told = updates(Path(name), worlds)
        alone = told[1]
        weights = sum(gradient.numel() for gradient in alone["gradients"].values())
        expected = {world: expected_bytes(Path(name), config, weights, world) for world in worlds[1:]}
        runs = losses_of_runs(Path(name), worlds[-1])
    differences = {world: largest_difference(told[world]["gradients"], alone["gradients"]) for world in worlds[1:]}
    losses = {world: abs(told[world]["total"] / alone["total"] - 1) for world in worlds[1:]}
    off = [abs(told[world]["bytes"][what] - count) for world in expected for what, count in expected[world].items()]
    figures = {
        "weights": weights,
        "loss": alone["total"],
        "loss_differs_by": {str(world): value for world, value in losses.items()},
        "gradient_differs_by": {str(world): value for world, value in differences.items()},
        "losses_of_runs": runs,
        "bytes_handed_over": {str(world): told[world]["bytes"] for world in worlds},
    }
    one, several = runs.values()
    apart = max(abs(a / b - 1) for a, b in zip(several, one, strict=True))
    goals = {
        "loss": goal(max(losses.values()), at_most=1e-6),
        "gradients": goal(max(differences.values()), at_most=1e-6),
        "losses_of_runs_in_fp32": goal(apart, at_most=1e-4),
        "bytes_off_the_arithmetic": goal(max(off), at_most=0),
    }
    print_summary("ranks", figures, goals)


if __name__ == "__main__":
    main()
