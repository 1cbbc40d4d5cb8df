"""Runs of `glam-train pretrain` as processes: tiny ones on phantoms, to be stopped, killed and compared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam_train.config import PretrainConfig
from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
from glam_train.presets.glam import tiny_preset
from glam_train.pretraining.run_folder import checkpoints
from tests.samples.warm_training import Life

ROOT = Path(__file__).parents[2]
FRAME = FrameConfig(size=56, kind="stretch")
PROGRAM = (sys.executable, "-c", "import sys; from glam_train.cli import main; sys.exit(main())")
"""`glam-train`, of this environment and of these sources."""
LOOK_S = 0.001
"""Time between two looks at a folder in which something is about to happen."""


def small_config(**changes: Any) -> PretrainConfig:
    """Settings of `tiny` on a model of a few thousand weights, in fp32; with dropout, which depends on the seed."""
    model = ModelConfig(
        vision=VisionConfig(image_size=56, embed_dim=32, depth=2, num_heads=2, num_registers=1, layer_scale=1.0),
        text=TextConfig(
            vocab_size=400,
            hidden_dim=32,
            depth=2,
            num_heads=2,
            ffn_dim=64,
            max_positions=192,
            max_tokens=192,
            dropout=0.1,
        ),
        alignment=AlignmentConfig(side=4, pooling_heads=2, slice_heads=2),
        frame=FRAME,
        joint_dim=16,
    )
    return replace(tiny_preset(), **{"model": model, "precision": "fp32"} | changes)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A cache of phantoms, and the settings of a run on it."""

    cache: Path
    settings: Path

    def command(self, out: Path, *options: str) -> list[str]:
        """The command that begins the run in a folder, or goes on with it."""
        return [*PROGRAM, *self.arguments(out, *options)]

    def arguments(self, out: Path, *options: str) -> list[str]:
        """The arguments of that command."""
        words = ["pretrain", "--cache", self.cache, "--preset", "tiny", "--config", self.settings, "--out", out]
        return [*map(str, words), "--device", "cpu", "--resume", *options]


def small_training(folder: Path, *, pairs: int = 8, **changes: Any) -> Training:
    """Draw phantoms, and write the settings of a run of them."""
    for _ in cache_phantoms(folder / "cache", num_pairs=pairs, seed=TRAINING_SEED, frame=FRAME):
        pass
    config = small_config(**{"batch_size": 4, "accumulate": 1, "warmup_steps": 0} | changes)
    (folder / "settings.json").write_text(json.dumps(config.as_json()))
    return Training(cache=folder / "cache", settings=folder / "settings.json")


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command on one thread, in a session of its own; it heeds Ctrl-C although those of a script do not."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run_to_end(command: Sequence[str]) -> str:
    """Run a command to its end and return what it said on stderr."""
    process = started(command)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def wait_for(process: Life | subprocess.Popen[str], folder: Path, pattern: str, *, timeout_s: float = 300) -> None:
    """Wait until a folder has a file of such a name; AssertionError where the process ends before."""
    end = time.monotonic() + timeout_s
    while not any(folder.glob(pattern)):
        assert process.poll() is None
        assert time.monotonic() < end, f"{pattern} did not come in {timeout_s:g} s"
        time.sleep(LOOK_S)


def trained(out: Path) -> dict[str, Any]:
    """What a run has come to: name, weights and optimizer of its newest checkpoint, and its lines of metrics."""
    last = checkpoints(out)[-1]
    return {
        "name": last.name,
        "weights": load_file(last / "weights.safetensors"),
        "optimizer": torch.load(last / "state" / "optimizer.pt", weights_only=True)["state"],
        "metrics": (out / "metrics.jsonl").read_text(),
    }


def same(left: Any, right: Any) -> bool:
    """Whether two results are equal, tensors bit for bit."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return left == right
