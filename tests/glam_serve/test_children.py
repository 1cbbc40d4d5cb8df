"""Processes of a server end with their parent, however early it dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.samples.serving import of_proc, wait_until

PARENT = """
import os, sys, time
from functools import partial
from glam_serve.children import spawn_bound

class SlowToImport:
    # What a worker imports, as far as time goes: it is read in the child only, and takes a minute.
    def __init__(self, call): self.call = call
    def __reduce__(self): return slowly, (self.call,)

def slowly(call):
    sys.stdout.write("importing\\n"); sys.stdout.flush()
    time.sleep(60)
    return call

if __name__ == "__main__":
    process = spawn_bound(SlowToImport(partial(time.sleep, 60)), name="worker")
    print(process.pid, flush=True)
    time.sleep(60)
"""
AT_ONCE = """
import sys
from functools import partial
from glam_serve.children import spawn_bound

if __name__ == "__main__":
    process = spawn_bound(partial(print, "called", flush=True), name="worker")
    process.join()
    print(process.exitcode, process.name)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "parent.py"


@pytest.fixture
def family(script: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A parent, and the pid of its child, which imports for a minute."""
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip() for _ in range(2)}
        (pid,) = (int(line) for line in lines if line != "importing")
        yield parent, pid
        parent.kill()
    wait_until(lambda: not of_proc(pid, "cmdline"), "the child ends", 2)


def test_a_bound_process_makes_its_call(script: Path):
    script.write_text(AT_ONCE)
    outcome = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    assert outcome.stdout.split("\n") == ["called", "0 worker", ""]


def test_a_process_that_still_imports_ends_with_its_parent(family: tuple[subprocess.Popen[str], int]):
    parent, pid = family
    assert of_proc(pid, "comm") == b"glam-worker\n"
    parent.kill()
    parent.wait()
    wait_until(lambda: not of_proc(pid, "cmdline"), "the child ends", 2)


def test_ctrl_c_and_a_closed_terminal_are_left_to_the_parent(family: tuple[subprocess.Popen[str], int]):
    _, pid = family
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    time.sleep(0.2)
    assert of_proc(pid, "cmdline")
