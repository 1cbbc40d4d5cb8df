"""One process at a time in a run's folder."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glam_train.pretraining.errors import RunError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run; RunError if there is one. What a killed one left half is removed.

    The kernel lets go of the lock when its process ends, however it does. The file stays: one that was removed, or
    replaced as config.json is, could be locked by two at once.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process trains the run at {folder}: stop it or wait for its end") from None
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
