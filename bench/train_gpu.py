"""How fast a GPU trains `glam` at 518 px: images a second, the share of its matmul rate, memory by batch size.

python -m bench.train_gpu [--preset glam] [--batches 4 8 16 36 72] [--no-compile] [--checkpointing]
python -m bench.train_gpu --preset tiny --device cpu --batches 2 4 --no-compile     # that the script runs

An update is one pass of the loop itself: features, losses, backward pass, clipping, optimizer, in the precision of the
preset, on random images and words that are on the device. Utilisation is the operations of forward and backward, as
torch counts them on one pass, a second, of what a matrix product of 8192 x 8192 reaches in bf16 in the same run. Batch
sizes rise until the device has no memory. Without a GPU it says so, and measures nothing.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.report import goal, print_summary
from bench.train_step import random_batch
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.presets import PRESETS
from glam_train.pretraining.errors import RunError
from glam_train.pretraining.loop import forward_of, loss_of, update
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import TrainingState, state_of

SIDE = 8192
"""Rows and columns of the product that the device's rate is measured by."""
WARM_UP, UPDATES = 3, 10
UTILISATION_GOAL = 0.45


def matmul_rate(device: str, *, side: int = SIDE) -> float:
    """Return the operations a second of a square product in bf16; the fastest of ten counts."""
    left = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    seconds = [seconds_of(lambda: left @ left, device) for _ in range(10)]
    return 2 * side**3 / min(seconds)


def seconds_of(call: Any, device: str) -> float:
    """Return the seconds of a call, to the end of its work on the device."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def towers_made_ready(state: TrainingState, *, compile: bool, checkpointing: bool) -> TrainingState:
    """Have the towers compiled, and computed twice, where that is asked for; return the state."""
    for tower in (state.learner.model.vision, state.learner.model.text):
        if checkpointing:
            tower.checkpoint_gradients()
        if compile:
            tower.compile()
    return state


def operations(state: TrainingState, batch: Batch, config: PretrainConfig) -> int:
    """Return the operations of one forward and backward pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        features, scales = forward_of(state.learner, config, 0)(batch, 0)
        loss_of(state.learner, 0)(features, scales)["total"].backward()
    state.optimizer.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def measure(config: PretrainConfig, *, pairs: int, device: str, compile: bool, checkpointing: bool) -> dict[str, Any]:
    """Return the figures of updates of so many pairs; RunError where the device has no memory for them."""
    config = replace(config, batch_size=pairs, accumulate=1)
    batch = Batch(*(tensor.to(device) for tensor in random_batch(config.model, pairs=pairs)))
    state = state_of(starting_model(config, None), config, device=device)
    counted = operations(state, Batch(*(tensor[:2] for tensor in batch)), config) * pairs / 2
    towers_made_ready(state, compile=compile, checkpointing=checkpointing)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    for step in range(WARM_UP):
        update(state, [batch], config, step)
    seconds = [seconds_of(lambda step=step: update(state, [batch], config, step), device) for step in range(UPDATES)]
    median = statistics.median(seconds)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else None
    return {
        "s_an_update": round(median, 4),
        "images_a_second": round(2 * pairs / median, 1),
        "operations_a_second": counted / median,
        "peak_gib": None if peak is None else round(peak, 2),
    }


def by_batch(config: PretrainConfig, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the figures of each batch size, up to the first that the device has no memory for."""
    figures: dict[str, dict[str, Any]] = {}
    for pairs in options.batches:
        try:
            entry = measure(
                config,
                pairs=pairs,
                device=options.device,
                compile=not options.no_compile,
                checkpointing=options.checkpointing,
            )
        except (RunError, torch.OutOfMemoryError):
            figures[str(pairs)] = {"no memory": True}
            break
        sys.stderr.write(f"{pairs} pairs: {entry}\n")
        figures[str(pairs)] = entry
    return figures


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="glam", choices=sorted(PRESETS))
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 16, 36, 72], help="pairs a pass")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="compute what is inside the towers twice")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print_summary("train_gpu", {"not run": "no GPU here"}, {})
        return
    rate = matmul_rate(options.device, side=SIDE if options.device.startswith("cuda") else 512)
    figures = by_batch(PRESETS[options.preset](), options)
    shares = {name: entry["operations_a_second"] / rate for name, entry in figures.items() if len(entry) > 1}
    for name, share in shares.items():
        figures[name]["utilisation"] = round(share, 3)
        figures[name].pop("operations_a_second")
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu"
    shown = {"device": device, "torch": torch.__version__, "matmul_tflops": round(rate / 1e12, 2), "pairs": figures}
    best = round(max(shares.values()), 3) if shares else None
    print_summary("train_gpu", shown, {"utilisation": goal(best, at_least=UTILISATION_GOAL)})


if __name__ == "__main__":
    main()
