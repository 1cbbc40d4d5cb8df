"""What the viewer costs, with four full-field views in Debian's chromium, against Gradio redrawing on the server.

python -m bench.viewer [--quick]

The exam is of phantoms enlarged to 3328 x 4096 pixels, uncompressed; the first picture is timed of a compressed copy of
it too (JPEG 2000, lossless), as archives send them. A move of the query is timed from the pointer's event to the
frame after the one that shows it, in the page; the same move by `gr.Image` from the click to the new pictures, of
1000 x 1300 pixels, in a page of its own. The first picture is timed in the page, from the press on an exam's name to
its small pictures on the screen, against reading its four files one after the other in a process of its own; the
browser has no GPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from imagecodecs import jpeg2k_encode
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from bench.prepare import large
from bench.report import goal, print_summary
from glam.local_server import free_port
from tests.samples.pages import Page
from tests.samples.viewers import start_viewer, stop_viewer

EXAM, COMPRESSED = "uncompressed exam", "exam in JPEG 2000"
PICTURES = 'img[src*="file="]'
REDRAW = """
import sys, numpy as np, gradio as gr
random = np.random.default_rng(0)
pictures = [random.normal(128, 20, (1300, 1000, 1)).clip(0, 255).repeat(3, 2).astype("uint8") for _ in range(2)]
def redrawn(event: gr.SelectData):
    x, y = event.index
    changed = [picture.copy() for picture in pictures]
    for picture in changed:
        picture[max(0, y - 40):y + 40, max(0, x - 40):x + 40] = (255, 0, 0)
    return changed
with gr.Blocks(analytics_enabled=False) as page:
    images = [gr.Image(picture, format="png", interactive=False, height=650) for picture in pictures]
    images[0].select(redrawn, None, images)
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), ssr_mode=False, quiet=True, enable_monitoring=False)
"""
READ = """
import json, sys, time
from glam.config import FrameConfig
from glam.reading.read import read_view
from glam_ui.packing import packed
read_view(sys.argv[1], FrameConfig())
start = time.perf_counter(); views = [read_view(path, FrameConfig()) for path in sys.argv[1:]]
middle = time.perf_counter(); sizes = [len(packed(view.pixels)) for view in views]
print(json.dumps([middle - start, time.perf_counter() - middle, sum(sizes), sum(view.pixels.nbytes for view in views)]))
"""
WATCH_FIRST = """() => {
  let pressed = 0;
  addEventListener('mousedown', () => { pressed = performance.now(); }, { capture: true, once: true });
  window.firstPictures = new Promise((resolve) => {
    const watch = new MutationObserver(() => {
      if (document.querySelectorAll('.glam-pane canvas').length < 4) return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - pressed)));
    });
    watch.observe(document.body, { childList: true, subtree: true });
  });
}"""
MOVES = """async ({ moves }) => {
  const pane = document.querySelectorAll('.glam-pane')[1];
  const box = pane.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  const took = [];
  for (let k = 0; k < moves; k += 1) {
    await frame();
    const start = performance.now();
    const clientX = box.left + box.width * (0.2 + 0.5 * ((k * 7) % moves) / moves);
    const clientY = box.top + box.height * (0.35 + 0.3 * ((k * 5) % moves) / moves);
    pane.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY, pointerType: 'mouse' }));
    await frame(); await frame();  // drawn in the first, on the screen before the second
    took.push(performance.now() - start);
  }
  return took;
}"""
WINDOWS = """async ({ moves }) => {
  const frame = () => new Promise(requestAnimationFrame);
  const took = [];
  for (let k = 0; k < moves; k += 1) {
    await frame();
    const start = performance.now();
    document.querySelector('[data-action="invert"]').click();  // all four views
    await frame(); await frame();
    took.push(performance.now() - start);
  }
  return took;
}"""

FRAME = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  const start = performance.now();
  for (let k = 0; k < 60; k += 1) await frame();
  return (performance.now() - start) / 60;
}"""


def write_exam(folder: Path) -> list[Path]:
    """Write the four views of an exam, full-field; return their paths."""
    from glam.phantom.dicom_file import write_dicom
    from glam.phantom.exam import draw_exam

    exam = draw_exam(1, 0)
    folder.mkdir(parents=True)
    paths = []
    for side, pair in exam.breasts.items():
        for name, projection in (("CC", pair.cc), ("MLO", pair.mlo)):
            paths.append(folder / f"{side}_{name}.dcm")
            write_dicom(paths[-1], large(projection), exam.study)
    return paths


def compressed(paths: list[Path], folder: Path) -> list[Path]:
    """Write uncompressed files as JPEG 2000, lossless; return their paths."""
    folder.mkdir()
    for path in paths:
        dataset = dcmread(path)
        encoded = jpeg2k_encode(dataset.pixel_array, level=0, reversible=True, codecformat="j2k")
        dataset.PixelData = encapsulate([encoded])
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset["PixelData"].VR = "OB"
        dataset.save_as(folder / path.name)
    return [folder / path.name for path in paths]


def reading(paths: list[Path]) -> dict[str, float]:
    """Return what it costs to read four files, and to pack their pixels for the page."""
    done = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, check=True)
    read_s, pack_s, packed_bytes, raw_bytes = json.loads(done.stdout)
    return {
        "read_s": read_s,
        "pack_s": pack_s,
        "packed_mb": packed_bytes / 1e6,
        "packed_of_raw": packed_bytes / raw_bytes,
    }


def of_the_viewer(browser: Any, exams: Path, *, moves: int) -> dict[str, float]:
    """Return what an exam, moves, windows and sentences take."""
    viewer = start_viewer(exams.parent / "viewer.log", "--examples", str(exams))
    try:
        with Page(browser, viewer.url) as page:
            of_compressed = first_pictures(page, COMPRESSED)
        with Page(browser, viewer.url) as page:
            of_plain = first_pictures(page, EXAM)
            page.button("Dismiss").click()
            page.page.evaluate(MOVES, {"moves": 5})
            moved = page.page.evaluate(MOVES, {"moves": moves})
            windowed = page.page.evaluate(WINDOWS, {"moves": moves})
            frame = page.page.evaluate(FRAME)
            asked = [sentences_s(page, number) for number in range(6)][1:]
    finally:
        stop_viewer(viewer)
    return {
        "first_picture_s": of_plain[0],
        "whole_exam_s": of_plain[1],
        "compressed_first_picture_s": of_compressed[0],
        "compressed_whole_exam_s": of_compressed[1],
        "move_ms": statistics.median(moved),
        "move_p95_ms": float(np.percentile(moved, 95)),
        "window_ms": statistics.median(windowed),
        "frame_ms": frame,
        "sentences_ms": 1000 * statistics.median(asked),
    }


def first_pictures(page: Page, name: str) -> tuple[float, float]:
    """Choose an exam in a new page; return the seconds to its small pictures, and to all of it."""
    page.page.set_default_timeout(120_000)
    page.open()
    chosen = page.offer(name)
    page.page.evaluate(WATCH_FIRST)
    start = time.perf_counter()
    chosen.click()
    first_s = page.page.evaluate("firstPictures") / 1000
    page.wait_for_views()
    return first_s, time.perf_counter() - start


def sentences_s(page: Page, number: int) -> float:
    """Return how long a reader's sentences take, from the press to the table."""
    box = page.page.get_by_label("One sentence a line")
    if not number:
        page.page.get_by_role("button", name="Ask in your own words").click()
    box.fill(f"A mass is present\nNo mass is present\nNumber {number}")
    start = time.perf_counter()
    page.button("Compare").click()
    page.page.locator(".glam-words th", has_text=f"Number {number}").wait_for()
    return time.perf_counter() - start


def of_redrawing(browser: Any, folder: Path, *, moves: int) -> float:
    """Return the median milliseconds from a click on `gr.Image` to both new pictures."""
    port = free_port(7900)
    (folder / "redraw.py").write_text(REDRAW)
    process = subprocess.Popen([sys.executable, str(folder / "redraw.py"), str(port)], stdout=subprocess.DEVNULL)
    try:
        page = browser.new_page(viewport={"width": 1400, "height": 1500})
        for _ in range(100):
            try:
                page.goto(f"http://127.0.0.1:{port}/")
                break
            except Exception:
                time.sleep(0.3)
        page.locator(PICTURES).nth(1).wait_for()
        took = [_redrawn_ms(page, 150 + 4 * move) for move in range(moves + 1)][1:]
    finally:
        process.terminate()
        process.wait(20)
    return statistics.median(took)


def _redrawn_ms(page: Any, place: int) -> float:
    before = page.locator(PICTURES).evaluate_all("images => images.map((image) => image.src)")
    start = time.perf_counter()
    page.locator(PICTURES).first.click(position={"x": place, "y": place})
    page.wait_for_function(
        f"(before) => {{ const images = [...document.querySelectorAll(`{PICTURES}`)];"
        " return images.length === 2 && images.every((one) => one.complete && !before.includes(one.src)); }",
        arg=before,
    )
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Measure, and print the summary."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten moves instead of forty")
    moves = 10 if parser.parse_args().quick else 40
    with tempfile.TemporaryDirectory(prefix="glam-viewer-") as name, sync_playwright() as play:
        folder = Path(name)
        paths = write_exam(folder / "exams" / EXAM)
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        read = reading(paths)
        read["compressed_read_s"] = reading(compressed(paths, folder / "exams" / COMPRESSED))["read_s"]
        seen = of_the_viewer(browser, folder / "exams", moves=moves)
        redrawn_ms = of_redrawing(browser, folder, moves=moves)
    figures = {key: round(value, 3) for key, value in (read | seen | {"redrawn_ms": redrawn_ms}).items()}
    goals = {
        "move_p95_ms": goal(figures["move_p95_ms"], at_most=60),
        "times_as_fast_as_redrawing": goal(round(redrawn_ms / seen["move_ms"], 1), at_least=20),
        "window_in_frames": goal(round(seen["window_ms"] / seen["frame_ms"], 1), at_most=3),
        "first_picture_of_reading": goal(round(seen["first_picture_s"] / read["read_s"], 1), at_most=2),
        "first_picture_of_reading_compressed": goal(
            round(seen["compressed_first_picture_s"] / read["compressed_read_s"], 1), at_most=2
        ),
        "sentences_ms": goal(figures["sentences_ms"], at_most=200),
    }
    print_summary("viewer", figures | {"moves": moves}, goals)


if __name__ == "__main__":
    main()
