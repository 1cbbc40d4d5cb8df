"""The page on a server whose model does not compare views: everything but where it looks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glam.bundle import Bundle
from tests.samples.pages import BEGUN, Page
from tests.samples.serving import running
from tests.samples.viewers import RunningViewer, start_viewer, stop_viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

NOT_COMPARED = "This model does not compare views: it does not say where it looks."


@pytest.fixture(scope="module")
def unaligned_viewer(
    unaligned_bundle: Bundle, mammograms: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningViewer]:
    folder = tmp_path_factory.mktemp("unaligned_viewer")
    exams = next(iter(mammograms.values())).parents[1]
    with running(unaligned_bundle.folder, folder / "server.log", "--threads", "1") as server:
        viewer = start_viewer(folder / "viewer.log", "--examples", str(exams), server=f"http://127.0.0.1:{server.port}")
        yield viewer
        assert stop_viewer(viewer) in (0, 143)
    assert "Traceback" not in viewer.log.read_text()


def test_an_exam_is_shown_with_its_classes_and_sentences_and_it_is_said_that_there_is_no_heat(
    browser: "Browser", unaligned_viewer: RunningViewer, tmp_path: Path
):
    with Page(browser, unaligned_viewer.url) as page:
        page.open("000000", touring=True)
        assert "This model does not compare views" in page.page.locator(".glam-tour").inner_text()
        page.button("Dismiss").click()
        assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]
        assert max(page.greys("L CC")) > 30
        page.point("L CC")
        page.page.mouse.down()
        page.page.mouse.up()
        page.pane("R MLO").focus()
        for key in ("ArrowDown", "Enter", "f", "s"):
            page.page.keyboard.press(key)
        assert page.said() == NOT_COMPARED
        state = page.state()
        assert state is not None
        assert (state["query"], state["pins"]) == (BEGUN["query"], [])
        assert page.page.locator(".glam-bars i").count() == 0
        for name in ("Attention", "Pin"):
            assert page.button(name).is_disabled()
        assert page.button("Slices upright").is_enabled()
        assert "BI-RADS" in page.page.locator("#glam-results").inner_text()
        answer = json.loads(page.saved("JSON", tmp_path).read_text())
        assert [breast["attention"] for breast in answer["breasts"].values()] == [None, None]
        page.page.get_by_role("button", name="Ask in your own words").click()
        page.page.get_by_label("One sentence a line").fill("the breast is dense\na mass is present")
        page.button("Compare").click()
        page.page.locator("#glam-ask table").wait_for()
        page.check_clean()
