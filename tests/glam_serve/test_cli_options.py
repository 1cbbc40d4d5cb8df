"""Options of `glam-serve run`, and where they end up."""

import subprocess
import sys
from pathlib import Path

from glam_serve.cli import Run


def test_the_flags_reach_the_workers():
    workers = Run(workers=2, apis=3, threads=4, provider="P", max_batch=5, batch_wait_s=0.5)._workers()
    chosen = {"num_workers": 2, "num_apis": 3, "threads": 4, "provider": "P", "max_batch": 5, "batch_wait_s": 0.5}
    assert chosen.items() <= vars(workers).items()


def test_an_audit_log_that_cannot_be_made_ends_with_one_sentence(tmp_path: Path):
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--audit", str(tmp_path / "none" / "audit")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.endswith("(No such file or directory): make its folder writable, or name another file\n")
    assert outcome.stderr.count("\n") == 1
