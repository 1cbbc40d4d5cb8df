"""The process that holds the hub, and how the supervisor, which may not wait for it for ever, asks it."""

import multiprocessing
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.managers import BaseManager
from multiprocessing.process import BaseProcess
from typing import Any

from glam_serve.children import begin_as_child
from glam_serve.hub import Hub
from glam_serve.vitals import Vitals

_WRITER = 4
"""Place, among the arguments of BaseManager._run_server, of the pipe to the parent."""


class HubManager(BaseManager):
    """Starts the process that holds a Hub."""

    Hub: Callable[[int, int], Hub]

    @classmethod
    def _run_server(cls, *args: Any) -> None:
        """Hold the hub, in its process; where that cannot begin, send the parent the OSError in place of an address."""
        try:
            super()._run_server(*args)  # pyright: ignore[reportAttributeAccessIssue]  # BaseManager's own, unpublished
        except OSError as error:
            args[_WRITER].send(error)

    @property
    def process(self) -> BaseProcess:
        """The hub's process."""
        return self._process  # pyright: ignore[reportAttributeAccessIssue]  # BaseManager publishes its address alone

    def kill(self) -> None:
        """End the hub's process, if there is one."""
        process: BaseProcess | None = getattr(self, "_process", None)
        if process is not None and process.pid is not None:  # None: it was never started
            process.kill()
            process.join()


HubManager.register("Hub", Hub)


def start_hub(vitals: Vitals, listener: socket.socket | None = None) -> tuple[HubManager, Hub]:
    """Start the hub's process, which dies with this one, and return its manager and a proxy of the hub.

    `listener`: a socket of this process that the hub's must not keep open. HubHangsError where it cannot start.
    """
    manager = HubManager(ctx=multiprocessing.get_context("fork"))
    try:
        manager.start(_begin, (os.getpid(), listener))
        if isinstance(failure := manager.address, OSError):
            raise HubHangsError(_reason(failure))
        return manager, manager.Hub(vitals.num_apis, vitals.num_workers)
    except BaseException:  # a hub that does not come up leaves no process
        manager.kill()
        raise


def _reason(failure: OSError) -> str:
    """Say why a hub could not start; without an errno it is Python's own refusal of a socket's path."""
    if failure.errno is None:
        return f"{failure} in {tempfile.gettempdir()}: let TMPDIR name a folder of fewer characters"
    return os.strerror(failure.errno)


def _begin(parent: int, listener: socket.socket | None) -> None:
    """Prepare the hub's process."""
    begin_as_child(parent, "hub")
    if listener is not None:
        listener.close()


class HubHangsError(Exception):
    """The hub did not start, did not answer in time, or ended while it was asked."""


@contextmanager
def hub_answers_within(limit_s: float) -> Iterator[None]:
    """Raise HubHangsError in the main thread when a block that asks the hub takes longer, or when the hub ends.

    A proxy's call has no timeout of its own. An alarm interrupts it, and needs no second thread (`fork`).
    """

    def interrupt(*_: object) -> None:
        raise HubHangsError(f"no answer for {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, limit_s, 1.0)  # again: an exception in a finaliser is swallowed
    try:
        yield
    except (EOFError, ConnectionError, FileNotFoundError) as error:
        raise HubHangsError("it ended") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
