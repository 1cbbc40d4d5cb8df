"""The whole way, in processes: a sender, `glam-serve listen` that is killed, and the `glam-serve run` that answers."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from glam.local_server import free_port
from tests.samples.senders import SENDER, send
from tests.samples.serving import Serve

WAIT_S = 90.0


@contextmanager
def listening(out: Path, port: int, url: str, log: Path) -> Iterator[subprocess.Popen]:
    """A `glam-serve listen` that takes associations."""
    options = ["--out", out, "--port", str(port), "--url", url, "--peers", SENDER, "--quiet-s", "3", "--hold-s", "0"]
    with log.open("a") as stream:
        process = subprocess.Popen([sys.executable, "-m", "glam_serve.cli", "listen", *options], stderr=stream)
    try:
        _until(lambda: _takes(port) or process.poll() is not None, log)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def _takes(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(holds: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def listed(out: Path) -> list[dict]:
    command = [sys.executable, "-m", "glam_serve.cli", "listen", "--list", "--out", out]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=WAIT_S).stdout
    return [json.loads(line) for line in answer.splitlines()]


@pytest.mark.slow
def test_a_listener_that_is_killed_in_mid_study_loses_nothing_and_doubles_nothing(
    serve: Serve, mammograms: dict[str, Path], tmp_path: Path
):
    server = serve()
    out, port, log = tmp_path / "out", free_port(0), tmp_path / "log"
    url = f"http://127.0.0.1:{server.port}"
    files = [mammograms[name] for name in ("L_CC", "L_MLO", "R_CC", "R_MLO")]
    with listening(out, port, url, log) as first:
        assert send(port, *files[:2]) == [0, 0]
        first.send_signal(signal.SIGKILL)
        first.wait()
    with listening(out, port, url, log) as second:
        assert send(port, *files[1:]) == [0, 0, 0]  # the second one again, as a sender does that was not told
        _until(lambda: bool(list(out.glob("studies/*/result.json"))), log)
        _until(lambda: not list(out.glob("studies/*/*.dcm")), log)
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
    (result,) = out.glob("studies/*/result.json")
    content = json.loads(result.read_text())
    assert content["error"] is None
    assert sorted(content["answer"]["breasts"]) == ["L", "R"]
    (study,) = listed(out)
    assert (study["state"], study["images"], study["sender"]) == ("answered", 4, SENDER)
    text = log.read_text()
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"):
        assert str(dcmread(files[0])[name].value) not in text
    assert (out / "worklist.sqlite").stat().st_mode & 0o077 == 0
