"""Processes that end with the one that started them, even if it is killed: `python -m glam.bound PID PROGRAM ...`.

This module imports the standard library alone, because processes that have much to import read it first.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def bind(parent: int, number: int = signal.SIGKILL) -> None:
    """Have this process get a signal when its parent, of this pid, ends: prctl(2), so on Linux alone.

    It lasts through exec. The parent is the thread that started this process: one that ends before its process counts.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), number)


def bound(command: Sequence[str]) -> list[str]:
    """Return the command that runs another one until it ends by itself, or gets SIGTERM because this process ended."""
    return [sys.executable, "-P", "-m", "glam.bound", str(os.getpid()), *command]


if __name__ == "__main__":
    bind(int(sys.argv[1]), signal.SIGTERM)
    os.execv(sys.argv[2], sys.argv[2:])
