"""No command of ours looks anything up, reaches out, or leaves a file in the home folder."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.client import Client
from glam.local_server import free_port, group_lives, wait_until_ready
from tests.samples.network import reached_out, traced

ROOT = Path(__file__).parents[2]
OURS = ("glam", "glam_train", "glam_serve", "export", "ui", "bench")


def test_whatever_imports_onnxruntime_tells_it_to_be_silent_before():
    for folder in OURS:
        for file in (ROOT / folder).rglob("*.py"):
            lines = file.read_text().splitlines()
            for number in imports_at_run_time(ast.parse(file.read_text())):
                before = next(line.strip() for line in reversed(lines[: number - 1]) if line.strip())
                assert before == "switch_telemetry_off()", f"{file}:{number}"


def imports_at_run_time(tree: ast.Module) -> list[int]:
    """Line numbers of the imports of onnxruntime that are not for the type checker alone."""
    typed = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    numbers = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if node not in typed and any(name.partition(".")[0] == "onnxruntime" for name in names):
            numbers.append(node.lineno)
    return numbers


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


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
        assert client.predict(cc=mammograms["L_CC"], prompts=["a mass"]).laterality == "L"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert reached_out(tmp_path / "trace") == []
    assert list(home.rglob("*")) == []
