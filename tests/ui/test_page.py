"""The page under its reader's hands: hanging, pointing, keys, windows, links, words."""

import re

import pytest

from tests.samples.pages import BEGUN, Page

pytestmark = pytest.mark.slow

EXAMPLE = "Synthetic breasts 1"
SAID = re.compile(r"left CC, row (\d), slice (\d)\. The model looks most at left MLO, row (\d): (\d+) percent\.")


def test_an_exam_hangs_as_readers_hang_it_and_attention_follows_the_pointer(page: Page):
    page.open()
    page.choose(EXAMPLE)
    page.wait_for_views()
    page.button("Dismiss").click()
    assert page.views() == ["R CC", "L CC", "R MLO", "L MLO"]
    sentences = set()
    for down in (0.4, 0.5, 0.6):
        page.point("L CC", across=0.5, down=down)
        found = SAID.fullmatch(page.said())
        assert found, page.said()
        sentences.add(found.groups())
    assert len({row for row, *_ in sentences}) > 1
    assert "mm to nipple" in page.pane("L CC").inner_text()
    assert "peak: " in page.pane("L MLO").inner_text()
    assert page.page.locator(".glam-bars i").count() == 9


def test_chest_walls_stand_back_to_back(shown: Page):
    for caption, is_at_the_right in (("R CC", True), ("L CC", False), ("R MLO", True), ("L MLO", False)):
        width = shown.pane(caption).locator("canvas").first.evaluate("c => c.width")
        greys = shown.greys(caption)
        rows = [greys[start : start + width] for start in range(0, len(greys), width)]
        middle = rows[len(rows) // 2]
        bright = [col for col, grey in enumerate(middle) if grey > 30]
        assert (max(bright) > width - 10) if is_at_the_right else (min(bright) < 10), caption


def test_everything_goes_by_keys(shown: Page):
    shown.pane("L CC").focus()
    shown.page.keyboard.press("ArrowDown")
    begun = shown.said()
    shown.page.keyboard.press("ArrowDown")
    assert shown.said() != begun
    shown.page.keyboard.press("Enter")
    assert len(shown.state()["pins"]) == 1
    asked = shown.state()["query"]["key"]
    shown.page.keyboard.press("f")
    assert shown.state()["query"]["key"] != asked
    shown.page.keyboard.press("3")
    assert shown.views() == ["L CC", "L MLO"]
    shown.page.keyboard.press("a")
    assert shown.button("Slices upright").get_attribute("aria-pressed") == "true"
    shown.page.keyboard.press("?")
    assert shown.page.locator(".glam-help").is_visible()
    shown.page.keyboard.press("Escape")
    assert not shown.page.locator(".glam-help").is_visible()
    shown.page.keyboard.press("Escape")
    assert shown.said() == "Nothing is pointed at."


def test_by_tab_a_view_is_reached_and_by_arrows_asked_about(shown: Page):
    shown.pane("L CC").focus()
    shown.page.keyboard.press("Tab")
    for press in ("ArrowDown", "Enter"):
        shown.page.keyboard.press(press)
    assert shown.said().startswith("right MLO, row 5, slice 5.")
    assert shown.said().endswith("Pinned.")
    shown.page.keyboard.press("ArrowDown")
    assert shown.said().startswith("right MLO, row 6, slice 5.")
    assert "Pinned" not in shown.said()
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("ArrowUp")
    assert shown.said().startswith("left MLO, row 5, slice 5.")


def test_escape_takes_the_ruler_away(shown: Page):
    shown.rule("L CC")
    assert "Ruler: " in shown.said()
    shown.page.keyboard.press("Escape")
    assert shown.said() == "Nothing is pointed at."


def test_letters_typed_into_a_form_are_no_keys_of_the_viewer(page: Page):
    page.open(EXAMPLE)
    page.page.get_by_role("button", name="Ask in your own words").click()
    page.page.get_by_label("One sentence a line").fill("a 3 i")
    page.page.get_by_label("One sentence a line").press("3")
    assert len(page.views()) == 4


def test_a_drag_with_shift_changes_the_window_and_a_drag_moves_the_view(page: Page):
    page.open(EXAMPLE)
    assert (page.state() or BEGUN)["windows"] == {}
    box = page.pane("L CC").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.page.mouse.move(x, y)
    before = page.greys("L CC")
    page.page.mouse.down()
    page.page.mouse.move(x + 30, y + 30, steps=4)
    page.page.mouse.up()
    page.page.wait_for_timeout(200)
    assert page.greys("L CC") != before
    page.page.keyboard.press("0")
    page.page.wait_for_timeout(200)
    assert page.greys("L CC") == before
    page.page.keyboard.down("Shift")
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 30, y, steps=4)
    page.page.mouse.up()
    page.page.keyboard.up("Shift")
    assert list(page.state()["windows"]) == ["L-CC"]


def test_the_ruler_measures_millimetres(shown: Page):
    shown.rule("L CC")
    shown.page.wait_for_timeout(200)
    mm = float(re.search(r"Ruler: ([\d.]+) mm", shown.said())[1])  # type: ignore[index]
    px_per_cm = int(re.search(r"(\d+) px/cm", shown.pane("L CC").inner_text())[1])  # type: ignore[index]
    assert mm == pytest.approx(600 / px_per_cm, rel=0.04)  # the scale is shown in whole pixels


def test_true_places_lie_in_the_other_view(shown: Page):
    shown.point("L CC", across=0.5, down=0.5)
    shown.button("True place").click()
    assert shown.button("True place").get_attribute("aria-pressed") == "true"
    shown.page.wait_for_timeout(200)
    white = shown.num_white("L MLO")
    shown.button("True place").click()
    shown.page.wait_for_timeout(200)
    assert white > shown.num_white("L MLO") + 20


def test_windows_change_grey_values_and_stored_pixels_stay(shown: Page):
    before = shown.greys("L CC")
    shown.button("Invert").click()
    shown.page.wait_for_timeout(200)
    inverted = shown.greys("L CC")
    inside = [place for place, grey in enumerate(before) if grey > 60]
    assert inside
    assert all(abs(before[place] + inverted[place] - 255) <= 1 for place in inside)
    shown.button("Invert").click()
    shown.button("Window").click()
    shown.page.wait_for_timeout(200)
    assert shown.greys("L CC") != before
    for _ in range(2):
        shown.button("Window").click()
    shown.page.wait_for_timeout(200)
    assert shown.greys("L CC") == before


def test_a_link_brings_example_and_state_back(page: Page):
    page.open(EXAMPLE)
    page.page.keyboard.press("3")
    page.point("L CC")
    page.page.keyboard.press("Enter")
    page.page.wait_for_timeout(700)  # the link is written twice a second at most
    said, link = page.said(), page.page.url
    page.page.goto("about:blank")
    page.page.goto(link)
    page.wait_for_views()
    assert page.views() == ["L CC", "L MLO"]
    assert page.said() == said
    assert page.page.get_by_label("Example").input_value() == EXAMPLE


@pytest.mark.parametrize("fragment", ["example=nothing", "view=%7B", "view=null", "view=[1]", "example=../../etc", "%"])
def test_a_link_that_cannot_be_read_opens_the_page_as_it_begins(page: Page, fragment: str):
    page.page.goto(f"{page.url}#{fragment}")
    page.page.locator(".glam-viewer").wait_for(state="attached")
    page.page.wait_for_timeout(500)
    assert page.views() == []


def test_own_sentences_are_compared_and_unknown_words_named(page: Page):
    page.open(EXAMPLE)
    page.page.get_by_role("button", name="Ask in your own words").click()
    page.page.get_by_label("One sentence a line").fill(
        "A mass is present\nNo mass is present\nA zyxgraph <b>sits</b> here"
    )
    page.button("Compare").click()
    table = page.page.locator(".glam-words")
    table.wait_for()
    assert table.locator("tbody tr").count() == 3
    assert table.locator("thead th").all_inner_texts() == ["sentence", "right", "left"]
    assert "zyxgraph" in page.page.get_by_text("Words that the model does not know").inner_text()
    assert "<b>sits</b>" in table.inner_text()
