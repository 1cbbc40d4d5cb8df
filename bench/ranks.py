"""One update by one, two, four and eight processes of this machine (gloo): its loss, its gradients, what crosses.

python -m bench.ranks [--quick]

The model is a small one in float64, the update eight passes of two pairs; what is measured is that sharing it out
changes nothing, and how many bytes a process sends. It says nothing about speed: the processes share two cores.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.report import goal, print_summary
from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam_train.config import PretrainConfig
from glam_train.data.cache import describe_cache, read_cache
from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
from glam_train.data.vocabulary import report_vocabulary
from glam_train.presets.glam import tiny_preset
from glam_train.pretraining.run_folder import start_run
from tests.samples.ranks import ended, start_ranks

PASSES, PAIRS = 8, 2
FRAME = FrameConfig(size=56, kind="stretch")


def small_config() -> PretrainConfig:
    """Settings of an update of eight passes on a model of a few thousand weights."""
    model = ModelConfig(
        vision=VisionConfig(image_size=56, embed_dim=32, depth=2, num_heads=2, num_registers=1, layer_scale=1.0),
        text=TextConfig(vocab_size=400, hidden_dim=32, depth=2, num_heads=2, ffn_dim=64, max_positions=192),
        alignment=AlignmentConfig(side=4, pooling_heads=2, slice_heads=2),
        frame=FRAME,
        joint_dim=16,
    )
    return replace(tiny_preset(), model=model, batch_size=PAIRS, accumulate=PASSES, precision="fp32")


def updates(folder: Path, worlds: tuple[int, ...]) -> dict[int, dict[str, Any]]:
    """Loss and gradients of the same update, by number of processes."""
    for _ in cache_phantoms(folder / "cache", num_pairs=PASSES * PAIRS, seed=TRAINING_SEED, frame=FRAME):
        pass
    cache = read_cache(folder / "cache")
    words = report_vocabulary(cache.records, style="glam")
    config = small_config()
    text = replace(config.model.text, vocab_size=words.vocab_size)
    config = replace(config, model=replace(config.model, text=text))
    start_run(folder / "run", config, data=describe_cache(cache), tokenizer=words)
    for world in worlds:
        ended(start_ranks("gradient", folder / "run", folder / "cache", world=world))
    return {world: torch.load(folder / "run" / f"gradient-{world}.pt") for world in worlds}


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Largest difference of a gradient, as a share of the largest number in it."""
    scales = {name: float(gradient.abs().max()) or 1.0 for name, gradient in expected.items()}
    return max(float((found[name] - expected[name]).abs().max()) / scales[name] for name in expected)


def main() -> None:
    """Run the updates and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one and two processes")
    worlds = (1, 2) if parser.parse_args().quick else (1, 2, 4, 8)
    with tempfile.TemporaryDirectory() as name:
        told = updates(Path(name), worlds)
    alone = told[1]
    differences = {world: largest_difference(told[world]["gradients"], alone["gradients"]) for world in worlds[1:]}
    losses = {world: abs(told[world]["total"] / alone["total"] - 1) for world in worlds[1:]}
    weights = sum(gradient.numel() for gradient in alone["gradients"].values())
    figures = {
        "weights": weights,
        "loss": alone["total"],
        "loss_differs_by": {str(world): value for world, value in losses.items()},
        "gradient_differs_by": {str(world): value for world, value in differences.items()},
    }
    goals = {
        "loss": goal(max(losses.values()), at_most=1e-6),
        "gradients": goal(max(differences.values()), at_most=1e-6),
    }
    print_summary("ranks", figures, goals)


if __name__ == "__main__":
    main()
