"""The towers on a GPU in torch: what precision costs in accuracy, and what it and the batch bring in speed.

python -m bench.gpu [--quick] [--model glam|tiny]

Weights are seeded and random, with LayerScale at 1: at its usual 1e-5 the blocks hardly count and every precision would
look exact. The reference is fp32 on the CPU, of the same weights; ratios of speed are against fp32 on the GPU at batch
1, in the same run. Without a GPU it says so and measures nothing.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.report import goal, print_summary
from glam.config import ModelConfig, glam_paper, tiny
from glam.model.glam import Glam

MIN_COSINE = {"fp32": 0.99999, "tf32": 0.9999, "bf16": 0.999, "fp16": 0.999}
"""Of image embeddings against fp32 on the CPU, over all images: the bound that each precision is held to."""
BATCHES = (1, 8, 32)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Median time of one call, and the memory it took at most."""

    ms: float
    peak_mb: float


@contextmanager
def tf32() -> Iterator[None]:
    """Let fp32 matrix products use the tensor cores' 19-bit format."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


PRECISIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "fp32": nullcontext,
    "tf32": tf32,
    "bf16": lambda: torch.autocast("cuda", dtype=torch.bfloat16),
    "fp16": lambda: torch.autocast("cuda", dtype=torch.float16),
}


def random_model(config: ModelConfig) -> Glam:
    """Return a model of seeded random weights whose blocks all count."""
    torch.manual_seed(0)
    return Glam(replace(config, vision=replace(config.vision, layer_scale=1.0))).eval()


def images(count: int, size: int) -> Tensor:
    """Return soft blobs, no two alike: (count, 1, size, size) in [0, 1]."""
    coarse = torch.rand(count, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def worst_cosine(vectors: Tensor, reference: Tensor) -> float:
    """Return the least cosine of rows (n, dim)."""
    return float(torch.nn.functional.cosine_similarity(vectors.float().cpu(), reference, dim=-1).min())


def timed(call: Callable[[], object], *, rounds: int) -> Timing:
    """Call a few times to warm up, then measure."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return Timing(ms=statistics.median(times), peak_mb=torch.cuda.max_memory_allocated() / 2**20)


@torch.inference_mode()
def measure(config: ModelConfig, *, rounds: int) -> dict[str, dict[str, object]]:
    """Return the figures of each precision, and of the text tower and the alignment beside them."""
    model = random_model(config)
    views = images(max(BATCHES), config.vision.image_size)
    num_checked = 4
    features = model.vision(views[:num_checked])
    reference = model.embed_view(features)
    maps = model.align(features.patches[:2], features.patches[2:]).cc_to_mlo
    model = model.cuda()
    on_gpu = views.cuda()
    figures: dict[str, dict[str, object]] = {}
    for name, precision in PRECISIONS.items():
        with precision():
            features = model.vision(on_gpu[:num_checked])
            aligned = model.align(features.patches[:2], features.patches[2:]).cc_to_mlo
            timings = {
                batch: timed(lambda batch=batch: model.embed_view(model.vision(on_gpu[:batch])), rounds=rounds)
                for batch in BATCHES
            }
            figures[name] = {
                "worst_cosine": round(worst_cosine(model.embed_view(features), reference), 6),
                "attention_max_abs": round(float((aligned.float().cpu() - maps).abs().max()), 6),
                "ms_an_image": {str(batch): round(timing.ms / batch, 3) for batch, timing in timings.items()},
                "peak_mb": {str(batch): round(timing.peak_mb) for batch, timing in timings.items()},
            }
        sys.stderr.write(f"{name}: {figures[name]}\n")
    return figures


def goals_of(figures: dict[str, dict[str, object]]) -> dict[str, object]:
    """Hold each precision's accuracy against its bound."""
    return {
        f"{name}_cosine": goal(np.float64(figures[name]["worst_cosine"]).item(), at_least=bound)
        for name, bound in MIN_COSINE.items()
    }


def speedups(figures: dict[str, dict[str, object]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast as fp32 at batch 1 an image is, by precision and batch."""
    base = figures["fp32"]["ms_an_image"]["1"]  # type: ignore[index]
    return {
        name: {batch: round(base / ms, 2) for batch, ms in entry["ms_an_image"].items()}  # type: ignore[attr-defined]
        for name, entry in figures.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--model", choices=("glam", "tiny"), default="glam")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print_summary("gpu", {"not run": "no GPU here"}, {})
        return
    config = {"glam": glam_paper, "tiny": tiny}[options.model]()
    figures = measure(config, rounds=5 if options.quick else 30)
    device = torch.cuda.get_device_name()
    shown = {"device": device, "torch": torch.__version__, "model": options.model, "speedup": speedups(figures)}
    print_summary("gpu", shown | figures, goals_of(figures))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
