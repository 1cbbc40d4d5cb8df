"""The list of skips that CI allows (tests/plugins/skips.py)."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PLUGINS = Path(__file__).with_name("plugins")


def run_with_skip(
    folder: Path, *, reason: str, ci: str, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\ndef test_it(): pytest.skip({reason!r})\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "skips", "-c", os.devnull, "--rootdir", str(folder)]
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(PLUGINS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, *options, str(folder)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "--numprocesses", "2")])
def test_ci_fails_on_a_skip_that_hides_a_missing_install(tmp_path: Path, options: Sequence[str]):
    outcome = run_with_skip(tmp_path, reason="no curl", ci="true", options=options)
    assert outcome.returncode == 1
    assert "test_it.py::test_it: no curl" in outcome.stdout


@pytest.mark.parametrize(("reason", "ci"), [("no GPU", "true"), ("no curl", "")])
def test_a_skip_passes_when_it_is_allowed_or_not_in_ci(tmp_path: Path, reason: str, ci: str):
    assert run_with_skip(tmp_path, reason=reason, ci=ci).returncode == 0
