"""`glam-train` again and again, each in a process of its own that has its imports: `with warm_training() as begin`.

As a program (python -m tests.samples.warm_training) it reads lines, [arguments, file for what is said] as JSON; for
each it forks a process, prints its number, waits until it ends, and prints how.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parents[2]


@dataclass
class Life:
    """A process from its start until it ends or is killed."""

    pid: int
    said: Path
    """What it said on stderr and stdout."""
    _told: BinaryIO
    _status: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, minus a signal or its exit code; None while it goes on."""
        if self._status is None and select.select([self._told], [], [], 0)[0]:
            self._status = os.waitstatus_to_exitcode(int(self._told.readline()))
        return self._status

    def wait(self) -> int:
        """Return how it ended, when it has."""
        select.select([self._told], [], [])
        status = self.poll()
        assert status is not None
        return status


Begin = Callable[[Sequence[str]], Life]
"""Starts a process of `glam-train` with these arguments; one at a time."""


@contextmanager
def warm_training(folder: Path) -> Iterator[Begin]:
    """Give what starts processes, each of one thread; what the last one says is in a file of the folder."""
    command = [sys.executable, "-m", "tests.samples.warm_training"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}  # so that no line is read ahead
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as program:
        asked, told = program.stdin, program.stdout

        def begin(arguments: Sequence[str]) -> Life:
            asked.write(json.dumps([list(arguments), str(folder / "said.txt")]).encode() + b"\n")
            return Life(int(told.readline()), folder / "said.txt", told)

        yield begin


def _fork(arguments: list[str], said: str) -> int:
    from glam_train.cli import main

    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process of a script is started to ignore
        code = main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import glam_train.pretraining.loop
    import glam_train.pretraining.start  # noqa: F401 - what the command imports when it runs

    for line in iter(sys.stdin.readline, ""):
        pid = _fork(*json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
