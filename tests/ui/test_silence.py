"""Neither the viewer nor the server that it starts says a word to anybody, and no file is left in a home folder."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from glam.local_server import group_lives
from tests.samples.network import reached_out, traced
from tests.samples.viewers import start_viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_the_viewer_reaches_nobody_and_leaves_nothing(browser: "Browser", tmp_path: Path):
    from tests.samples.pages import Page

    home = tmp_path / "home"
    home.mkdir()
    viewer = start_viewer(tmp_path / "log", launch=partial(launch_traced, tmp_path / "trace", home))
    try:
        with Page(browser, viewer.url) as page:
            page.open("Synthetic breasts 1")
        os.killpg(viewer.process.pid, signal.SIGTERM)
        viewer.process.wait(60)
    finally:
        if group_lives(viewer.process.pid):
            os.killpg(viewer.process.pid, signal.SIGKILL)
    assert (tmp_path / "trace").stat().st_size > 1000
    assert reached_out(tmp_path / "trace") == []
    assert list(home.rglob("*")) == []


def launch_traced(trace: Path, home: Path, command: list[str], **options: Any):
    return traced(trace, home, *command, **{name: value for name, value in options.items() if name != "stdout"})
