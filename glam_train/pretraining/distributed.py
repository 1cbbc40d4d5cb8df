"""The processes of a run: one, or as many as torchrun started; features cross between them, and gradients are summed.

Gradients are summed once an update, after its last pass, and not by DistributedDataParallel: an update runs every pass
twice, and its loss, which is the same in every process, reaches heads and temperatures outside any forward pass.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from glam_train.pretraining.errors import RunEnded

BUCKET_BYTES = 32 * 2**20
"""Gradients that cross together."""
LONGEST_WAIT = timedelta(hours=2)
"""How long a process waits for the others: the first one verifies the cache before it joins them, and torch's own ten
minutes (NCCL) would end the run meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which process of a run this one is."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what there is one of."""
        return self.rank == 0

    def passes(self, accumulate: int) -> range:
        """Return which passes of an update this process makes; RunEnded when they cannot be shared out evenly."""
        if accumulate % self.world:
            raise RunEnded(
                f"accumulate {accumulate} passes cannot be shared by {self.world} processes: give a multiple of"
                f" {self.world} (batch_size is that of one pass)"
            )
        own = accumulate // self.world
        return range(self.rank * own, (self.rank + 1) * own)

    def gather(self, own: Tensor) -> list[Tensor]:
        """Return what every process has, in order of rank; all but the first axis may differ in length."""
        if self.world == 1:
            return [own]
        shape = torch.tensor(own.shape, device=own.device)
        shapes = [torch.empty_like(shape) for _ in range(self.world)]
        dist.all_gather(shapes, shape)
        largest = torch.stack(shapes).amax(dim=0).tolist()
        sent = padded(own, largest).contiguous()
        carried = sent.to(torch.uint8) if sent.dtype == torch.bool else sent
        received = [torch.empty_like(carried) for _ in range(self.world)]
        dist.all_gather(received, carried)
        wholes = [tensor.to(own.dtype) for tensor in received]
        return [
            whole[tuple(slice(length) for length in theirs.tolist())]
            for whole, theirs in zip(wholes, shapes, strict=True)
        ]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, piece in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(piece.view_as(gradient))

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a scalar over all processes."""
        if self.world == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        """Return which flags are up in one process at least; every process asks at the same place."""
        if self.world == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.float32, device=self.device)
        dist.all_reduce(raised)
        return (raised > 0).tolist()

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.world > 1:
            dist.barrier()

    @property
    def device(self) -> str:
        """The device by which small values cross."""
        return f"cuda:{torch.cuda.current_device()}" if dist.get_backend() == "nccl" else "cpu"


ALONE = Ranks()


@contextmanager
def ranks_of_environment(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE); without these variables, this process alone.

    RunEnded where all of them would take one GPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    if device.startswith("cuda:"):
        raise RunEnded(f"{world} processes would share {device}: give --device cuda, and each takes its own")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store, rank, world = next(rendezvous("env://", timeout=LONGEST_WAIT))
    # A launcher that restarts its processes keeps its store, in which are the addresses of those that died.
    store = PrefixStore(f"restart-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=LONGEST_WAIT)
    try:
        yield Ranks(rank=dist.get_rank(), world=world)
    finally:
        dist.destroy_process_group()


def padded(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the tensor with zeros, or False, behind its end on every axis up to a shape."""
    if list(tensor.shape) == list(shape):
        return tensor
    whole = tensor.new_zeros(tuple(shape))
    whole[tuple(slice(length) for length in tensor.shape)] = tensor
    return whole


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """Return pieces one behind the other along the first axis, padded to one shape on all others."""
    if len(pieces) == 1:
        return pieces[0]
    widest = [max(piece.shape[axis] for piece in pieces) for axis in range(1, pieces[0].ndim)]
    return torch.cat([padded(piece, [len(piece), *widest]) for piece in pieces])


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and (
            bucket[0].dtype != gradient.dtype or sum(g.numel() * g.element_size() for g in bucket) > BUCKET_BYTES
        ):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
