"""The panel of similar cases and the page about a store, in a browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.local_server import free_port
from glam_serve.cohort.describe_command import Describe
from tests.samples.pages import Page
from tests.samples.stores import RECORD, write_store
from tests.samples.viewers import RunningViewer, start_viewer, stop_viewer

pytestmark = pytest.mark.slow

EXAMPLE = "Synthetic breasts 1"


@pytest.fixture(scope="module")
def with_store(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningViewer]:
    """`glam-ui --demo` on a store of the demo bundle, and on a description of it."""
    folder, bundle = tmp_path_factory.mktemp("with-store"), read_bundle(DEMO_BUNDLE)
    facts = replace(RECORD.facts, dim=bundle.model.joint_dim)
    record = replace(RECORD, config=replace(RECORD.config, bundle=bundle.sha256), facts=facts)
    write_store(folder / "store", [f"e{number}" for number in range(9)], record=record)
    Describe(store=folder / "store", out=folder / "description").run()
    options = ("--store", str(folder / "store"), "--describe", str(folder / "description"))
    running = start_viewer(folder / "viewer.log", *options, port=free_port(47860))
    yield running
    stop_viewer(running)


def test_similar_cases_are_found_by_keyboard_and_forgotten_with_their_exam(
    browser: Browser, with_store: RunningViewer, tmp_path: Path
):
    with Page(browser, with_store.url) as page:
        page.open(EXAMPLE)
        page.page.get_by_role("button", name="Similar cases").first.focus()
        page.page.keyboard.press("Enter")
        find = page.button("Find similar cases")
        find.wait_for()
        find.press("Enter")
        tables = page.page.locator(".glam-similar")
        tables.first.wait_for()
        assert [text.split()[0] for text in tables.locator("caption").all_inner_texts()] == ["Right", "Left"]
        assert tables.first.locator("tbody tr").count() == 5
        assert "The most alike of 9 breasts" in page.page.locator("#glam-like [role=status]").inner_text()
        likeness = [float(text) for text in tables.first.locator("tbody td:nth-child(2)").all_inner_texts()]
        assert likeness == sorted(likeness, reverse=True)
        assert ".dcm" not in page.page.locator("#glam-like").inner_text()
        page.page.screenshot(path=str(tmp_path / "similar.png"))
        page.choose("Synthetic breasts 2")
        tables.first.wait_for(state="detached")
        page.wait_for_views()
        page.check_clean()


def test_the_page_about_the_store_is_a_link_away_and_fetches_nothing(browser: Browser, with_store: RunningViewer):
    with Page(browser, with_store.url) as page:
        page.open()
        link = page.page.get_by_role("link", name="What the store holds")
        with page.context.expect_page() as opened:
            link.click()
        described = opened.value
        described.get_by_role("heading", name="What the store holds").wait_for()
        assert described.evaluate("document.images[0].naturalWidth") > 1000
        assert "not for diagnosis" in described.inner_text("main")
        assert (
            described.evaluate("performance.getEntriesByType('resource').length") <= 1
        )  # the picture, of its own data
        page.check_clean()
