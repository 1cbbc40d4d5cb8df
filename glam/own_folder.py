"""Temporary folders of one process: gone at its end or, where it was killed, when the next process makes one."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "owner.lock"
"""Held for as long as the owner, or a process forked from it, lives; the kernel lets go of it however they end."""
MADE_WITHIN_S = 60.0
"""Time in which a new folder certainly has its lock."""


@contextmanager
def own_folder(prefix: str, *, within: Path | None = None) -> Iterator[Path]:
    """Make an empty folder that its user alone can enter, but for LOCK, and remove it at the end.

    `within`: None is the usual temporary folder. What was left there is removed first, as by `remove_left`.
    """
    parent = within or Path(tempfile.gettempdir())
    remove_left(prefix, parent)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = _open_lock(folder / f"{LOCK}.tmp", os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f"{LOCK}.tmp").rename(folder / LOCK)  # there is no moment at which it looks left
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left(prefix: str, parent: Path) -> None:
    """Remove the folders of this prefix and user whose owners were killed.

    Pids would not tell which those are: they are used again, and differ between containers.
    """
    for folder in parent.glob(f"{prefix}*"):
        _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose lock nobody holds, or one that has had none for MADE_WITHIN_S.

    A process that outlived the owner for a moment may have written into the folder that was being removed.
    """
    try:
        status = folder.lstat()  # others may put a link to somewhere else into a shared folder
    except FileNotFoundError:
        return
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return
    try:
        lock = _open_lock(folder / LOCK)
    except FileNotFoundError:
        if time.time() - status.st_ctime > MADE_WITHIN_S:
            shutil.rmtree(folder, ignore_errors=True)
        return
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its owner lives
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _open_lock(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
