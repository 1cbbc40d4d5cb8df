"""The program: how it begins, ends, and says that it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from glam_ui.cli import Viewer

PROGRAM = Path(sys.executable).with_name("glam-ui")


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
