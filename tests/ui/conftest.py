"""A viewer as a reader has it: its own process, its own server, and Debian's chromium to look at it."""

import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from glam.local_server import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.samples.pages import Page

READY_TIMEOUT_S = 120.0


class RunningViewer(NamedTuple):
    """`glam-ui --demo`, and what it wrote."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]


def chromium() -> str:
    """Return the path of the browser; without one the test is skipped."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium: .ci/debian.txt names the package")
    return found


def start_viewer(log: Path, *options: str) -> RunningViewer:
    """Start `glam-ui --demo` and wait until its page answers."""
    port = free_port(7860)
    program = Path(sys.executable).with_name("glam-ui")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(program), "--demo", "--port", str(port), *options], stdout=stream, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            break  # it asks for a password
        except OSError:
            time.sleep(0.2)
        else:
            break
    else:
        process.kill()
        pytest.fail(f"the viewer did not start: {log.read_text(errors='replace')[-2000:]}")
    return RunningViewer(url, log, process)


def stop_viewer(viewer: RunningViewer) -> int:
    """End the viewer as an operator would; return its exit status."""
    viewer.process.send_signal(signal.SIGTERM)
    return viewer.process.wait(30)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningViewer]:
    """`glam-ui --demo`, shared by all tests of the page."""
    chromium()
    running = start_viewer(tmp_path_factory.mktemp("viewer") / "viewer.log")
    yield running
    stop_viewer(running)


@pytest.fixture
def page(browser: "Browser", viewer: RunningViewer) -> "Iterator[Page]":
    """A new page on the viewer; at its end nothing was wrong in its console, and nothing came from elsewhere."""
    from tests.samples.pages import Page

    with Page(browser, viewer.url) as opened:
        yield opened
        opened.check_clean()
