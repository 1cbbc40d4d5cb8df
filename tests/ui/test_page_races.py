"""An impatient reader: choosing twice, uploading meanwhile, pressing keys where nothing is shown."""

import shutil
from pathlib import Path

import pytest

from tests.samples.pages import Page
from tests.samples.viewers import RunningViewer

pytestmark = pytest.mark.slow

FIRST, SECOND = "Synthetic breasts 1", "Synthetic breasts 2"
KEYS = ("ArrowDown", "f", "i", "w", "0", "9", "1", "2", "3", "a", "p", "r", "j", "n", "l", "m", "s", "t", "Escape")


def exam_of_link(page: Page) -> str:
    """Return the example that the page's link names, once it is written."""
    page.page.wait_for_timeout(700)
    return page.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('example') ?? ''")


def idle(page: Page) -> None:
    """Wait until what was asked before has come too late: a stream of events is always open, and says nothing of it."""
    page.page.wait_for_timeout(5000)


def test_the_example_that_was_chosen_last_is_shown(page: Page):
    page.open()
    page.choose(FIRST)
    page.choose(SECOND)
    page.wait_for_views()
    idle(page)
    assert exam_of_link(page) == SECOND
    assert page.page.get_by_label("Example").input_value() == SECOND


def test_an_example_can_be_chosen_again_after_an_upload_and_a_refusal(
    page: Page, mammograms: dict[str, Path], tmp_path: Path
):
    (tmp_path / "notes.txt").write_text("no image")
    page.open(FIRST)
    for path in (mammograms["L_CC"], tmp_path / "notes.txt"):
        page.upload(path)
        page.page.wait_for_function("document.querySelectorAll('.glam-pane:not(.glam-preview)').length < 4")
        page.page.wait_for_function("!document.querySelector('#glam-example input').value")
        page.choose(FIRST)
        page.page.locator(".glam-pane:not(.glam-preview)").nth(3).wait_for()
        assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]


def test_an_upload_takes_the_place_of_an_example_that_still_loads(page: Page, mammograms: dict[str, Path]):
    page.open()
    page.choose(FIRST)
    page.upload(mammograms["L_CC"])
    page.wait_for_views()
    idle(page)
    assert page.views() == ["L CC"]
    assert exam_of_link(page) == ""


def test_keys_do_nothing_where_an_exam_was_refused(page: Page, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no image")
    page.open(FIRST)
    page.upload(tmp_path / "notes.txt")
    page.page.get_by_role("alert").wait_for()
    page.page.wait_for_timeout(500)
    page.page.locator(".glam-head").click()
    for key in KEYS:
        page.page.keyboard.press(key)
    assert page.views() == []
    assert "choose an example" in page.page.locator(".glam-note").inner_text()


def test_buttons_of_what_an_exam_lacks_are_off(page: Page, mammograms: dict[str, Path]):
    page.open()
    page.upload(mammograms["L_CC"])
    page.wait_for_views()
    page.button("Dismiss").click()
    for name in ("Right", "True place"):
        assert page.button(name).is_disabled()
    for key in ("2", "t", "f", "a", "r"):
        page.page.keyboard.press(key)
    assert page.views() == ["L CC"]


def test_sentences_go_with_the_exam_that_they_were_held_against(page: Page):
    page.open(FIRST)
    page.page.get_by_role("button", name="Ask in your own words").click()
    page.page.get_by_label("One sentence a line").fill("A mass is present\n${1+1} {{value}} <img src=x onerror=x>")
    page.button("Compare").click()
    page.page.locator(".glam-words").wait_for()
    assert "${1+1} {{value}} <img" in page.page.locator(".glam-words").inner_text()
    page.choose(SECOND)
    page.page.locator(".glam-words").wait_for(state="detached")


def test_a_file_that_is_dropped_twice_is_used_once(page: Page, viewer: RunningViewer, tmp_path: Path, mammograms):
    path = Path(shutil.copy(mammograms["L_CC"], tmp_path / "TWICE^NAME.dcm"))
    page.open()
    page.upload(path, path)
    page.wait_for_views()
    assert page.told().locator("li", has_text="is left out").count() == 1
    assert "TWICE" not in viewer.log.read_text(errors="replace")


def test_pixels_that_are_gone_are_told_with_a_way_out(page: Page):
    page.open()
    page.page.route("**/kept/*", lambda route: route.fulfill(status=404))
    page.choose(FIRST)
    page.page.get_by_text("choose the exam again").wait_for()
    for key in KEYS:
        page.page.keyboard.press(key)
    assert page.views() == []
    page.page.unroute("**/kept/*")
    page.choose(SECOND)
    page.wait_for_views()
    assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]
    page.wrong = [said for said in page.wrong if "404" not in said]


def test_a_link_that_is_put_into_the_open_page_is_followed_and_so_is_the_way_back(page: Page):
    page.open(FIRST)
    page.point("L CC")  # the link is about to say so, when another one is put in
    with page.page.expect_event("load"):
        page.page.evaluate(f"location.hash = 'example={SECOND}'")
    page.wait_for_views()
    assert exam_of_link(page) == SECOND
    with page.page.expect_event("load"):
        page.page.go_back()
    page.wait_for_views()
    assert exam_of_link(page) == FIRST
