"""The vision tower at the paper's size (ViT-B at 518) on a CPU: ONNX Runtime's graphs against torch, as ratios.

python -m bench.engines --quick
python -m bench.engines

Weights are seeded and random, with LayerScale at 1: at its usual 1e-5 the blocks hardly count and every graph would
look exact. torch runs eagerly in float32, its weights read from safetensors into a model made without memory. Each
engine runs in a process of its own, in rounds; the ratios are medians over the rounds. A first answer is timed from the
start of its process. Cosines are of seeded images; what int8 does to real mammograms `glam-export quantise` measures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.report import goal, print_summary
from glam.config import ModelConfig, glam_paper, tiny
from tests.samples.own_memory import peak_bytes

if TYPE_CHECKING:  # no process that measures ONNX Runtime imports torch
    from glam.model.glam import Glam

ENGINES = ("torch", "portable", "fused", "int8")
MEASURES = ("first_answer_s", "image_ms", "image_cpu_ms", "peak_mb")
NUM_IMAGES = 4
CONFIGS: dict[str, Callable[[], ModelConfig]] = {"paper": glam_paper, "tiny": tiny}
Figures = dict[str, float]


def config_of(size: str) -> ModelConfig:
    """Return a model whose vision tower is of a size; its text tower is small, for none runs here."""
    config = CONFIGS[size]()
    vision = replace(config.vision, layer_scale=1.0)
    return replace(config, vision=vision, text=replace(config.text, depth=1, vocab_size=100))


def write_towers(folder: Path, size: str) -> None:
    """Write images, the tower's weights, and its graphs: portable, fused, and int8 made of the fused one."""
    import onnx
    import torch
    from safetensors.torch import save_model

    from glam_export.fused import fused
    from glam_export.int8 import write_int8
    from glam_export.onnx import save_graph, vision_graph, write_graph
    from glam_export.parity import seeded_images

    images = seeded_images(np.random.default_rng(0), NUM_IMAGES, config_of(size).vision.image_size)
    np.save(folder / "images.npy", images)
    torch.manual_seed(0)
    model = _model(size).eval()
    save_model(model, str(folder / "weights.safetensors"))
    fused_model = fused(model)
    assert fused_model is not None, "a tower of these sizes can be fused"
    for name, tower in (("portable", model), ("fused", fused_model)):
        (folder / name).mkdir()
        write_graph(vision_graph(tower), folder / name)
    (folder / "int8").mkdir()
    path = folder / "int8" / "vision.onnx"
    write_int8(folder / "fused" / "vision.onnx", path, scratch=folder)
    save_graph(onnx.load(path), path)


def _model(size: str) -> "Glam":
    from glam.model.glam import Glam

    return Glam(config_of(size))


def opened(engine: str, folder: Path, size: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what embeds images (n, 1, S, S) by an engine."""
    if engine == "torch":
        return _opened_torch(folder, size, threads)
    from glam.runtime import onnx_session

    session = onnx_session(folder / engine / "vision.onnx", threads=threads)
    return lambda images: session.run(["image_embedding"], {"image": images})[0]


def _opened_torch(folder: Path, size: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    with torch.device("meta"):
        model = _model(size)
    model.load_state_dict(load_file(folder / "weights.safetensors"), strict=False, assign=True)
    model.eval()

    @torch.inference_mode()
    def embed(images: np.ndarray) -> np.ndarray:
        return model.embed_view(model.vision(torch.from_numpy(images))).numpy()

    return embed


def measure(engine: str, folder: Path, *, size: str, threads: int, runs: int, started: float) -> Figures:
    """Return what an engine costs, in this process, and write its embeddings; `started`: when the process began."""
    images = np.load(folder / "images.npy")
    embed = opened(engine, folder, size, threads)
    embed(images[:1])
    first_answer_s, before = time.time() - started, time.process_time()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        embed(images[:1])
        times.append(1000 * (time.perf_counter() - start))
    image_cpu_ms = 1000 * (time.process_time() - before) / runs
    np.save(folder / f"{engine}.npy", np.concatenate([embed(images[index : index + 1]) for index in range(NUM_IMAGES)]))
    return {
        "first_answer_s": first_answer_s,
        "image_ms": statistics.median(times),
        "image_cpu_ms": image_cpu_ms,
        "peak_mb": peak_bytes() / 2**20,
    }


def in_process(engine: str, folder: Path, arguments: argparse.Namespace) -> Figures:
    """Return what a new process measures."""
    command = [sys.executable, "-m", "bench.engines", "--measure", engine, "--folder", str(folder)]
    command += ["--size", arguments.size, "--threads", str(arguments.threads), "--runs", str(arguments.runs)]
    command += ["--started", repr(time.time())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, Figures]:
    """Return torch's measures; of each graph its ratios to those of the same round, torch over graph for times."""
    rounds = [{engine: in_process(engine, folder, arguments) for engine in ENGINES} for _ in range(arguments.rounds)]
    own = {name: round(statistics.median(each["torch"][name] for each in rounds), 3) for name in MEASURES}
    expected = np.load(folder / "torch.npy")
    rows = {"torch": own}
    for engine in ENGINES[1:]:
        ratios = [{name: each[engine][name] / each["torch"][name] for name in MEASURES} for each in rounds]
        medians = {name: statistics.median(ratio[name] for ratio in ratios) for name in MEASURES}
        rows[engine] = {
            "times_as_fast": round(1 / medians["image_ms"], 2),
            "times_as_fast_cpu": round(1 / medians["image_cpu_ms"], 2),
            "first_answer_of_torch": round(medians["first_answer_s"], 2),
            "memory_of_torch": round(medians["peak_mb"], 2),
            "worst_cosine": round(_worst_cosine(np.load(folder / f"{engine}.npy"), expected), 6),
        }
    return rows


def _worst_cosine(embeddings: np.ndarray, expected: np.ndarray) -> float:
    from glam_export.parity import min_cosine

    return min_cosine(embeddings, expected)


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(CONFIGS), default="paper")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one round, two runs")
    for name in ("--measure", "--folder", "--started"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.runs = 1, 2
    return arguments


def main() -> None:
    """Print the summary; in a process of its own, what `--measure` names."""
    arguments = parsed()
    if arguments.measure:
        how = {"size": arguments.size, "threads": arguments.threads, "runs": arguments.runs}
        print(json.dumps(measure(arguments.measure, Path(arguments.folder), started=float(arguments.started), **how)))
        return
    with tempfile.TemporaryDirectory(prefix="glam-engines-") as folder:
        write_towers(Path(folder), arguments.size)
        rows = compare(Path(folder), arguments)
    goals = {
        "fused_times_as_fast": goal(rows["fused"]["times_as_fast"], at_least=1.9),
        "fused_memory": goal(rows["fused"]["memory_of_torch"], at_most=0.6),
        "fused_first_answer": goal(rows["fused"]["first_answer_of_torch"], at_most=0.4),
        "int8_times_as_fast": goal(rows["int8"]["times_as_fast"], at_least=3.5),
    }
    conditions = {"size": arguments.size, "threads": arguments.threads, "rounds": arguments.rounds}
    print_summary("engines", rows | conditions, goals)


if __name__ == "__main__":
    main()
