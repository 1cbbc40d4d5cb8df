"""Options of `glam-serve run`, and where they end up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glam_serve.cli import Run


def test_the_flags_reach_the_workers():
    workers = Run(workers=2, apis=3, threads=4, provider="P", max_batch=5, batch_wait_s=0.5)._workers()
    chosen = {"num_workers": 2, "num_apis": 3, "threads": 4, "provider": "P", "max_batch": 5, "batch_wait_s": 0.5}
    assert chosen.items() <= vars(workers).items()


def test_the_environment_sets_the_default_of_the_port(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GLAM_PORT", raising=False)
    assert Run().port == 8000
    monkeypatch.setenv("GLAM_PORT", "9000")
    assert (Run().port, Run(port=9001).port) == (9000, 9001)


@pytest.mark.parametrize("value", ["", "http", "-1", "8000.0", "9" * 5000, "٨٠٠٠"])
def test_what_is_no_port_in_the_environment_ends_with_one_sentence(value: str):
    command = [sys.executable, "-m", "glam_serve.cli", "run"]
    settings = os.environ | {"GLAM_PORT": value}
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=settings)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("glam-serve: GLAM_PORT ")
    assert outcome.stderr.endswith(" is no port: set it to a number from 1024 to 65535, or leave it out\n")


def test_an_audit_log_that_cannot_be_made_ends_with_one_sentence(tmp_path: Path):
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--audit", str(tmp_path / "none" / "audit")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.endswith("(No such file or directory): make its folder writable, or name another file\n")
    assert outcome.stderr.count("\n") == 1
