"""Words that lie over a picture can be read, whatever is under them."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator

from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

LEAST_CONTRAST = 4.5
"""WCAG 2.1, 1.4.3."""
TEXT, SHADE = 150, 100
"""A letter is at least so bright, and what is beside it on tissue at most."""


def grey(words: Locator) -> NDArray[np.uint8]:
    words.page.wait_for_timeout(500)  # until it is drawn
    return cv2.imdecode(np.frombuffer(words.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)


def luminance(value: float) -> float:
    """Return the relative luminance of a grey value, as WCAG has it of sRGB."""
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("words", ["figcaption", ".glam-readout"])
def test_words_over_bright_tissue_have_a_dark_edge(browser: "Browser", viewer: RunningViewer, words: str):
    with Page(browser, viewer.url) as page:
        page.open("Synthetic breasts 1")
        for _ in range(6):
            page.page.keyboard.press("+")  # until there is tissue under the words
        over = page.page.locator(f".glam-pane {words}").first
        on_dark = grey(over)
        page.page.keyboard.press("i")
        on_bright = grey(over)
    letters = on_dark > TEXT
    beside = (cv2.dilate(letters.astype(np.uint8), np.ones((3, 3))) > 0) & (on_dark < SHADE)
    assert min(letters.sum(), beside.sum()) > 50, "there are words"
    assert np.median(on_bright) > SHADE, "and something bright under them"
    text, edge = (luminance(float(np.median(on_bright[where]))) for where in (letters, beside))
    assert (text + 0.05) / (edge + 0.05) >= LEAST_CONTRAST
