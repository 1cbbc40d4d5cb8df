"""No command of ours looks anything up, reaches out, or leaves a file in the home folder."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.client import Client
from glam_serve.local import free_port, group_lives, wait_until_ready

ROOT = Path(__file__).parents[2]
OURS = ("glam", "glam_train", "glam_serve", "export", "ui", "bench")
LOOPBACK = re.compile(r'inet_addr\("127\.|"::1"|"::ffff:127\.')
SENDS = re.compile(r"\b(connect|sendto|sendmsg|sendmmsg)\(")


def test_onnxruntime_is_imported_in_one_place_only_and_told_to_be_silent_before():
    imports = [(file, node.lineno) for folder in OURS for file in (ROOT / folder).rglob("*.py") for node in found(file)]
    assert {file.relative_to(ROOT).as_posix() for file, _ in imports} == {"glam/runtime.py"}
    lines = (ROOT / "glam/runtime.py").read_text().splitlines()
    _, at_run_time = imports  # the first one is for the type checker
    assert lines[at_run_time[1] - 2].strip() == "switch_telemetry_off()"


def found(file: Path) -> Iterator[ast.Import]:
    """The imports of onnxruntime in a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import) and any(alias.name.startswith("onnxruntime") for alias in node.names):
            yield node
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("onnxruntime"), file


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def traced(trace: Path, home: Path, *command: object, **options) -> subprocess.Popen[bytes]:
    """A command whose network calls, its children's too, are written down; its home is `home`."""
    if not shutil.which("strace"):
        pytest.skip("no strace: apt-get install strace")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    words = ["strace", "-f", "-qq", "-s", "256", "-e", "trace=network", "-e", "signal=none", "-o", str(trace)]
    return subprocess.Popen(
        [*words, *map(str, command)],
        env=environment | {"HOME": str(home)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )


def reached_out(trace: Path) -> list[str]:
    """The traced calls that go, or would go, beyond this machine: to an address, or to whoever looks names up."""
    calls = [line for line in trace.read_text(errors="replace").splitlines() if SENDS.search(line)]
    return [call for call in calls if ("AF_INET" in call and not LOOPBACK.search(call)) or "nscd" in call]


def test_the_audit_would_see_a_look_up(tmp_path: Path, home: Path):
    look_up = "import socket\ntry: socket.getaddrinfo('mammogram.invalid', 80)\nexcept OSError: pass"
    assert traced(tmp_path / "trace", home, sys.executable, "-c", look_up).wait(60) == 0
    assert reached_out(tmp_path / "trace")


def test_the_audit_would_see_a_connection(tmp_path: Path, home: Path):
    connect = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    traced(tmp_path / "trace", home, sys.executable, "-c", connect, stderr=subprocess.DEVNULL).wait(60)
    assert reached_out(tmp_path / "trace")


@pytest.mark.slow
def test_glam_predict_reaches_nobody_and_leaves_nothing(
    tmp_path: Path, home: Path, random_bundle: Bundle, mammograms: dict[str, Path]
):
    command = [sys.executable, "-m", "glam.cli", "predict", "--bundle", random_bundle.folder]
    files = [
        "--cc",
        mammograms["L_CC"],
        "--mlo",
        mammograms["L_MLO"],
        "--prompts",
        "a mass",
        "--out",
        tmp_path / "answer",
    ]
    assert traced(tmp_path / "trace", home, *command, *files).wait(180) == 0
    assert reached_out(tmp_path / "trace") == []
    assert list(home.rglob("*")) == []


@pytest.mark.slow
def test_the_server_reaches_nobody_and_leaves_nothing(
    tmp_path: Path, home: Path, random_bundle: Bundle, mammograms: dict[str, Path]
):
    port, log = free_port(0), tmp_path / "log"
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", random_bundle.folder, "--port", port]
    with log.open("wb") as stream:
        process = traced(tmp_path / "trace", home, *command, "--threads", "1", stderr=stream)
    try:
        wait_until_ready(process, port, log=log)
        client = Client(url=f"http://127.0.0.1:{port}")
        assert client.predict(cc=mammograms["L_CC"], prompts=["a mass"])["laterality"] == "L"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert reached_out(tmp_path / "trace") == []
    assert list(home.rglob("*")) == []
