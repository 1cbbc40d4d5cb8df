"""Who can use the page: keyboard, screen reader, phone, dark and light; axe-core finds nothing against it."""

from collections.abc import Iterator

import pytest

from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

pytestmark = pytest.mark.slow

EXAMPLE = "Synthetic breasts 1"
SIZES = {"laptop": {"width": 1280, "height": 720}, "phone": {"width": 390, "height": 844}}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_axe_finds_nothing(browser, viewer: RunningViewer, size: str, colours: str):
    from axe_playwright_python.sync_playwright import Axe

    with Page(browser, viewer.url, color_scheme=colours) as page:
        page.page.set_viewport_size(SIZES[size])
        page.open(EXAMPLE, touring=True)
        is_dark = page.page.evaluate("document.body.classList.contains('dark')")
        assert is_dark == (colours == "dark")
        found = Axe().run(page.page)
        assert found.violations_count == 0, found.generate_report()
        page.page.keyboard.press("?")
        found = Axe().run(page.page)
        assert found.violations_count == 0, found.generate_report()
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        page.check_clean()


@pytest.fixture
def phone(browser, viewer: RunningViewer) -> Iterator[Page]:
    with Page(browser, viewer.url, has_touch=True, is_mobile=True) as page:
        page.page.set_viewport_size(SIZES["phone"])
        yield page
        page.check_clean()


def test_on_a_phone_a_finger_asks(phone: Page):
    phone.open(EXAMPLE)
    pane = phone.pane("L CC")
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    assert box is not None
    phone.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    phone.page.wait_for_timeout(200)
    assert "left CC, row" in phone.said()


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


def test_the_page_turns_dark_and_light_by_a_key(page: Page):
    page.open(EXAMPLE)
    was = page.page.evaluate("document.body.classList.contains('dark')")
    page.pane("L CC").focus()
    page.page.keyboard.press("d")
    assert page.page.evaluate("document.body.classList.contains('dark')") != was


def test_the_notice_and_what_answers_are_always_in_sight(page: Page):
    page.open()
    head = page.page.locator(".glam-head").inner_text()
    assert "research use only, not for diagnosis" in head
    assert "trained on synthetic breasts alone" in head
    assert "may_serve true" in head
