"""A lock file that one process at a time holds."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_alone(lock: Path, *, in_use: Exception) -> Iterator[None]:
    """Hold a lock file, made where it is not there, for this process alone; raise `in_use` where another holds it.

    The kernel lets go of it when the process ends, however it ends. The file stays: one that was removed or replaced
    could be held by two at once.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use from None
        yield
