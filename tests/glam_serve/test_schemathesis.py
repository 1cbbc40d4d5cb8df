"""Requests that a fuzzer makes of the published schema, to a real server: no 5xx but what the server promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from glam.bundle import Bundle
from tests.samples.serving import running

MAX_EXAMPLES = 40


@pytest.mark.slow
def test_no_request_of_the_schema_is_a_fault_of_the_server(random_bundle: Bundle, tmp_path: Path):
    program = Path(sys.executable).with_name("schemathesis")
    options = ("--threads", "1", "--limits.body-idle-s", "2", "--limits.deadline-s", "30")
    with running(random_bundle.folder, tmp_path / "log", *options) as server:
        url = f"http://127.0.0.1:{server.port}"
        words = ["run", f"{url}/openapi.json", "--url", url, "--checks", "not_a_server_error"]
        words += ["--max-examples", str(MAX_EXAMPLES), "--seed", "1", "--no-color", "--phases", "examples,fuzzing"]
        done = subprocess.run([program, *words], capture_output=True, text=True, cwd=tmp_path, timeout=500, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert server.status("/readyz") == 200
    log = server.log.read_text()
    assert log.count("POST") > MAX_EXAMPLES // 2
    for word in ("Traceback", "internal_error", "starting another"):
        assert word not in log
