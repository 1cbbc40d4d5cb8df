"""The program: how it begins, ends, and says that it cannot."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from glam.own_folder import LOCK
from glam_ui.cli import Viewer
from tests.samples.viewers import start_viewer, stop_viewer

PROGRAM = Path(sys.executable).with_name("glam-ui")


def children(pid: int) -> list[int]:
    """Return the processes that descend from one."""
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def folders(pids: list[int]) -> set[Path]:
    """Return the folders whose locks processes hold."""
    opened = [file.resolve() for pid in pids for file in Path("/proc").glob(f"{pid}/fd/*")]
    return {path.parent for path in opened if path.name == LOCK}


def wait_until_ended(pids: list[int], timeout_s: float) -> None:
    """Wait for processes to end."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.slow
def test_a_viewer_takes_its_server_along_when_it_is_killed_and_at_sigterm_and_the_next_one_clears_up(tmp_path: Path):
    killed = start_viewer(tmp_path / "log")
    started = children(killed.process.pid)
    assert len(started) >= 3
    left = folders([killed.process.pid, *started])
    assert len(left) == 3, "of uploads, of the server's log, of the server's metrics"
    killed.process.kill()
    killed.process.wait()
    wait_until_ended(started, 20)
    viewer = start_viewer(tmp_path / "next")
    assert [folder for folder in left if folder.exists()] == []
    started = children(viewer.process.pid)
    assert stop_viewer(viewer) == 128 + 15
    wait_until_ended(started, 10)
    told = viewer.log.read_text()
    assert f"{viewer.url}#example=Synthetic+breasts+1 " in told, "it opens on an exam"
    assert "Traceback" not in told


def test_without_a_server_it_says_where_it_looked():
    done = subprocess.run([str(PROGRAM), "--server", "http://127.0.0.1:9"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("glam-ui: no answer from http://127.0.0.1:9")
    assert "Traceback" not in done.stderr


def test_a_store_without_demo_and_a_folder_without_a_description_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="give it to the glam-serve run that answers"):
        Viewer(store=tmp_path)._description()
    with pytest.raises(ValueError, match="make it with glam-embed describe STORE --out"):
        Viewer(describe=tmp_path)._description()
