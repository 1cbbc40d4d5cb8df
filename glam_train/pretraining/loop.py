"""The pretraining loop, all of it: batch, gradient, clip, update, log, save."""

import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.model.glam import Scales
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache
from glam_train.data.places import count_places, wanted_kinds
from glam_train.methods import OBJECTIVES
from glam_train.methods.known_places import with_known_places
from glam_train.methods.vectors import Terms, Vectors, scales_of, vectors_of
from glam_train.pretraining.gradients import GRADIENTS, Forward, Loss
from glam_train.pretraining.run_folder import (
    MetricsLog,
    Run,
    RunError,
    checkpoints,
    load_state,
    locked,
    read_run,
    save_state,
)
from glam_train.pretraining.schedules import warmup_cosine

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from glam.model.glam import Glam


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How a run is driven; none of it changes the numbers."""

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
            raise ValueError("save_every and log_every count updates: 1 or more")


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
    config, device = run.config, usable_device(options.device)
    found = checkpoints(out)
    model = starting_model(config, found[-1] if found else run.start_from).to(device)
    optimizer = make_optimizer(model, config)
    start = load_state(found[-1], optimizer) if found else 0
    stream = _stream(config, cache, run.tokenizer)
    if config.correspondence_weight and "lesion" not in count_places(cache.records):
        sys.stderr.write("no finding of the cache is known in both views: the model will be told no place of one\n")
    stop_at = time.monotonic() + (math.inf if options.stop_after_s is None else options.stop_after_s)
    with closing(MetricsLog(out, start_step=start)) as log:
        for step, batch in _with_progress(_prefetched(stream, start, config), start, config.steps):
            terms = update(model, optimizer, Batch(*(tensor.to(device) for tensor in batch)), config, step)
            last, late = step + 1 == config.steps, time.monotonic() > stop_at
            if last or step % options.log_every == 0:
                log.write(step, {name: float(value) for name, value in terms.items()})
            if last or late or (options.save_every and (step + 1) % options.save_every == 0):
                save_state(out, model, optimizer, step=step + 1, tokenizer=run.tokenizer)
            if late:
                break
    return checkpoints(out)[-1]


def update(
    model: "Glam", optimizer: "Optimizer", batch: Batch, config: PretrainConfig, step: int
) -> dict[str, "Tensor"]:
    """Make one optimizer update in place and return the loss terms, the temperatures, the rate and the norm."""
    import torch

    rate = warmup_cosine(
        step,
        steps=config.steps,
        warmup_steps=config.warmup_steps,
        peak=config.learning_rate,
        floor=config.min_learning_rate,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    terms = GRADIENTS[config.negatives](forward_of(model, config, step), loss_of(config), batch, config.accumulate)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or float("inf"))
    if not math.isfinite(norm):
        raise RunError(f"the gradient of update {step} is not finite: resume with a lower learning rate or in fp32")
    optimizer.step()
    model.bound_scales()
    optimizer.zero_grad(set_to_none=True)
    return terms | {"learning_rate": torch.tensor(rate), "gradient_norm": norm}


def loss_of(config: PretrainConfig) -> Loss:
    """The configured objective and the known places, with the temperatures beside the terms to be logged."""
    objective = OBJECTIVES[config.objective]

    def loss(vectors: Vectors, scales: Scales, batch: Batch) -> Terms:
        logged = {f"scale/{name}": value.detach() for name, value in scales._asdict().items()}
        terms = objective(vectors, scales, config.local_weight)
        return with_known_places(terms, vectors, batch, config) | logged

    return loss


def describe_cache(cache: PairCache) -> dict[str, Any]:
    """What tells one training set from another: its pairs, in order, pixels and reports."""
    digest = hashlib.sha256()
    for record in cache.records:  # a record holds the hash of its pixels
        digest.update(json.dumps(record, sort_keys=True).encode())
    about = {"pairs": len(cache), "records_sha256": digest.hexdigest(), "source": cache.source}
    return about | {"places": count_places(cache.records)}


def check_fit(config: PretrainConfig, cache: PairCache) -> None:
    """Refuse a cache prepared for another frame than the model's, or with fewer pairs than an update takes."""
    if cache.frame != config.model.frame:
        way_out = "prepare it again with the preset and --voi of the model"
        raise RunError(f"the cache was prepared for {cache.frame}, the model takes {config.model.frame}: {way_out}")
    if len(cache) < config.pairs_per_update:
        raise RunError(
            f"the cache holds {len(cache)} pairs, an update takes {config.pairs_per_update}: lower batch_size"
        )


def check_cache(run: Run, cache: PairCache) -> None:
    """Refuse a cache that does not fit the run, or holds other pairs than it was started with."""
    check_fit(run.config, cache)
    if describe_cache(cache) != run.data:
        raise RunError(f"the run was started on {run.data['pairs']} pairs; this cache holds other ones")


def forward_of(model: "Glam", config: PretrainConfig, step: int) -> Forward:
    """The model as `gradients` wants it: seeded by step and micro-batch, in the configured precision."""
    import torch

    def forward(part: Batch, index: int) -> tuple[Vectors, Scales]:
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + index)
        with autocast(config, part.cc.device.type):
            output = model(_as_float(part.cc, config), _as_float(part.mlo, config), part.token_ids, part.mask)
        return vectors_of(output, part.points), scales_of(output)

    return forward


def autocast(config: PretrainConfig, device_type: str) -> AbstractContextManager[object]:
    """bf16 arithmetic on fp32 weights for bf16-mixed; nothing otherwise."""
    import torch

    if config.precision == "bf16-mixed":
        return torch.autocast(device_type, dtype=torch.bfloat16)
    return nullcontext()


def _as_float(images: "Tensor", config: PretrainConfig) -> "Tensor":
    import torch

    return images.to(torch.bfloat16) if config.precision == "bf16-true" else images


def usable_device(name: str | None) -> str:
    """Return the device asked for; None: cuda where torch finds a GPU, else cpu. RunError for one that is not there."""
    import torch

    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise RunError(f"device {chosen} cannot be used: {str(error).splitlines()[0]}") from None
    return chosen


def starting_model(config: PretrainConfig, checkpoint: Path | None) -> "Glam":
    """The model of the checkpoint, or a new one drawn from the seed, in training mode."""
    import torch

    from glam.model.checkpoint import load_checkpoint
    from glam.model.glam import Glam

    torch.manual_seed(config.seed)
    model = Glam(config.model) if checkpoint is None else load_checkpoint(checkpoint)
    if config.precision == "bf16-true":
        model = model.to(torch.bfloat16)
    return model.train()


def make_optimizer(model: "Glam", config: PretrainConfig) -> "Optimizer":
    """AdamW or SGD with momentum 0.9; vectors and scalars are not decayed unless `decay_all`."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if config.decay_all or parameter.ndim >= 2]
    kept = [parameter for parameter in trained if not config.decay_all and parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999))


def _stream(config: PretrainConfig, cache: PairCache, tokenizer: Path) -> PairBatches:
    return PairBatches(
        cache=cache,
        tokenizer=Tokenizer.from_file(tokenizer),
        max_tokens=config.model.text.max_tokens,
        wrap_tokens=config.model.text.wrap_tokens,
        text=config.text,
        image=config.image,
        seed=config.seed,
        flip_rows=config.flip_rows,
        place_kinds=wanted_kinds(config),
    )


def _prefetched(stream: PairBatches, start: int, config: PretrainConfig) -> Iterator[tuple[int, Batch]]:
    """Batches in order, the next one made in a thread while the model works on the last."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(stream.batch, start, config.pairs_per_update)
        for step in range(start, config.steps):
            batch = coming.result()
            if step + 1 < config.steps:
                coming = pool.submit(stream.batch, step + 1, config.pairs_per_update)
            yield step, batch


def _with_progress(batches: Iterator[tuple[int, Batch]], start: int, steps: int) -> Iterator[tuple[int, Batch]]:
    """Show a bar on stderr where it is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("pretrain", total=steps, completed=start)
        for step, batch in batches:
            yield step, batch
            bar.update(task, completed=step + 1)
