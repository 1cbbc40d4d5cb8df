"""The pretraining loop: passes, rate, gradient, clipping, optimizer, log, checkpoint, in that order."""

import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glam.model.glam import Scales
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache
from glam_train.data.places import count_places
from glam_train.methods.known_places import place_kinds
from glam_train.methods.method import Learner, Terms, precise, precise_scales
from glam_train.pretraining.distributed import ALONE, Ranks, ranks_of_environment
from glam_train.pretraining.errors import RunEnded, RunError
from glam_train.pretraining.finite import check_finite, check_scale
from glam_train.pretraining.gradients import Forward, Loss, across_update, within_passes
from glam_train.pretraining.keeper import Keeper
from glam_train.pretraining.lock import locked
from glam_train.pretraining.metrics_log import MetricsLog
from glam_train.pretraining.options import SessionOptions
from glam_train.pretraining.run_folder import Run, check_cache, checkpoints, read_run
from glam_train.pretraining.schedules import warmup_cosine
from glam_train.pretraining.setup import usable_device
from glam_train.pretraining.stopping import caught_signals
from glam_train.pretraining.tracker import check_installed, open_tracker
from glam_train.pretraining.training_state import TrainingState, load_state, starting_state
from glam_train.progress import progress_bar


@dataclass(frozen=True, kw_only=True)
class LoopOptions(SessionOptions):
    """The options of a session as the loop takes them, checked."""

    log_every: int = 10
    """Updates between lines of metrics."""

    def __post_init__(self) -> None:
        if self.log_every < 1 or (self.save_every is not None and self.save_every < 1):
            raise ValueError("save_every and log_every count updates: give 1 or more")
        if self.readers is not None and self.readers < 1:
            raise ValueError(f"readers is {self.readers}: give 1 or more")
        if self.stop_after_s is not None and not self.stop_after_s >= 0:
            raise ValueError(f"stop_after_s is {self.stop_after_s}: give a number of seconds from 0 up")
        if self.wandb_online and self.log != "wandb":
            raise ValueError("--wandb-online sends what --log wandb records: give both")
        check_installed(self.log)


def pretrain(out: Path, cache: PairCache, options: LoopOptions) -> Path:
    """Train the run in the folder `out`, on from its newest checkpoint if it has one; return the last checkpoint.

    On the CPU a run that was stopped and resumed gives, bit for bit, the weights of one that was not: data,
    augmentation and dropout depend on the seed and the step alone. Under torchrun its processes share the passes of
    each update. RunError when the cache is not the run's, and when a signal (Stopped), an update that cannot be made or
    a full disk ends the run, after what there is was saved where it could be.
    """
    device = usable_device(options.device)
    with ranks_of_environment(device) as ranks, ExitStack() as held:
        ranks.wait()  # the first process has started the run before it comes here
        run = read_run(out)
        check_cache(run, cache)
        if ranks.is_first:
            held.enter_context(locked(out))
        ranks.wait()
        if options.deterministic:
            torch.use_deterministic_algorithms(True)
        return _train(run, cache, out, options, device=device, ranks=ranks)


def _train(run: Run, cache: PairCache, out: Path, options: LoopOptions, *, device: str, ranks: Ranks) -> Path:
    config, saved = run.config, checkpoints(out)
    state = starting_state(run, saved[-1] if saved else None, device=device)
    start = load_state(saved[-1], state) if saved else 0
    _prepare_towers(state.learner, options)
    stream = _stream(run, cache, ranks)
    keeper = Keeper(out, run, state, ranks, save_every=options.save_every, stop_after_s=options.stop_after_s)
    with ExitStack() as held:
        log = None
        if ranks.is_first:
            tracker = open_tracker(options.log, out, config, online=options.wandb_online)
            log = held.enter_context(closing(MetricsLog(out, start_step=start, tracker=tracker)))
        show_done = held.enter_context(
            progress_bar("pretrain", total=config.steps, done=start) if ranks.is_first else nullcontext(_say_nothing)
        )
        signals = held.enter_context(caught_signals())
        readers = options.readers or (1 if device == "cpu" else 4)
        for step, passes in stream.updates(start, readers=readers):
            on_device = [Batch(*(tensor.to(device) for tensor in part)) for part in passes]
            try:
                terms = update(state, on_device, config, step, ranks)
            except RunEnded as error:
                raise RunEnded(f"{error}. {keeper.save(step)}") from None
            except RunError as error:  # of this process alone: the others do not come here
                raise RunError(f"{error}. {keeper.save_alone(step)}") from None
            if log and (step % options.log_every == 0 or step + 1 == config.steps):
                _write(log, step, terms, keeper)
            show_done(step + 1, f"loss {float(terms['total']):.3f}")
            if keeper.after(step, signals):
                break
        if not checkpoints(out):  # a run of no updates
            keeper.save(0)
    ranks.wait()
    return checkpoints(out)[-1]


def update(
    state: TrainingState, passes: Sequence[Batch], config: PretrainConfig, step: int, ranks: Ranks = ALONE
) -> Terms:
    """Make one optimizer update in place and return the loss terms, the temperatures, the rate and the norm."""
    rate = warmup_cosine(
        step,
        steps=config.steps,
        warmup_steps=config.warmup_steps,
        peak=config.learning_rate,
        floor=config.min_learning_rate,
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    learner, scaler = state.learner, state.scaler
    gradients = across_update if config.negatives == "update" else within_passes
    forward = forward_of(learner, config, step, ranks)
    try:
        terms = gradients(forward, loss_of(learner, step), passes, ranks=ranks, factor=scaler.get_scale())
    except torch.OutOfMemoryError:
        way_out = "start with a lower one, or go on with --checkpointing"
        raise RunError(f"the device has no memory for batch_size {config.batch_size}: {way_out}") from None
    ranks.sum_gradients(learner.parameters())
    scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), config.clip_norm or math.inf)
    if not math.isfinite(norm) and not scaler.is_enabled():
        state.optimizer.zero_grad(set_to_none=True)
        raise RunEnded(
            f"the gradient of update {step} is not finite: go on with --resume and a lower --learning-rate, or in fp32"
        )
    if not scaler.is_enabled():
        check_finite(terms, step, state.optimizer)
    scaler.step(state.optimizer)  # leaves out an update whose gradient is too large for fp16
    scaler.update()
    check_scale(scaler, step)
    state.after_update()
    told = {"learning_rate": torch.tensor(rate), "gradient_norm": norm}
    return terms | (told if math.isfinite(norm) else {"learning_rate": told["learning_rate"]})


def forward_of(learner: Learner, config: PretrainConfig, step: int, ranks: Ranks = ALONE) -> Forward:
    """Return the forward pass of an update: seeded by step and place, in the configured precision."""
    first = ranks.passes(config.accumulate).start
    mixed = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}.get(config.precision)

    def forward(part: Batch, index: int) -> tuple[Any, Scales]:
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + first + index)
        if config.precision == "bf16-true":
            part = part._replace(view=part.view.bfloat16(), other_view=part.other_view.bfloat16())
        with torch.autocast(part.view.device.type, dtype=mixed) if mixed else nullcontext():
            features = learner.method.features(learner.model, part)
        return precise(features), precise_scales(learner.model.scales())

    return forward


def loss_of(learner: Learner, step: int) -> Loss:
    """Return the method's loss, with the temperatures beside it for the log."""

    def loss(features: Any, scales: Scales) -> Terms:
        logged = {f"scale/{name}": value.detach() for name, value in scales._asdict().items()}
        return learner.method.terms(features, scales, step) | logged

    return loss


def _write(log: MetricsLog, step: int, terms: Terms, keeper: Keeper) -> None:
    """Log the finite numbers of an update that was made; where that cannot be done, save it and end the run."""
    values = {name: float(value) for name, value in terms.items()}  # in fp16 an update may be left out for its losses
    try:
        log.write(step, {name: value for name, value in values.items() if math.isfinite(value)})
    except OSError as error:
        raise RunError(
            f"the metrics of update {step} cannot be written ({error.strerror}). {keeper.save_alone(step + 1)}"
        ) from None


def _stream(run: Run, cache: PairCache, ranks: Ranks) -> PairBatches:
    config = run.config
    if ranks.is_first and config.correspondence_weight and "lesion" not in count_places(cache.records):
        sys.stderr.write("no finding of the cache is known in both views: the model will be told no place of one\n")
    return PairBatches(
        cache=cache,
        tokenizer=Tokenizer.from_file(run.tokenizer),
        config=config,
        place_kinds=place_kinds(config),
        passes=ranks.passes(config.accumulate),
    )


def _prepare_towers(learner: Learner, options: LoopOptions) -> None:
    model = learner.model
    if options.checkpointing:
        model.vision.checkpoint_gradients()
        model.text.checkpoint_gradients()
    if options.compile:
        model.vision.compile()
        model.text.compile()


def _say_nothing(done: int, note: str = "") -> None:
    del done, note
