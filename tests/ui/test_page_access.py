"""Who can use the page: keyboard, screen reader, phone, dark and light; axe-core finds nothing against it."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

pytestmark = pytest.mark.slow

EXAMPLE = "Synthetic breasts 1"
SIZES = {"laptop": {"width": 1280, "height": 720}, "phone": {"width": 390, "height": 844}}


@pytest.mark.parametrize("colours", ["dark", "light"])
def test_axe_finds_nothing(browser, viewer: RunningViewer, colours: str):
    from axe_playwright_python.sync_playwright import Axe

    with Page(browser, viewer.url, color_scheme=colours) as page:
        page.page.set_viewport_size(SIZES["phone"])
        page.open(EXAMPLE, touring=True)
        is_dark = page.page.evaluate("document.body.classList.contains('dark')")
        assert is_dark == (colours == "dark")
        for size in SIZES.values():
            page.page.set_viewport_size(size)
            for _ in ("page", "help"):
                found = Axe().run(page.page)
                assert found.violations_count == 0, found.generate_report()
                assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
                page.page.keyboard.press("?")
        page.check_clean()


@pytest.fixture(scope="module")
def phone(browser, viewer: RunningViewer) -> Iterator[Page]:
    """A phone with the page open, for both of the tests that touch it."""
    with Page(browser, viewer.url, has_touch=True, is_mobile=True) as page:
        page.page.set_viewport_size(SIZES["phone"])
        page.open(EXAMPLE)
        yield page
        page.check_clean()


def test_on_a_phone_a_finger_asks(phone: Page):
    phone.tap("L CC")
    phone.page.wait_for_timeout(200)
    assert "left CC, row" in phone.said()


SMALL = """() => [...document.querySelectorAll('button, input, textarea')].filter((element) => {
  const { width, height } = element.getBoundingClientRect();
  return width && element.checkVisibility({ opacityProperty: true }) && Math.min(width, height) < 24;
}).map((element) => element.outerHTML.slice(0, 80))"""
BEYOND = """() => [...document.querySelectorAll('#glam-page *')].filter((element) => {
  const { left, right, width } = element.getBoundingClientRect();
  return width && (left < -1 || right > innerWidth + 1);
}).map((element) => element.outerHTML.slice(0, 80))"""


def test_a_phone_that_is_turned_keeps_what_is_seen_and_has_room_for_it(phone: Page):
    phone.tap("L CC")
    for name in ("Pin", "Window"):
        phone.button(name).tap()
    phone.page.wait_for_timeout(700)
    said, link = phone.said(), phone.page.url
    for width, height in ((844, 390), (390, 844), (844, 390), (320, 640)):
        phone.page.set_viewport_size({"width": width, "height": height})
        phone.page.wait_for_timeout(700)
        assert (phone.said(), phone.page.url) == (said, link)
        boxes = [phone.pane(caption).bounding_box() for caption in phone.views()]
        assert len(boxes) == 4
        for box in boxes:
            assert box is not None
            assert box["width"] > 100
            assert box["height"] < height, "a view fits the screen"
        assert phone.page.evaluate(SMALL) == []
        assert phone.page.evaluate(BEYOND) == []


@pytest.mark.parametrize("colours", ["dark", "light"])
def test_the_readers_own_colours_tell_what_is_on_and_how_much(browser, viewer: RunningViewer, colours: str):
    style = "(element, name) => getComputedStyle(element)[name]"
    with Page(browser, viewer.url, color_scheme=colours, forced_colors="active") as page:
        page.open(EXAMPLE)
        page.point("L CC", across=0.5)
        page.said()
        on, off = (page.button(name).evaluate(style, "backgroundColor") for name in ("Attention", "True place"))
        assert on != off
        assert page.page.locator(".glam-panes").evaluate(style, "backgroundColor") == "rgb(0, 0, 0)"
        bars = page.page.locator(".glam-bars i")
        assert len({bars.nth(number).evaluate(style, "backgroundColor") for number in range(9)}) > 1
        assert page.page.locator(".glam-butterfly td i").first.evaluate(style, "borderTopWidth") == "2px"
        page.check_clean()


def test_who_wants_no_motion_sees_none(browser, viewer: RunningViewer):
    with Page(browser, viewer.url, reduced_motion="reduce") as page:
        page.open(EXAMPLE)
        longest = page.page.evaluate(
            """() => Math.max(...[...document.querySelectorAll('#glam-page *')].flatMap((element) => {
              const { animationName, animationDuration, transitionDuration } = getComputedStyle(element);
              return [animationName === 'none' ? '0s' : animationDuration, transitionDuration].map(parseFloat);
            }))"""
        )
        assert longest <= 0.001
        page.check_clean()


def test_long_words_and_names_stay_in_their_place(page: Page, tmp_path: Path):
    picture = tmp_path / f"{'W' * 200}.png"
    cv2.imwrite(str(picture), np.zeros((64, 64), np.uint8))
    page.open(EXAMPLE)
    page.upload(picture)
    page.button("Show").wait_for()
    page.page.get_by_role("button", name="Ask in your own words").click()
    page.page.get_by_label("One sentence a line").fill("W" * 200 + "\nA mass is present")
    page.button("Compare").click()
    page.page.locator(".glam-words").wait_for()
    page.page.locator(".glam-head span").last.evaluate("(element) => (element.textContent = 'x'.repeat(400))")
    assert page.page.evaluate(BEYOND) == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_tour_has_four_steps_and_does_not_come_back(page: Page):
    page.open(EXAMPLE, touring=True)
    tour = page.page.locator(".glam-tour")
    steps = []
    for _ in range(4):
        steps.append(tour.locator("p").inner_text())
        tour.get_by_role("button", name="Next").or_(tour.get_by_role("button", name="Done")).click()
    assert [step[:7] for step in steps] == ["1 of 4.", "2 of 4.", "3 of 4.", "4 of 4."]
    assert not tour.is_visible()
    page.choose("Synthetic breasts 2")
    page.page.wait_for_timeout(1500)
    assert not tour.is_visible()


def test_the_page_turns_dark_and_light_by_a_key(shown: Page):
    was = shown.page.evaluate("document.body.classList.contains('dark')")
    shown.pane("L CC").focus()
    for is_dark in (not was, was):
        shown.page.keyboard.press("d")
        assert shown.page.evaluate("document.body.classList.contains('dark')") == is_dark


IN_SIGHT = """() => {
  const notice = document.querySelector('.glam-research');
  const { left, top, right, bottom } = notice.getBoundingClientRect();
  const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return seen === notice && top >= 0 && bottom <= innerHeight;
}"""


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390), (1280, 400)])
def test_the_notice_and_what_answers_are_always_in_sight(shown: Page, width: int, height: int):
    shown.page.set_viewport_size({"width": width, "height": height})
    for place in (0, 400, 10_000):
        shown.page.evaluate(f"scrollTo(0, {place})")
        shown.page.wait_for_timeout(150)
        assert shown.page.evaluate(IN_SIGHT), place
    head = shown.page.locator(".glam-head").inner_text()
    assert "research use only, not for diagnosis" in head
    assert "trained on synthetic breasts alone" in head
    assert "may_serve true" in head


def test_the_tour_covers_nothing_of_the_views(page: Page):
    page.open(EXAMPLE, touring=True)
    page.point("L CC")
    for width, height in ((1400, 900), (390, 844)):
        page.page.set_viewport_size({"width": width, "height": height})
        page.page.wait_for_timeout(300)
        tour = page.page.locator(".glam-tour").bounding_box()
        panes = page.page.locator(".glam-panes").bounding_box()
        assert tour is not None
        assert panes is not None
        assert tour["y"] >= panes["y"] + panes["height"] or tour["y"] + tour["height"] <= panes["y"]
    assert page.page.locator(".glam-live").is_visible()


def test_the_numbers_of_a_table_stand_beside_its_bars(shown: Page):
    bars = shown.page.locator(".glam-butterfly td i")
    assert bars.count() > 0
    for bar in bars.all():
        across, number = bar.bounding_box(), bar.locator("+ b").bounding_box()
        assert across is not None
        assert number is not None
        left, right = sorted((across, number), key=lambda box: box["x"])
        assert left["x"] + left["width"] <= right["x"]


def test_the_longest_bar_stands_beside_its_number_too(shown: Page):
    cell = shown.page.locator(".glam-butterfly td.glam-L").first
    was = cell.inner_html()
    cell.evaluate("(cell) => (cell.innerHTML = \"<i style='--glam-share:1.000'></i><b>100 %</b>\")")
    bar, number = (cell.locator(name).bounding_box() for name in ("i", "b"))
    cell.evaluate("(cell, html) => (cell.innerHTML = html)", was)
    assert bar is not None
    assert number is not None
    assert bar["width"] > 20
    assert bar["x"] + bar["width"] <= number["x"]


def test_a_printed_page_keeps_its_notice_and_bars_in_their_colours(shown: Page):
    """A browser leaves backgrounds out of what it prints, and turns white letters grey, unless it is told not to."""
    for name in (".glam-research", ".glam-butterfly td i", ".glam-readout"):
        adjusted = shown.page.locator(name).first.evaluate("(element) => getComputedStyle(element).printColorAdjust")
        assert adjusted == "exact", name
