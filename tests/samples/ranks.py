"""A program for each process of a distributed run: one update's gradient in float64, or a run as the command makes it.

python -m tests.samples.ranks gradient|run FOLDER CACHE; FOLDER holds the run. Started by `start_ranks`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from glam.local_server import free_port
from glam.words.tokens import Tokenizer
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import read_cache
from glam_train.methods.known_places import place_kinds
from glam_train.pretraining.distributed import ranks_of_environment
from glam_train.pretraining.gradients import across_update, within_passes
from glam_train.pretraining.loop import LoopOptions, forward_of, loss_of, pretrain
from glam_train.pretraining.run_folder import read_run
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of


@contextmanager
def counted_bytes() -> Iterator[dict[str, int]]:
    """Count the bytes that this process hands over to be gathered, and to be summed, while the block runs."""
    bytes_of = {"gathered": 0, "summed": 0}

    def counting(what: str, real: Callable[..., Any], place: int) -> Callable[..., Any]:
        def crossed(*tensors: Any, **options: Any) -> Any:
            bytes_of[what] += tensors[place].nbytes
            return real(*tensors, **options)

        return crossed

    gather, reduce = counting("gathered", dist.all_gather, 1), counting("summed", dist.all_reduce, 0)
    with mock.patch.object(dist, "all_gather", gather), mock.patch.object(dist, "all_reduce", reduce):
        yield bytes_of


def gradient(folder: Path, cache_folder: Path) -> None:
    """Write the loss and the gradients of update 0, in float64, and the bytes that crossed into gradient-WORLD.pt."""
    run, cache = read_run(folder), read_cache(cache_folder)
    with ranks_of_environment("cpu") as ranks:
        learner = state_of(starting_model(run.config, None), run.config, device="cpu").learner.double()
        stream = PairBatches(
            cache=cache,
            tokenizer=Tokenizer.from_file(run.tokenizer),
            config=run.config,
            place_kinds=place_kinds(run.config),
            passes=ranks.passes(run.config.accumulate),
        )
        passes = [
            Batch(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in part))
            for part in stream.update(0)
        ]
        way = across_update if run.config.negatives == "update" else within_passes
        with counted_bytes() as crossed:
            terms = way(forward_of(learner, run.config, 0, ranks), loss_of(learner, 0), passes, ranks=ranks)
            ranks.sum_gradients(learner.parameters())
        if ranks.is_first:
            gradients = {name: p.grad for name, p in learner.named_parameters() if p.grad is not None}
            told: dict[str, Any] = {"total": float(terms["total"]), "gradients": gradients, "bytes": crossed}
            torch.save(told, folder / f"gradient-{ranks.world}.pt")


def start_ranks(what: str, folder: Path, cache: Path, *, world: int, options: str = "") -> list[subprocess.Popen[str]]:
    """Start the processes of a run on this machine."""
    port = free_port(0)
    processes = []
    for rank in range(world):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.samples.ranks", what, str(folder), str(cache), options]
        environment = os.environ | place | meeting
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return processes


def ended(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What the processes said on stderr; AssertionError when one failed."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    return said


if __name__ == "__main__":
    if sys.argv[1] == "gradient":
        gradient(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        stop_after_s = 0.0 if sys.argv[4] == "stop" else None
        pretrain(Path(sys.argv[2]), read_cache(Path(sys.argv[3])), LoopOptions(device="cpu", stop_after_s=stop_after_s))
