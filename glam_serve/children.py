"""How the processes of a server begin: bound to their parent before they import anything heavy.

This module imports the standard library and `glam.bound` alone, because a spawned worker reads it first.
"""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler

from glam.bound import bind

_PR_SET_NAME = 15
Call = Callable[[], object]


def begin_as_child(parent: int, name: str) -> None:
    """Bind this process to its parent, of this pid: it dies with it, and leaves Ctrl-C and a closed terminal to it.

    `name`: at most 10 characters; `ps` and `top` show "glam-" before it (prctl(2)).
    """
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach every process of a terminal
        signal.signal(number, signal.SIG_IGN)
    bind(parent)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, f"glam-{name}".encode())


class Sealed:
    """A call that crosses to a spawned process as bytes: what it needs is imported when it is made, not before."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Callable[[bytes], Call], tuple[bytes]]:
        return _unsealed, (bytes(ForkingPickler.dumps(self.call)),)


def _unsealed(pickled: bytes) -> Call:
    return lambda: pickle.loads(pickled)()


def spawn_bound(call: Call, *, name: str) -> BaseProcess:
    """Start a process that makes a call, bound to this one from its first moment on, while it still imports too."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_begin_and_call, args=(os.getpid(), name, Sealed(call)), name=name)
    process.start()
    return process


def _begin_and_call(parent: int, name: str, call: Call) -> None:
    begin_as_child(parent, name)
    call()
