"""The page on a server whose model takes no square: views are drawn, and its input upright."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glam.bundle import Bundle
from tests.samples.pages import Page
from tests.samples.serving import running
from tests.samples.viewers import RunningViewer, start_viewer, stop_viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rectangle_viewer(
    rectangle_bundle: Bundle, mammograms: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningViewer]:
    folder = tmp_path_factory.mktemp("rectangle_viewer")
    exams = next(iter(mammograms.values())).parents[1]
    with running(rectangle_bundle.folder, folder / "server.log", "--threads", "1") as server:
        viewer = start_viewer(folder / "viewer.log", "--examples", str(exams), server=f"http://127.0.0.1:{server.port}")
        yield viewer
        assert stop_viewer(viewer) in (0, 143)
    assert "Traceback" not in viewer.log.read_text()


def test_views_are_drawn_as_stored_and_as_the_model_takes_them(browser: "Browser", rectangle_viewer: RunningViewer):
    with Page(browser, rectangle_viewer.url) as page:
        page.open("000000")
        assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]
        plain = {name: page.greys(name) for name in page.views()}
        page.button("Slices upright").click()
        state = page.state()
        assert state is not None
        assert state["aligned"] is True
        for name in page.views():
            upright = page.greys(name)
            assert max(upright) > 30
            assert upright != plain[name]
        page.check_clean()
