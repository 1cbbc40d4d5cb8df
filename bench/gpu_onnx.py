"""ONNX Runtime on a GPU at the paper's size: what each graph is from the CPU's numbers, and what it costs.

python -m bench.gpu_onnx [--quick] [--size paper|tiny] [--provider CUDAExecutionProvider]

`options` are of the provider, each alone, on the portable vision graph: the first call of a batch size that was not
seen before, the time and the memory of an image, and how far embeddings are from the CPU's. `engines` are whole
bundles' graphs with the options that `glam.providers` gives, and torch in float32 on the same GPU, whose images at the
same batch their times are divided into. Weights are seeded and random, with LayerScale at 1, so that the blocks count;
the reference is ONNX Runtime in float32 on the CPU. Without the provider it says so and measures nothing.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from glam.config import ModelConfig, glam_paper, tiny
from glam.providers import CPU, CUDA, CUDA_OPTIONS
from glam.runtime import OnnxRuntime, Runtime, onnx_session, switch_telemetry_off

BATCHES = (1, 8, 32)
VARIANTS = ("portable", "fused", "fp16", "bf16")
OPTIONS: dict[str, dict[str, str]] = {
    "as_the_provider_comes": {},
    "use_tf32=0": {"use_tf32": "0"},
    "cudnn_conv_algo_search=HEURISTIC": {"cudnn_conv_algo_search": "HEURISTIC"},
    "arena_extend_strategy=kSameAsRequested": {"arena_extend_strategy": "kSameAsRequested"},
    "as_served": CUDA_OPTIONS,
}
CONFIGS: dict[str, Callable[[], ModelConfig]] = {"paper": glam_paper, "tiny": tiny}


def small_text(config: ModelConfig) -> ModelConfig:
    """Return a model whose blocks count and whose text tower is small, for its speed is not measured."""
    vision = replace(config.vision, layer_scale=1.0)
    return replace(config, vision=vision, text=replace(config.text, depth=1, vocab_size=100))


def write_graphs(folder: Path, config: ModelConfig) -> Any:
    """Write the graphs of a seeded random model, with every variant of VARIANTS, and return the model."""
    import onnx
    import torch

    from glam.model.glam import Glam
    from glam_export.fused import fused
    from glam_export.half import in_half
    from glam_export.onnx import graphs, save_graph, vision_graph, write_graph

    torch.manual_seed(0)
    model = Glam(config).eval()
    for name in VARIANTS[1:]:
        (folder / "variants" / name).mkdir(parents=True)
    for graph in graphs(model):
        proto = onnx.load(write_graph(graph, folder))
        for half in ("fp16", "bf16"):
            save_graph(in_half(proto, half), folder / "variants" / half / graph.name)
    fused_model = fused(model)
    assert fused_model is not None, "a tower of these sizes can be fused"
    write_graph(vision_graph(fused_model), folder / "variants" / "fused")
    return model


def gpu_memory_mb() -> int | None:
    """Return what is taken of the first GPU's memory, by whomever; None without nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(told.split()[0])


def grown_mb(before: int | None) -> int | None:
    """Return what the GPU's memory has grown by."""
    after = gpu_memory_mb()
    return None if before is None or after is None else after - before


def image_ms(embed: Callable[[np.ndarray], object], images: np.ndarray, *, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of the first call with this batch, and of an image in the median of those after it."""
    start = time.perf_counter()
    embed(images)
    first_ms = 1000 * (time.perf_counter() - start)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        embed(images)
        times.append(1000 * (time.perf_counter() - start))
    return first_ms, statistics.median(times) / len(images)


def batch_figures(embed: Callable[[np.ndarray], object], images: np.ndarray, *, rounds: int) -> dict[str, Any]:
    """Return the first call and the median image of every batch size, and the memory that they took."""
    before = gpu_memory_mb()
    measured = {str(batch): image_ms(embed, images[:batch], rounds=rounds) for batch in BATCHES}
    return {
        "first_call_ms": {batch: round(first) for batch, (first, _) in measured.items()},
        "image_ms": {batch: round(each, 3) for batch, (_, each) in measured.items()},
        "memory_mb": grown_mb(before),
    }


def option_figures(
    folder: Path, provider: str, images: np.ndarray, expected: np.ndarray, *, rounds: int
) -> dict[str, Any]:
    """Return what each of the provider's options costs and brings, on the portable vision graph."""
    switch_telemetry_off()
    import onnxruntime

    from glam_export.parity import min_cosine

    figures = {}
    for name, options in OPTIONS.items():
        chosen = [(provider, options if provider == CUDA else {})]
        session = onnxruntime.InferenceSession(folder / "vision.onnx", providers=chosen)

        def embed(batch: np.ndarray, session: Any = session) -> np.ndarray:
            return session.run(["image_embedding"], {"image": batch})[0]

        figures[name] = batch_figures(embed, images, rounds=rounds)
        few = embed(images[: len(expected)])
        figures[name]["worst_cosine"] = round(min_cosine(few, expected), 7)
        figures[name]["embedding_max_abs"] = float(f"{np.abs(few - expected).max():.2g}")
        del session, embed
    return figures


def engine_figures(
    engines: dict[str, Callable[[], Runtime]],
    expected: Runtime,
    config: ModelConfig,
    images: np.ndarray,
    *,
    rounds: int,
) -> dict[str, Any]:
    """Return agreement with `expected` and cost of each engine; times are divided into those of the first."""
    from glam_export.parity import compare_runtimes

    figures: dict[str, dict[str, Any]] = {}
    for name, opened in engines.items():
        before = gpu_memory_mb()
        start = time.perf_counter()
        engine = opened()
        opened_s = time.perf_counter() - start
        figures[name] = {"open_s": round(opened_s, 2)} | batch_figures(engine.vision, images, rounds=rounds)
        figures[name]["memory_mb"] = grown_mb(before)
        figures[name] |= {
            key: float(f"{value:.7g}") for key, value in asdict(compare_runtimes(expected, engine, config)).items()
        }
        del engine
    base = next(iter(figures.values()))["image_ms"]
    for entry in figures.values():
        entry["times_as_fast"] = {batch: round(base[batch] / ms, 2) for batch, ms in entry["image_ms"].items()}
    return figures


def measured(folder: Path, config: ModelConfig, provider: str, *, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of the options and of the engines."""
    import torch

    from glam.model.torch_runtime import TorchRuntime
    from glam_export.parity import seeded_images

    model = write_graphs(folder, config)
    images = seeded_images(np.random.default_rng(0), max(BATCHES), config.vision.image_size)
    reference = OnnxRuntime(folder)
    options = option_figures(folder, provider, images, reference.vision(images[:4]).embedding, rounds=rounds)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    engines: dict[str, Callable[[], Runtime]] = {"torch": lambda: TorchRuntime(model.to(device))}
    for name in VARIANTS:
        if not (name == "bf16" and provider == CPU):  # which multiplies no such matrices
            variant = None if name == "portable" else name
            engines[name] = lambda variant=variant: OnnxRuntime(folder, variant=variant, provider=provider)
    return options, engine_figures(engines, reference, config, images, rounds=rounds)


def goals_of(engines: dict[str, Any]) -> dict[str, Any]:
    """Hold each engine's agreement with the CPU against the tolerance that its variant is kept by."""
    from glam_export.parity import EXACT
    from glam_export.quantise import RECIPES

    tolerances = dict.fromkeys(("torch", "portable", "fused"), EXACT)
    tolerances |= {name: RECIPES[name].tolerance for name in ("fp16", "bf16")}
    goals = {}
    for name, entry in engines.items():
        bound = tolerances[name]
        goals[f"{name}_image_cosine"] = goal(entry["image_cosine"], at_least=bound.min_cosine)
        goals[f"{name}_text_cosine"] = goal(entry["text_cosine"], at_least=bound.min_cosine)
        goals[f"{name}_patches"] = goal(entry["patches_max_abs"], at_most=bound.max_patch_error)
        goals[f"{name}_attention"] = goal(entry["attention_max_abs"], at_most=bound.max_attention_error)
    return goals


def versions() -> dict[str, str]:
    """Return what was measured, and on which GPU."""
    switch_telemetry_off()
    import onnxruntime
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"gpu": gpu, "onnxruntime": onnxruntime.__version__, "torch": torch.__version__}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--size", choices=list(CONFIGS), default="paper")
    parser.add_argument("--provider", default=CUDA)
    arguments = parser.parse_args()
    config = small_text(CONFIGS[arguments.size]())
    with tempfile.TemporaryDirectory(prefix="glam-gpu-") as name:
        if reason := missing(arguments.provider):
            print_summary("gpu_onnx", {"not run": reason}, {})
            return
        rounds = 3 if arguments.quick else 20
        options, engines = measured(Path(name), config, arguments.provider, rounds=rounds)
    shown = versions() | {"size": arguments.size, "provider": arguments.provider}
    print_summary("gpu_onnx", shown | {"options": options, "engines": engines}, goals_of(engines))


def missing(provider: str) -> str | None:
    """Return why nothing can be measured here; None: it can."""
    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "probe", value[:1], value[1:])
    with tempfile.TemporaryDirectory(prefix="glam-probe-") as folder:
        path = Path(folder) / "probe.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        try:
            onnx_session(path, provider=provider)
        except ValueError as error:
            return str(error)
    return None


if __name__ == "__main__":
    main()
