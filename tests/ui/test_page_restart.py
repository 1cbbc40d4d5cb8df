"""A viewer that is started anew while its page is open."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.samples.pages import Page
from tests.samples.viewers import start_viewer, stop_viewer

pytestmark = pytest.mark.slow

CAPTIONS = ".glam-pane:not(.glam-preview) figcaption"
SHOWN = f"all => [...document.querySelectorAll('{CAPTIONS}')].map(caption => caption.textContent).join() === all"
FIRST, SECOND = "Synthetic breasts 1", "Synthetic breasts 2"


def test_a_page_that_is_open_holds_no_viewer_and_goes_on_with_the_next_one(browser, tmp_path: Path):
    viewer = start_viewer(tmp_path / "log")
    try:
        with Page(browser, viewer.url) as page:
            page.open(FIRST)
            assert stop_viewer(viewer) == 128 + 15
            page.point("L CC")
            assert "The model looks most at" in page.said(), "what is shown needs no viewer"
            viewer = start_viewer(tmp_path / "log of the next", port=urlsplit(viewer.url).port)
            page.choose(SECOND)
            page.page.wait_for_function(f"location.hash.includes('{SECOND.replace(' ', '+')}')")
            page.page.wait_for_function(SHOWN, arg="R CC,L CC,R MLO,L MLO")  # Gradio may load the page anew meanwhile
    finally:
        stop_viewer(viewer)
