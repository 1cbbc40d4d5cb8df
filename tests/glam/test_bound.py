"""A command that is bound ends with the process that started it, in its own way."""

import os
import subprocess
import sys
from pathlib import Path

from glam.bound import bound
from tests.samples.serving import of_proc, wait_until

CHILD = """
import pathlib, signal, sys, time
def ended(*_):
    pathlib.Path(sys.argv[1]).write_text("ended in order")
    sys.exit()
signal.signal(signal.SIGTERM, ended)
print("up", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
from glam.bound import bound
with subprocess.Popen(bound([sys.executable, "-c", *sys.argv[1:]]), stdout=subprocess.PIPE) as child:
    assert child.stdout.readline() == b"up\\n"
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_bound_command_ends_in_order_when_its_parent_is_killed(tmp_path: Path):
    command = [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "told")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    wait_until(lambda: not of_proc(child, "cmdline"), "the command ends", 5)
    assert (tmp_path / "told").read_text() == "ended in order"


def test_a_command_whose_parent_is_gone_already_does_not_begin(tmp_path: Path):
    command = bound(["/bin/touch", str(tmp_path / "begun")])
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, check=False).returncode == -15
    assert not (tmp_path / "begun").exists()


def test_a_bound_command_takes_no_module_from_the_folder_it_runs_in(tmp_path: Path):
    (tmp_path / "glam.py").write_text("raise SystemExit('of the folder')")
    (tmp_path / "ctypes.py").write_text("raise SystemExit('of the folder')")
    done = subprocess.run(bound(["/bin/echo", "begun"]), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "begun\n"
