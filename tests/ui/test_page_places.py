"""What is under the pointer is what is drawn there, on any display; grey values are the server's."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from pydicom import dcmread

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


def squeezed(path: Path, folder: Path) -> Path:
    """Return the same mammogram with pixels that are wider than they are high, as 0.1 mm to 0.07."""
    header = dcmread(path)
    down, across = (float(mm) for mm in header.ImagerPixelSpacing)
    wide = down * 10 / 7
    cols = round(header.Columns * across / wide)
    pixels = cv2.resize(header.pixel_array, (cols, header.Rows), interpolation=cv2.INTER_AREA)
    header.Columns, header.PixelData, header.ImagerPixelSpacing = cols, pixels.tobytes(), [down, wide]
    header.save_as(folder / path.name)
    return folder / path.name


def measured(page: Page, *files: Path) -> dict[str, float]:
    """Return what a page tells in mm of a pair of the left breast."""
    page.page.goto("about:blank")
    page.open()
    page.upload(*files)
    page.wait_for_views()
    page.button("Dismiss").click()
    page.point("L CC", 0.4, 0.4)
    told = {"slice": float(re.search(r"slice (\d)", page.said())[1])}  # type: ignore[index]
    told["nipple"] = float(re.search(r"(\d+) mm to nipple", page.pane("L CC").inner_text())[1])  # type: ignore[index]
    told["peak"] = float(re.search(r"peak: (\d+) mm", page.pane("L MLO").inner_text())[1])  # type: ignore[index]
    page.button("Ruler").click()
    box = page.pane("L CC").bounding_box()
    assert box is not None
    for name, across, down in (("across", 150, 0), ("down", 0, 150)):
        page.page.mouse.move(box["x"] + 40, box["y"] + 200)
        page.page.mouse.down()
        page.page.mouse.move(box["x"] + 40 + across, box["y"] + 200 + down, steps=4)
        page.page.mouse.up()
        told[name] = float(re.search(r"Ruler: ([\d.]+) mm", page.said())[1])  # type: ignore[index]
    scale = re.search(r"(\d+) x (\d+) %, \d+ px/cm|\d+ %, \d+ px/cm", page.pane("L CC").inner_text())
    assert scale
    told["aspect"] = int(scale[1]) / int(scale[2]) if scale[1] else 1.0
    return told


def test_pixels_that_are_not_square_measure_and_show_the_same(page: Page, mammograms: dict[str, Path], tmp_path: Path):
    files = [mammograms[name] for name in ("L_CC", "L_MLO")]
    square = measured(page, *files)
    flat = measured(page, *(squeezed(path, tmp_path) for path in files))
    assert square["across"] == pytest.approx(square["down"], abs=0.2)
    assert flat["across"] == pytest.approx(flat["down"], abs=0.2)
    assert flat["across"] == pytest.approx(square["across"], rel=0.01)
    assert flat["nipple"] == pytest.approx(square["nipple"], abs=1)
    assert flat["peak"] == pytest.approx(square["peak"], abs=3)
    assert flat["slice"] == square["slice"]
    assert (square["aspect"], flat["aspect"]) == (1, pytest.approx(10 / 7, rel=0.02))


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
