"""The viewer's page in a browser, in the words of its reader."""

import base64
import json
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Browser, Download, Locator

SLOW_MS = 30_000
"""The machine is shared."""
VIEWPORT: Any = {"width": 1400, "height": 900}
LINK_MS = 700
"""The link is written twice a second at most."""
BEGUN: dict[str, Any] = {
    "layout": "exam",
    "aligned": False,
    "query": None,
    "pins": [],
    "opacity": 0.6,
    "threshold": 0,
    "attentionShown": True,
    "truthShown": False,
    "windows": {},
}
"""The state of the view when an exam of both breasts has just come."""
OF_GRADIO = "Method not implemented."
"""A warning of Gradio's own client whenever it closes a stream of events: nothing is wrong with the page."""


class Page:
    """A window of the browser with the viewer in it, what its console said, and where its requests went."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(viewport=VIEWPORT, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW_MS)
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._note)

    def _hear(self, said: Any) -> None:
        if said.type in ("error", "warning") and said.text != OF_GRADIO:
            self.wrong.append(said.text)

    def _note(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.netloc)

    def __enter__(self) -> "Page":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.context.close()

    def check_clean(self) -> None:
        """Assert that nothing went wrong, nothing came from another host, and the browser keeps nothing."""
        assert not self.wrong, self.wrong
        assert self.hosts <= {urlsplit(self.url).netloc}, self.hosts
        assert self.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])") == '[{},{},""]'

    def open(self, example: str | None = None, *, touring: bool = False, **state: Any) -> None:
        """Go to the page; with an example wait until it is shown. The tour is dismissed unless it is looked for."""
        link = {"example": example, **state} if example else state
        self.page.goto(f"{self.url}#{urlencode(link)}" if link else self.url)
        self.page.locator(".glam-viewer").wait_for(state="attached")
        if example:
            self.wait_for_views()
            if not touring:
                self.button("Dismiss").click()

    def open_again(self, example: str) -> None:
        """Leave the page, and go to it anew."""
        self.page.goto("about:blank")
        self.wrong.clear()
        self.open(example)

    def put_back(self) -> None:
        """Put what is shown back as it was when it came: nothing pointed at or pinned, no ruler, the views fitted."""
        self.page.set_viewport_size(VIEWPORT)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.mouse.move(0, 0)
        if self.button("Ruler").get_attribute("aria-pressed") == "true":
            self.button("Ruler").click()
        for key in ("Escape", "1", "0"):
            self.page.keyboard.press(key)

    def state(self) -> dict[str, Any] | None:
        """Return the state of the view in the page's link, once it is written; None: the link says nothing of it."""
        self.page.wait_for_timeout(LINK_MS)
        sent = parse_qs(urlsplit(self.page.url).fragment).get("view")
        return json.loads(sent[0]) if sent else None

    def wait_for_views(self) -> None:
        """Wait until pixels are drawn."""
        self.page.locator(".glam-pane:not(.glam-preview)").first.wait_for()
        self.page.wait_for_function("document.querySelector('.glam-readout')?.textContent.includes('%')")

    def choose(self, example: str) -> None:
        """Choose an example by its list."""
        self.offer(example).click()

    def offer(self, example: str) -> Locator:
        """Open the list of examples; return one of them."""
        self.page.get_by_label("Example").click()
        return self.page.get_by_role("option", name=example)

    def rule(self, view: str) -> None:
        """Draw the ruler over 60 points across a view."""
        self.button("Ruler").click()
        box = self.pane(view).bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + 20, box["y"] + 300)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 80, box["y"] + 300, steps=4)
        self.page.mouse.up()

    def tap(self, view: str) -> None:
        """Touch the middle of a view with a finger."""
        pane = self.pane(view)
        pane.scroll_into_view_if_needed()
        box = pane.bounding_box()
        assert box is not None
        self.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def upload(self, *files: Path) -> None:
        """Drop files."""
        self.page.locator("#glam-files input[type=file]").set_input_files([str(file) for file in files])

    def views(self) -> list[str]:
        """Return the captions of the views, from left to right."""
        return self.page.locator(".glam-pane figcaption").all_text_contents()

    def pane(self, caption: str) -> Locator:
        """Return a view, by its caption."""
        return self.page.locator(".glam-pane", has=self.page.get_by_text(caption, exact=True))

    def point(self, caption: str, across: float = 0.4, down: float = 0.5) -> None:
        """Move the pointer to a place of a view, in shares of its width and height."""
        box = self.pane(caption).bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        self.page.wait_for_timeout(100)

    def said(self) -> str:
        """Return what is said aloud, once the last move is drawn."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.page.locator(".glam-live").inner_text()

    def told(self) -> Locator:
        """Return the place of messages."""
        return self.page.locator("#glam-told")

    def button(self, name: str) -> Locator:
        """Return a button by its name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def saved(self, name: str, folder: Path) -> Path:
        """Press a button that saves something, and return the file."""
        with self.page.expect_download() as waiting:
            self.button(name).click()
        download: Download = waiting.value
        path = folder / download.suggested_filename
        download.save_as(path)
        return path

    def greys(self, caption: str) -> list[int]:
        """Return the red channel of a view's pixels as they are drawn, in rows."""
        return [red for red, *_ in self._pixels(caption, 0)]

    def num_white(self, caption: str) -> int:
        """Return how many pixels of what is drawn over a view are opaque and white."""
        return sum(min(pixel) > 240 for pixel in self._pixels(caption, 1))

    def _pixels(self, caption: str, canvas: int) -> list[tuple[int, ...]]:
        """Return RGBA of each pixel of a canvas, read from a copy: a canvas that is read is drawn slower afterwards."""
        encoded = (
            self.pane(caption)
            .locator("canvas")
            .nth(canvas)
            .evaluate(
                """c => {
                  const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });
                  copy.drawImage(c, 0, 0);
                  const { data } = copy.getImageData(0, 0, c.width, c.height);
                  const parts = [];
                  const step = 1 << 15;
                  for (let k = 0; k < data.length; k += step) {
                    parts.push(String.fromCharCode(...data.subarray(k, k + step)));
                  }
                  return btoa(parts.join(''));
                }"""
            )
        )
        values = base64.b64decode(encoded)  # a list of numbers takes a minute on its way here
        return list(zip(*[iter(values)] * 4, strict=True))
