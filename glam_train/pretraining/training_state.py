"""What training changes and a checkpoint must hold to go on: model, heads, optimizer, running mean, scale of fp16."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from glam.files import flush_folder
from glam.licence import write_provenance
from glam.model.checkpoint import load_heads, save_checkpoint
from glam.model.glam import Glam
from glam_train.config import PretrainConfig
from glam_train.methods import build_method
from glam_train.methods.method import Learner
from glam_train.pretraining.errors import RunError
from glam_train.pretraining.run_folder import Run, checkpoints, run_provenance, updates_of
from glam_train.pretraining.setup import make_optimizer, starting_model


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Model, heads, optimizer, running mean and scale of fp16."""

    learner: Learner
    optimizer: Optimizer
    scaler: GradScaler
    """Does nothing but in fp16."""
    mean: AveragedModel | None
    """The running mean of the model's weights. None: not asked for."""

    @property
    def exported(self) -> Glam:
        """The model that a checkpoint is loaded as."""
        if self.mean is None:
            return self.learner.model
        assert isinstance(self.mean.module, Glam)
        return self.mean.module

    def after_update(self) -> None:
        """Bring everything that follows the weights up to them."""
        learner = self.learner
        learner.model.bound_scales()
        learner.method.after_update(learner.model)
        if self.mean is not None:
            self.mean.update_parameters(learner.model)
        self.optimizer.zero_grad(set_to_none=True)


def starting_state(run: Run, checkpoint: Path | None, *, device: str) -> TrainingState:
    """Return the state of a run at a checkpoint, but for its optimizer; None: before its first update."""
    if checkpoint is not None:
        return state_of(starting_model(run.config, checkpoint), run.config, device=device, heads_from=checkpoint)
    model = starting_model(run.config, run.start.checkpoint, run.start.towers)
    heads_from = run.start.checkpoint if run.start.has_heads else None
    return state_of(model, run.config, device=device, heads_from=heads_from)


def state_of(model: Glam, config: PretrainConfig, *, device: str, heads_from: Path | None = None) -> TrainingState:
    """Return the state of a model before its first update. `heads_from`: a checkpoint of the same method."""
    learner = Learner(model, build_method(config, model))
    if heads_from is not None:
        learner.load_heads(load_heads(heads_from))
    learner.method.prepare(model)
    if config.precision == "bf16-true":
        learner.to(torch.bfloat16)
    learner.to(device).train()
    mean = None
    if config.ema is not None:
        mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    scaler = GradScaler(torch.device(device).type, enabled=config.precision == "fp16-mixed")
    scaler.scale(torch.zeros((), device=device))  # has no scale before it is shown a number
    return TrainingState(learner=learner, optimizer=make_optimizer(learner, config), scaler=scaler, mean=mean)


def save_state(folder: Path, state: TrainingState, *, step: int, tokenizer: Path, keep: int = 2) -> Path:
    """Write checkpoint `step-…` (weights, tokenizer, provenance, state) and delete all but the newest `keep`.

    It is built under another name, put on the disk and renamed, so that neither a kill nor a power cut leaves less
    than the last whole one. One of the same step is kept: the run has gone on from it, and made no update since.
    RunError where it cannot be written; what was begun is removed.
    """
    final = folder / "checkpoints" / f"step-{step:07d}"
    if final.exists():
        return final
    building = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    try:
        save_checkpoint(state.exported, building, tokenizer, heads=state.learner.method.state_dict())
        write_provenance(building, run_provenance(folder, updates=step))
        _write_training(building / "state", state, step=step)
        _flush(building)
        building.replace(final)
        flush_folder(final.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(building, ignore_errors=True)
        raise RunError(f"checkpoint {final} cannot be written ({_reason(error)}); {kept(folder)}") from None
    for old in checkpoints(folder)[:-keep]:
        removed = old.with_name(f".{old.name}.{os.getpid()}")  # so that a kill leaves no half of one
        old.replace(removed)
        shutil.rmtree(removed, ignore_errors=True)
    return final


def kept(folder: Path) -> str:
    """Say which checkpoint of a run is the last, and how it goes on where the disk is full."""
    last = checkpoints(folder)
    whole = f"the last whole checkpoint is {last[-1]}" if last else "no checkpoint was written before"
    return f"{whole}: make room and go on with --resume"


def _flush(folder: Path) -> None:
    """Put the files of a folder, and those of the folders in it, on the disk."""
    for path in folder.iterdir():
        if path.is_dir():
            _flush(path)
            continue
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    flush_folder(folder)


def _reason(error: Exception) -> str:
    """Say in a line why something cannot be written; torch tells of a full disk by the bytes that it lacks."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    told = str(error).splitlines()[0]
    return f"is the disk full? {told}" if isinstance(error, RuntimeError) else told


def _write_training(folder: Path, state: TrainingState, *, step: int) -> None:
    folder.mkdir()
    torch.save(state.optimizer.state_dict(), folder / "optimizer.pt")
    if state.scaler.is_enabled():
        torch.save(state.scaler.state_dict(), folder / "scaler.pt")
    if state.mean is not None:  # the weights in the checkpoint are the mean
        torch.save(state.learner.model.state_dict(), folder / "weights.pt")
        torch.save(state.mean.n_averaged, folder / "averaged.pt")
    (folder / "meta.json").write_text(json.dumps({"step": step}) + "\n")


def load_state(checkpoint: Path, state: TrainingState) -> int:
    """Load what a checkpoint holds beside weights and heads, and return the number of updates done."""
    folder = checkpoint / "state"
    state.optimizer.load_state_dict(_load(folder / "optimizer.pt"))
    if state.scaler.is_enabled() and (folder / "scaler.pt").exists():  # not where the run has just turned to fp16
        state.scaler.load_state_dict(_load(folder / "scaler.pt"))
    if state.mean is not None:
        state.learner.model.load_state_dict(_load(folder / "weights.pt"))
        state.mean.n_averaged.copy_(_load(folder / "averaged.pt"))
    return updates_of(checkpoint)


def _load(path: Path) -> Any:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises nothing narrower for bytes that it did not write
        checkpoint = path.parents[1]
        raise RunError(f"{path} is damaged: delete {checkpoint} and resume from the checkpoint before it") from error
