"""The list of examples under mouse and keys: each choice asks the server once, and leaving the list asks nothing."""

import json
from pathlib import Path

import pytest

from tests.samples.pages import Page

pytestmark = pytest.mark.slow

FIRST, SECOND = "Synthetic breasts 1", "Synthetic breasts 2"


@pytest.fixture
def asked(page: Page) -> list[str]:
    """The examples that the page asks for, in their order."""
    names: list[str] = []

    def note(request) -> None:
        if "queue/join" in request.url:
            names.extend(value for value in json.loads(request.post_data)["data"] if value in (FIRST, SECOND))

    page.page.on("request", note)
    return names


def settled(page: Page, asked: list[str], count: int) -> list[str]:
    """Return what is asked for once that is so many, and a moment later."""
    for _ in range(200):
        if len(asked) >= count:
            break
        page.page.wait_for_timeout(100)
    page.page.wait_for_timeout(700)
    return asked


def list_of(page: Page):
    return page.page.get_by_role("combobox", name="Example")


def test_a_choice_asks_once_and_so_does_the_same_one_again(page: Page, asked: list[str]):
    page.open()
    for number in (1, 2):
        page.choose(FIRST)
        page.wait_for_views()
        assert settled(page, asked, number) == [FIRST] * number


def test_the_list_is_chosen_from_by_keys(page: Page, asked: list[str]):
    page.open()
    list_of(page).focus()
    page.page.keyboard.type("breasts 2")
    page.page.get_by_role("option", name=FIRST).wait_for(state="detached")
    page.page.keyboard.press("Enter")
    page.wait_for_views()
    assert settled(page, asked, 1) == [SECOND]
    list_of(page).focus()
    page.page.get_by_role("option", name=SECOND).wait_for()  # the list opens a moment after it has the focus
    page.page.keyboard.press("Enter")
    assert settled(page, asked, 2) == [SECOND, SECOND]


def test_who_passes_through_the_list_keeps_pins_and_exam(page: Page, asked: list[str]):
    page.open(FIRST)
    page.pane("L CC").focus()
    for key in ("ArrowDown", "Enter"):
        page.page.keyboard.press(key)
    said = page.said()
    before = len(asked)
    list_of(page).focus()
    page.page.keyboard.press("Tab")
    list_of(page).click()
    page.page.locator(".glam-head").click()
    page.page.wait_for_timeout(1500)
    assert asked[before:] == []
    assert page.said() == said


def test_an_upload_empties_the_list_and_stays_when_the_list_is_left(
    page: Page, asked: list[str], mammograms: dict[str, Path]
):
    page.open(FIRST)
    page.upload(mammograms["L_CC"])
    page.page.locator(".glam-pane").nth(1).wait_for(state="detached")
    page.wait_for_views()
    assert list_of(page).input_value() == ""
    before = len(asked)
    list_of(page).focus()
    page.page.keyboard.press("Tab")
    page.page.wait_for_timeout(1500)
    assert asked[before:] == []
    assert page.views() == ["L CC"]


def test_a_list_that_is_held_open_while_an_exam_comes_can_be_chosen_from(page: Page):
    page.open()
    page.choose(FIRST)
    list_of(page).click()
    page.wait_for_views()
    page.page.get_by_role("option", name=SECOND).click()
    page.page.wait_for_function(f"location.hash.includes('{SECOND.replace(' ', '+')}')")
    assert list_of(page).input_value() == SECOND


def test_a_choice_stays_when_the_first_word_of_the_page_comes_late(page: Page, asked: list[str]):
    held = []
    page.page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    page.open(example=None)
    page.choose(SECOND)
    page.wait_for_views()
    held[0].continue_()
    page.page.wait_for_timeout(1500)
    assert list_of(page).input_value() == SECOND
    assert asked == [SECOND]


def test_a_link_that_is_put_in_before_the_viewer_has_come_is_followed(page: Page, asked: list[str]):
    held = []
    page.page.route("**/glam-static/viewer.mjs", lambda route: route.continue_() if held else held.append(route))
    page.page.goto(f"{page.url}#example={FIRST.replace(' ', '+')}")
    assert settled(page, asked, 1) == [FIRST]
    with page.page.expect_event("load"):
        page.page.evaluate(f"location.hash = 'example={SECOND.replace(' ', '+')}'")
    page.wrong.clear()  # the page that is left says that its stream is cut
    page.wait_for_views()
    assert settled(page, asked, 2) == [FIRST, SECOND]
    assert list_of(page).input_value() == SECOND


def test_a_choice_before_the_viewer_has_come_is_asked_for_once_and_in_the_link(page: Page, asked: list[str]):
    held = []
    page.page.route("**/glam-static/viewer.mjs", lambda route: held.append(route))
    page.page.goto(page.url)
    page.choose(SECOND)
    assert settled(page, asked, 1) == [SECOND]
    assert page.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('example')") == SECOND
    held[0].continue_()
    page.wait_for_views()
    assert asked == [SECOND]
    assert list_of(page).input_value() == SECOND


def test_a_page_that_is_loaded_again_while_an_exam_is_read_shows_it(page: Page, asked: list[str]):
    page.open()
    page.choose(SECOND)
    assert settled(page, asked, 1) == [SECOND]
    page.page.reload()
    page.wrong.clear()  # the page that is left says that its stream is cut
    page.wait_for_views()
    assert settled(page, asked, 2) == [SECOND, SECOND]
    assert list_of(page).input_value() == SECOND


def test_a_choice_is_in_the_link_at_once(page: Page):
    page.open()
    page.page.locator(".glam-viewer button").first.wait_for(state="attached")
    listen = (
        "document.addEventListener('glam-chosen', () => setTimeout(() => { window.linkThen = location.hash.slice(1) }))"
    )
    page.page.evaluate(listen)
    page.choose(SECOND)
    page.page.wait_for_function("window.linkThen !== undefined")
    assert page.page.evaluate("new URLSearchParams(window.linkThen).get('example')") == SECOND
    page.page.reload()
    page.wrong.clear()  # the page that is left says that its stream is cut
    page.wait_for_views()
    assert list_of(page).input_value() == SECOND


def test_a_link_to_an_example_that_is_not_here_says_so(page: Page):
    page.page.goto(f"{page.url}#example=nothing")
    page.page.get_by_role("alert").wait_for()
    assert "does not have" in page.told().inner_text()
    assert page.views() == []
