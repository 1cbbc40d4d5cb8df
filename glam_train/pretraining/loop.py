"""The pretraining loop: batch, rate, forward, loss, gradient, clipping, optimizer, log, checkpoint, in that order."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from glam.model.glam import Glam, Scales
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache
from glam_train.data.places import count_places
from glam_train.methods import objective
from glam_train.methods.known_places import place_kinds, with_known_places
from glam_train.methods.vectors import Terms, Vectors, scales_of, vectors_of
from glam_train.pretraining.metrics_log import MetricsLog
from glam_train.pretraining.run_folder import (
    Run,
    RunError,
    check_cache,
    checkpoints,
    load_state,
    locked,
    read_run,
    save_state,
)
from glam_train.pretraining.schedules import warmup_cosine
from glam_train.pretraining.setup import make_optimizer, starting_model, usable_device
from glam_train.progress import progress_bar

Forward = Callable[[Batch, int], tuple[Vectors, Scales]]
"""The model's answer for micro-batch `index` of an update; the same index gives the same dropout."""
Loss = Callable[[Vectors, Scales, Batch], Terms]
"""The loss terms of vectors and of the pairs they were computed from."""


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Options that change no number of a run."""

    device: str | None = None
    """cpu, cuda, cuda:1 ... None: a GPU where there is one."""
    save_every: int | None = None
    """Updates between checkpoints. None: only at the end."""
    log_every: int = 10
    """Updates between lines of metrics."""
    stop_after_s: float | None = None
    """Save and stop when this many seconds have passed, to be resumed later. None: run to the end."""

    def __post_init__(self) -> None:
        if self.log_every < 1 or (self.save_every is not None and self.save_every < 1):
            raise ValueError("save_every and log_every count updates: give 1 or more")
        if self.stop_after_s is not None and not self.stop_after_s >= 0:
            raise ValueError(f"stop_after_s is {self.stop_after_s}: give a number of seconds from 0 up")


def pretrain(out: Path, cache: PairCache, options: LoopOptions) -> Path:
    """Train the run in the folder `out`, on from its newest checkpoint if it has one; return the last checkpoint.

    On the CPU a run that was stopped and resumed gives, bit for bit, the weights of one that was not: data,
    augmentation and dropout depend on the seed and the step alone. RunError when the cache is not the run's.
    """
    run = read_run(out)
    check_cache(run, cache)
    with locked(out):
        return _train(run, cache, out, options)


def _train(run: Run, cache: PairCache, out: Path, options: LoopOptions) -> Path:
    config, device, saved = run.config, usable_device(options.device), checkpoints(out)
    model = starting_model(config, saved[-1] if saved else run.start_from, run.towers).to(device)
    optimizer = make_optimizer(model, config)
    start = load_state(saved[-1], optimizer) if saved else 0
    tokenizer = Tokenizer.from_file(run.tokenizer)
    stream = PairBatches(cache=cache, tokenizer=tokenizer, config=config, place_kinds=place_kinds(config))
    if config.correspondence_weight and "lesion" not in count_places(cache.records):
        sys.stderr.write("no finding of the cache is known in both views: the model will be told no place of one\n")
    stop_at = time.monotonic() + (math.inf if options.stop_after_s is None else options.stop_after_s)
    with (
        closing(MetricsLog(out, start_step=start)) as log,
        progress_bar("pretrain", total=config.steps, done=start) as show_done,
    ):
        for step, batch in stream.updates(start):
            terms = update(model, optimizer, Batch(*(tensor.to(device) for tensor in batch)), config, step)
            last, late = step + 1 == config.steps, time.monotonic() > stop_at
            if last or step % options.log_every == 0:
                log.write(step, {name: float(value) for name, value in terms.items()})
            if last or late or (options.save_every and (step + 1) % options.save_every == 0):
                save_state(out, model, optimizer, step=step + 1, tokenizer=run.tokenizer)
            show_done(step + 1)
            if late:
                break
    return checkpoints(out)[-1]


def update(model: Glam, optimizer: Optimizer, batch: Batch, config: PretrainConfig, step: int) -> dict[str, Tensor]:
    """Make one optimizer update in place and return the loss terms, the temperatures, the rate and the norm."""
    rate = warmup_cosine(
        step,
        steps=config.steps,
        warmup_steps=config.warmup_steps,
        peak=config.learning_rate,
        floor=config.min_learning_rate,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    gradients = across_update if config.negatives == "update" else within_micro_batches
    try:
        terms = gradients(forward_of(model, config, step), loss_of(config), batch, config.accumulate)
    except torch.OutOfMemoryError:
        raise RunError(f"the device has no memory for batch_size {config.batch_size}: start with a lower one") from None
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or math.inf)
    if not math.isfinite(norm):
        raise RunError(
            f"the gradient of update {step} is not finite: start another run with a lower learning rate or in fp32"
        )
    optimizer.step()
    model.bound_scales()
    optimizer.zero_grad(set_to_none=True)
    return terms | {"learning_rate": torch.tensor(rate), "gradient_norm": norm}


def forward_of(model: Glam, config: PretrainConfig, step: int) -> Forward:
    """Return the forward pass of an update: seeded by step and micro-batch, in the configured precision."""

    def forward(part: Batch, index: int) -> tuple[Vectors, Scales]:
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + index)
        mixed, low = config.precision == "bf16-mixed", config.precision == "bf16-true"
        cc, mlo = (view.to(torch.bfloat16) if low else view for view in (part.cc, part.mlo))
        with torch.autocast(cc.device.type, dtype=torch.bfloat16) if mixed else nullcontext():
            output = model(cc, mlo, part.token_ids, part.mask)
        return vectors_of(output, part.points), scales_of(output)

    return forward


def loss_of(config: PretrainConfig) -> Loss:
    """Return the configured loss: the objective, the known places, and beside them the temperatures for the log."""
    objective_of_vectors = objective(config.objective)

    def loss(vectors: Vectors, scales: Scales, batch: Batch) -> Terms:
        logged = {f"scale/{name}": value.detach() for name, value in scales._asdict().items()}
        terms = objective_of_vectors(vectors, scales, config.local_weight)
        return with_known_places(terms, vectors, batch, config) | logged

    return loss


def within_micro_batches(forward: Forward, loss: Loss, batch: Batch, accumulate: int) -> Terms:
    """Leave in the parameters the mean gradient of the passes, each of which contrasts its own pairs."""
    sums: Terms = {}
    for index, part in enumerate(micro_batches(batch, accumulate)):
        terms = loss(*forward(part, index), part)
        (terms["total"] / accumulate).backward()
        sums = {name: sums.get(name, 0) + value.detach() / accumulate for name, value in terms.items()}
    return sums


def across_update(forward: Forward, loss: Loss, batch: Batch, accumulate: int) -> Terms:
    """Leave in the parameters the gradient of a loss over all pairs of the update, in the memory of one pass.

    GradCache (Gao et al. 2021, arXiv:2101.06983): the vectors of all passes are first computed without a graph and the
    loss is differentiated with respect to them; then each pass runs again and takes its share of that gradient. With
    one pass it is the plain gradient.
    """
    if accumulate == 1:
        return within_micro_batches(forward, loss, batch, 1)
    parts = list(micro_batches(batch, accumulate))
    with torch.no_grad():
        pieces = [forward(part, index)[0] for index, part in enumerate(parts)]
    whole = Vectors(*(torch.cat(piece).requires_grad_() for piece in zip(*pieces, strict=True)))
    first, scales = forward(parts[0], 0)
    terms = loss(whole, scales, batch)
    terms["total"].backward()
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in whole]
    for index, shares in enumerate(zip(*(gradient.chunk(accumulate) for gradient in gradients), strict=True)):
        vectors = first if index == 0 else forward(parts[index], index)[0]
        trained = [(vector, share) for vector, share in zip(vectors, shares, strict=True) if vector.requires_grad]
        torch.autograd.backward([vector for vector, _ in trained], [share for _, share in trained])
    return {name: value.detach() for name, value in terms.items()}


def micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut a batch into `count` equal parts, in order."""
    for parts in zip(*(tensor.chunk(count) for tensor in batch), strict=True):
        yield Batch(*parts)
