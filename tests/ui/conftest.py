"""A viewer as a reader has it: its own process, its own server, and Debian's chromium to look at it."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.samples.viewers import RunningViewer, start_viewer, stop_viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.samples.pages import Page


EXAMPLE = "Synthetic breasts 1"


def chromium() -> str:
    """Return the path of the browser; without one the test is skipped."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium: .ci/debian.txt names the package")
    return found


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, for a file: while it is there an event loop runs in this thread, and other tests need their own."""
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


@pytest.fixture(scope="module")
def opened(browser: "Browser", viewer: RunningViewer) -> "Iterator[Page]":
    """The page of `shown`."""
    from tests.samples.pages import Page

    with Page(browser, viewer.url) as page:
        page.open(EXAMPLE)
        yield page


@pytest.fixture
def shown(opened: "Page") -> "Iterator[Page]":
    """A page on the first example, opened once for the tests of a file that put back what they change.

    It is opened anew where the test before failed, or left something behind.
    """
    from tests.samples.pages import BEGUN

    if opened.wrong or opened.state() not in (None, BEGUN):
        opened.open_again(EXAMPLE)
    yield opened
    opened.check_clean()
    opened.put_back()
