"""Weights & Biases beside the metrics of a run, where it is installed: a record on this machine unless it is asked for.

It is imported when it is asked for alone. A session of a run is a run of wandb's, in a group of the folder's name.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from glam_train.config import PretrainConfig
from glam_train.pretraining.errors import RunError

PROJECT = "glam"


class Tracker(Protocol):
    """What takes the metrics of a run."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take the values of an update."""
        ...

    def close(self) -> None:
        """Finish the record."""
        ...


class WandbTracker:
    """A run of wandb's in the folder of the run."""

    def __init__(self, folder: Path, config: PretrainConfig, *, online: bool) -> None:
        if not online:
            os.environ["WANDB_ERROR_REPORTING"] = "false"  # its own faults are else reported, offline too
        wandb = _library()
        self._run: Any = wandb.init(
            project=PROJECT,
            group=folder.resolve().name,
            dir=str(folder),
            mode="online" if online else "offline",  # before WANDB_MODE
            config=config.as_json(),
            settings=wandb.Settings(console="off", save_code=False, disable_git=True),
        )

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take the values of an update."""
        self._run.log(values, step=step)

    def close(self) -> None:
        """Finish the record."""
        self._run.finish()


def check_installed(name: Literal["wandb"] | None) -> None:
    """Raise RunError where the library of a tracker is not installed; None: none is needed."""
    if name is not None:
        _library()


def open_tracker(
    name: Literal["wandb"] | None, folder: Path, config: PretrainConfig, *, online: bool
) -> Tracker | None:
    """Return the tracker of that name; None: none. RunError where its library is not installed."""
    return None if name is None else WandbTracker(folder, config, online=online)


def _library() -> Any:
    try:
        return import_module("wandb")
    except ModuleNotFoundError:
        raise RunError("wandb is not installed: pip install wandb, or leave out --log wandb") from None
