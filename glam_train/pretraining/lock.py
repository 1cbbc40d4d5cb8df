"""One process at a time in a run's folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glam.lock import held_alone
from glam_train.pretraining.errors import RunError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run; RunError if there is one. What a killed one left half is removed."""
    in_use = RunError(f"another process trains the run at {folder}: stop it or wait for its end")
    with held_alone(folder / ".lock", in_use=in_use):
        for left in folder.glob("checkpoints/.step-*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in folder.glob(".*.part"):
            left.unlink(missing_ok=True)
        yield


def check_free(folder: Path) -> None:
    """Raise RunError where another process trains the run in a folder, if there is a run."""
    if (folder / "config.json").exists():
        with locked(folder):
            pass
