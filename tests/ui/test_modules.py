"""The page's modules, by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_modules_of_the_page_hold():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: .ci/debian.txt names the package")
    files = sorted(map(str, HERE.glob("*.test.mjs")))
    assert len(files) > 10
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "# fail 0" in done.stdout
