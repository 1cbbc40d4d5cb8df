"""Viewers that end and are started anew: what goes with them, what the next one clears up, a page that is open."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from glam.own_folder import LOCK
from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer, start_viewer, stop_viewer

pytestmark = pytest.mark.slow

CAPTIONS = ".glam-pane:not(.glam-preview) figcaption"
SHOWN = f"all => [...document.querySelectorAll('{CAPTIONS}')].map(caption => caption.textContent).join() === all"
FIRST, SECOND = "Synthetic breasts 1", "Synthetic breasts 2"


@pytest.fixture(scope="module")
def viewers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningViewer]]:
    """The viewers of this file: a test begins with the last one and leaves one to the next test, as starts are slow."""
    started: list[RunningViewer] = []
    yield started
    for viewer in started:
        viewer.process.kill()
        viewer.process.wait()


@pytest.fixture
def viewer(viewers: list[RunningViewer], tmp_path: Path) -> RunningViewer:
    """A viewer that runs."""
    if not viewers or viewers[-1].process.poll() is not None:
        viewers.append(start_viewer(tmp_path / "log"))
    return viewers[-1]


def test_a_page_that_is_open_holds_no_viewer_and_goes_on_with_the_next_one(
    browser, viewer: RunningViewer, viewers: list[RunningViewer], tmp_path: Path
):
    with Page(browser, viewer.url) as page:
        page.open(FIRST)
        assert stop_viewer(viewer) == 128 + 15
        page.point("L CC")
        assert "The model looks most at" in page.said(), "what is shown needs no viewer"
        viewers.append(start_viewer(tmp_path / "log of the next", port=urlsplit(viewer.url).port))
        page.choose(SECOND)
        page.page.wait_for_function(f"location.hash.includes('{SECOND.replace(' ', '+')}')")
        page.page.wait_for_function(SHOWN, arg="R CC,L CC,R MLO,L MLO")  # Gradio may load the page anew meanwhile


def children(pid: int) -> list[int]:
    """Return the processes that descend from one."""
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def folders(pids: list[int]) -> set[Path]:
    """Return the folders whose locks processes hold."""
    opened = [file.resolve() for pid in pids for file in Path("/proc").glob(f"{pid}/fd/*")]
    return {path.parent for path in opened if path.name == LOCK}


def wait_until_ended(pids: list[int], timeout_s: float) -> None:
    """Wait for processes to end."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_viewer_takes_its_server_along_when_it_is_killed_and_at_sigterm_and_the_next_one_clears_up(
    viewer: RunningViewer, viewers: list[RunningViewer], tmp_path: Path
):
    started = children(viewer.process.pid)
    assert len(started) >= 3
    left = folders([viewer.process.pid, *started])
    assert len(left) == 3, "of uploads, of the server's log, of the server's metrics"
    viewer.process.kill()
    viewer.process.wait()
    wait_until_ended(started, 20)
    viewer = start_viewer(tmp_path / "next")
    viewers.append(viewer)
    assert [folder for folder in left if folder.exists()] == []
    started = children(viewer.process.pid)
    assert stop_viewer(viewer) == 128 + 15
    wait_until_ended(started, 10)
    told = viewer.log.read_text()
    assert f"{viewer.url}#example=Synthetic+breasts+1 " in told, "it opens on an exam"
    assert "Traceback" not in told
