"""A program for each process of a distributed run: one update's gradient in float64, or a run as the command makes it.

python -m tests.samples.ranks gradient|run FOLDER CACHE OPTIONS WORLD; FOLDER holds the run. Started by `start_ranks`.
"""

import os
import signal
import subprocess
import sys
import traceback
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
    """Start the processes of a run on this machine, as the children of one that has their imports."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port(0)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.samples.ranks", what, str(folder), str(cache), options, str(world)]
    return [subprocess.Popen(command, env=os.environ | meeting, stderr=subprocess.PIPE, text=True)]


def ended(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What the processes said on stderr; AssertionError when one failed."""
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    return said


def _act(what: str, folder: Path, cache: Path, options: str) -> None:
    if what == "gradient":
        gradient(folder, cache)
    else:
        stop_after_s = 0.0 if options == "stop" else None
        pretrain(folder, read_cache(cache), LoopOptions(device="cpu", stop_after_s=stop_after_s))


def _fork(rank: int, world: str, *act: Any) -> int:
    """Start a process of a rank and return its number."""
    if pid := os.fork():
        return pid
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": world})
    code = 1
    try:
        _act(*act)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _main() -> int:
    """Start the processes and wait for them; the first that fails ends the others, which would wait for it."""
    what, folder, cache, options, world = sys.argv[1:]
    children = {_fork(rank, world, what, Path(folder), Path(cache), options) for rank in range(int(world))}
    while children:
        pid, status = os.wait()
        children.discard(pid)
        if status:
            for other in children:
                os.kill(other, signal.SIGKILL)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
