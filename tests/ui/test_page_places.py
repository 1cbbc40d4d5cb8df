"""What is under the pointer is what is drawn there, on any display; grey values are the server's."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

EXAMPLE = "Synthetic breasts 1"
EDGES = """(pane, [x, y]) => {
  const canvas = pane.querySelectorAll('canvas')[1];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  const { left, top } = pane.getBoundingClientRect();
  const row = copy.getImageData(0, Math.round((y - top) * devicePixelRatio), canvas.width, 1).data;
  const isBlue = (place) => row[4 * place + 3] > 200 && row[4 * place] < 110 && row[4 * place + 2] > 220;
  const from = Math.round((x - left) * devicePixelRatio);
  let [low, high] = [from, from];
  while (low > 0 && !isBlue(low)) low -= 1;
  while (high < canvas.width && !isBlue(high)) high += 1;
  return [low, high].map((place) => left + place / devicePixelRatio);
}"""


def slice_at(page: Page, x: float, y: float) -> int:
    page.page.mouse.move(x, y)
    return int(re.search(r"slice (\d)", page.said())[1])  # type: ignore[index]


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_slice_ends_where_its_line_is_drawn(browser: "Browser", viewer: RunningViewer, ratio: int):
    with Page(browser, viewer.url, device_scale_factor=ratio) as page:
        page.open(EXAMPLE)
        for keys in ("", "++", "0a"):
            for key in keys:
                page.page.keyboard.press(key)
            for caption in ("R CC", "L CC") if "a" not in keys else ("R CC", "R MLO"):
                page.page.wait_for_timeout(200)
                if caption not in page.views():
                    continue
                box = page.pane(caption).bounding_box()
                assert box is not None
                x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.52 * box["height"]
                asked = slice_at(page, x, y)
                low, high = page.pane(caption).evaluate(EDGES, [x, y])
                for edge, inwards in ((low, 1), (high, -1)):
                    assert slice_at(page, edge + 3 * inwards, y) == asked, (keys, caption, edge)
                    assert slice_at(page, edge - 3 * inwards, y) != asked, (keys, caption, edge)
        page.check_clean()


@pytest.mark.parametrize("ratio", [1, 2])
def test_at_one_to_one_grey_values_are_the_display_values(
    browser: "Browser", viewer: RunningViewer, mammograms: dict[str, Path], ratio: int
):
    with Page(browser, viewer.url, device_scale_factor=ratio) as page:
        page.open()
        page.upload(mammograms["L_CC"])
        page.wait_for_views()
        page.point("L CC", 0.5, 0.5)
        page.page.keyboard.press("9")
        page.page.wait_for_timeout(300)
        assert "100 %" in page.pane("L CC").inner_text()
        width = page.pane("L CC").locator("canvas").first.evaluate("c => c.width")
        drawn = np.array(page.greys("L CC")).reshape(-1, width)
        shown = np.round(read_view(mammograms["L_CC"], FrameConfig()).pixels * (255 / 65536)).astype(int)
        part = drawn[len(drawn) // 2 - 16 :, width // 2 - 16 :][:32, :32]
        rows = np.lib.stride_tricks.sliding_window_view(shown, 32, axis=1)
        places = np.argwhere((rows == part[0]).all(axis=-1))
        assert any((shown[row : row + 32, col : col + 32] == part).all() for row, col in places)


def test_two_fingers_zoom(browser: "Browser", viewer: RunningViewer):
    with Page(browser, viewer.url, has_touch=True) as page:
        page.open(EXAMPLE)
        box = page.pane("L CC").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = int(re.search(r"(\d+) %", page.pane("L CC").inner_text())[1])  # type: ignore[index]
        touch = page.context.new_cdp_session(page.page)
        for kind, apart in (("touchStart", 20), ("touchMove", 30), ("touchMove", 40)):
            points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.page.wait_for_timeout(300)
        after = int(re.search(r"(\d+) %", page.pane("L CC").inner_text())[1])  # type: ignore[index]
        assert after == pytest.approx(2 * before, rel=0.1)
        page.check_clean()
