"""What a training step costs: CPU seconds and memory of forward and backward, against the released recipe.

python -m bench.train_step [--rounds 2] [--quick]

The work is that of `glam-official` on ViT-B/14 with registers at 518 px and six layers of BERT, four pairs, fp32, two
threads, without dropout, so that all ways give the same loss, which is checked. `vision` is the tower alone, on the
eight images. The released recipe is `bench.baselines.released_step`. Each way runs in a process of its own, in turns;
the least CPU seconds of each count, for other work on the machine only adds. Memory is the peak above what the process
held before the step.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.baselines.released_step import released_model
from bench.report import goal, print_summary
from glam.config import ModelConfig, tiny
from glam.config import glam_official as official_model
from glam.model.glam import Glam
from glam_train.data.batches import Batch
from glam_train.methods import build_method
from glam_train.methods.method import Learner
from glam_train.presets.glam import glam_official_preset
from tests.samples.own_memory import forget_peak, peak_bytes

WAYS = ("released", "ours", "ours_recomputed")
PARTS = ("vision", "whole")
PAIRS, THREADS = 4, 2
TOLERANCE = 1e-4
"""Largest relative difference between the losses of two ways."""
VISION_GOAL, WHOLE_GOAL, MEMORY_GOAL = 1.9, 1.7, 0.5
BF16 = "ours_bf16"
BF16_FLAGS = ("avx512_bf16", "amx_bf16")
Figures = dict[str, float]


def model_of(way: str, config: ModelConfig) -> Glam:
    """Return the seeded model, made ready for a way to compute a step."""
    torch.manual_seed(0)
    model = Glam(config).train()
    if way == "released":
        return released_model(model)
    if way == "ours_recomputed":
        model.vision.checkpoint_gradients()
        model.text.checkpoint_gradients()
    return model


def random_batch(config: ModelConfig, *, pairs: int = PAIRS) -> Batch:
    """Return seeded grey noise and random words in the shapes of a pass."""
    torch.manual_seed(1)
    side, length = config.vision.image_size, config.text.max_tokens
    return Batch(
        view=torch.rand(pairs, 1, side, side),
        other_view=torch.rand(pairs, 1, side, side),
        token_ids=torch.randint(5, config.text.vocab_size, (pairs, length)),
        mask=torch.ones(pairs, length, dtype=torch.int64),
        points=torch.zeros(pairs, 0, 2, 2),
        place_kinds=torch.zeros(pairs, 0, dtype=torch.int64),
        sentence_ends=torch.zeros(pairs, length, dtype=torch.bool),
    )


def vision_loss(model: Glam, batch: Batch) -> Callable[[], Tensor]:
    """Return the vision tower's part of a step, reduced to a number by seeded weights."""
    torch.manual_seed(2)
    direction = torch.randn(model.vision.dim)

    def loss() -> Tensor:
        features = model.view_features(batch.view, batch.other_view)
        return torch.stack(
            [(view.cls @ direction).mean() + (view.patches @ direction).mean() for view in features]
        ).sum()

    return loss


def whole_loss(model: Glam, batch: Batch) -> Callable[[], Tensor]:
    """Return the loss of a step of glam-official."""
    config = replace(glam_official_preset(), model=model.config)
    learner = Learner(model, build_method(config, model)).train()
    return lambda: learner.method.terms(learner.method.features(model, batch), model.scales(), 0)["total"]


def measure(way: str, part: str, config: ModelConfig) -> Figures:
    """Make one step of a way, after the memory of an empty one is known."""
    torch.set_num_threads(THREADS)
    model, batch = model_of(way, config), random_batch(config)
    loss = {"vision": vision_loss, "whole": whole_loss}[part](model, batch)
    before, start = forget_peak(), time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=way == BF16):
        value = loss()
    value.backward()
    seconds = time.process_time() - start
    return {"loss": value.item(), "cpu_s": seconds, "peak_gib": (peak_bytes() - before) / 2**30}


def in_own_process(way: str, part: str, *, quick: bool) -> Figures:
    """Run `measure` in a process of its own."""
    command = [sys.executable, "-m", "bench.train_step", "--only", way, part, *(["--quick"] if quick else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def best_of(rounds: list[Figures]) -> Figures:
    """Return the least CPU seconds and the least peak, and the loss, which is the same in all."""
    return {name: round(min(figures[name] for figures in rounds), 4) for name in rounds[0]}


def compared(figures: dict[str, Figures]) -> dict[str, float]:
    """Return how many times cheaper ours is than the released recipe, and its share of the memory."""
    released, ours, recomputed = (figures[way] for way in WAYS)
    for way in WAYS:
        if abs(figures[way]["loss"] - released["loss"]) > TOLERANCE * abs(released["loss"]):
            raise SystemExit(f"{way} does other work: loss {figures[way]['loss']}, released {released['loss']}")
    return {
        "times_cheaper": round(released["cpu_s"] / ours["cpu_s"], 2),
        "memory": round(ours["peak_gib"] / released["peak_gib"], 2),
        "times_cheaper_recomputed": round(released["cpu_s"] / recomputed["cpu_s"], 2),
        "memory_recomputed": round(recomputed["peak_gib"] / released["peak_gib"], 2),
        "memory_recomputed_to_kept": round(recomputed["peak_gib"] / ours["peak_gib"], 2),
    }


def bf16_figures(best: dict[str, dict[str, Figures]], *, quick: bool) -> dict[str, Any]:
    """Return how many times cheaper than in fp32 a step of ours is in bf16, where the processor multiplies in it."""
    if not set(BF16_FLAGS) & set(Path("/proc/cpuinfo").read_text().split()):
        return {"not run": "this processor has no bf16"}
    steps = {part: in_own_process(BF16, part, quick=quick) for part in PARTS}
    return {part: round(best[part]["ours"]["cpu_s"] / steps[part]["cpu_s"], 2) for part in PARTS}


def main() -> None:
    """Measure in turns, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="the tiny model")
    parser.add_argument("--only", nargs=2, metavar=("WAY", "PART"), help="one step, in this process")
    options = parser.parse_args()
    if options.only:
        way, part = options.only
        config = replace(tiny(), max_scale=None) if options.quick else without_dropout(official_model())
        print(json.dumps(measure(way, part, config)))
        return
    figures: dict[str, Any] = {}
    for part in PARTS:
        runs: dict[str, list[Figures]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                runs[way].append(in_own_process(way, part, quick=options.quick))
                sys.stderr.write(f"{part} {way}: {runs[way][-1]}\n")
        ways = {way: best_of(rounds) for way, rounds in runs.items()}
        figures[part] = ways | {"released to ours": compared(ways)}
    bf16 = bf16_figures(figures, quick=options.quick)
    vision, whole = (figures[part]["released to ours"] for part in PARTS)
    goals = {
        "vision_times_cheaper": goal(vision["times_cheaper"], at_least=VISION_GOAL),
        "whole_times_cheaper": goal(whole["times_cheaper"], at_least=WHOLE_GOAL),
        "whole_memory": goal(whole["memory"], at_most=1.0),
        "whole_memory_recomputed": goal(whole["memory_recomputed"], at_most=MEMORY_GOAL),
    }
    print_summary("train_step", figures | {"bf16": bf16}, goals)


def without_dropout(config: ModelConfig) -> ModelConfig:
    """Return the model without dropout, which each way would draw otherwise."""
    return replace(config, text=replace(config.text, dropout=0.0))


if __name__ == "__main__":
    main()
