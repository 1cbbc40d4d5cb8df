from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glam.attention import OTHER, Region
from glam.config import FrameConfig
from glam.drawing.paint import (
    BLACK,
    HEAT,
    LIGHT,
    QUERY,
    Panel,
    bilinear,
    fitted,
    font,
    grey_panel,
    heat_colours,
    heat_opacity,
)
from glam.drawing.paint import wrapped as wrapped_lines
from glam.drawing.prediction import PANEL, Query, choose_query, draw_prediction, panel_scales
from glam.frame import cell_polygon, make_frame, scale
from glam.predict import Predictor
from glam.prediction import Prediction
from glam.reading.read import read_view
from glam.view import View


@pytest.fixture(scope="module")
def views(mammograms: dict[str, Path]) -> dict[str, View]:
    return {"cc": read_view(mammograms["L_CC"], FrameConfig()), "mlo": read_view(mammograms["L_MLO"], FrameConfig())}


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, views: dict[str, View]) -> Prediction:
    return predictor.predict(views["cc"], views["mlo"])


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIELAB L* of sRGB colours 0..255."""
    linear = np.where(colours / 255 <= 0.04045, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def black_panel(cols: int = 40, rows: int = 40) -> Panel:
    return Panel(Image.new("RGB", (cols, rows)), (1.0, 1.0))


def test_even_steps_of_a_value_are_even_steps_of_lightness():
    seen = lightness(heat_colours(np.linspace(0, 1, 101)).astype(float))
    assert (np.diff(seen) > 0).all()
    even = np.linspace(seen[0], seen[-1], 101)
    assert np.abs(seen - even).max() < 2.5


def test_colours_are_told_apart_without_red_and_green():
    """Deuteranopes see sums of red and green: those sums, with blue, still differ from step to step."""
    dichromat = np.stack([HEAT[:, :2] @ (0.3, 0.7), HEAT[:, 2]], -1)
    assert np.hypot(*np.diff(dichromat, axis=0).T).min() > 15


def test_what_gets_no_attention_stays_grey():
    assert heat_opacity(np.zeros(3)).max() == 0
    panel = grey_panel(np.full((4, 4), 0.5), (1, 1), (0, 1))
    frame = make_frame(np.eye(3), size=4, rows=4, cols=4)
    assert panel.with_heat(np.zeros((2, 2)), frame, top=1.0).image.tobytes() == panel.image.tobytes()


def test_bilinear_values_hit_the_centres_and_stay_within_the_grid():
    grid = np.arange(9.0).reshape(3, 3)
    np.testing.assert_allclose(bilinear(grid, np.array([0, 2, 1.5, -5]), np.array([0, 1, 0.5, 9])), [0, 5, 3, 6])


def test_heat_lies_where_the_frame_says_in_a_mirrored_view():
    mirrored = make_frame(np.array([[-1, 0, 40], [0, 1, 0], [0, 0, 1.0]]), size=40, rows=40, cols=40)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1.0  # chest wall, top: at the right of a mirrored image
    lit = np.asarray(black_panel().with_heat(heat, mirrored, top=1.0).image).sum(-1)
    row, col = np.unravel_index(lit.argmax(), lit.shape)
    assert row < 10
    assert col >= 30
    assert lit[:, :20].sum() == 0


def test_no_heat_is_drawn_outside_the_square():
    frame = make_frame(scale(2, 2), size=40, rows=40, cols=40)  # the square sees the upper left quarter
    lit = np.asarray(black_panel().with_heat(np.ones((4, 4)), frame, top=1.0).image).sum(-1)
    assert lit[:20, :20].min() > 0
    assert lit[20:].sum() == lit[:, 20:].sum() == 0


def test_a_grey_panel_is_windowed_and_scaled():
    pixels = np.array([[0.0, 0.2], [0.6, 1.0]])
    panel = grey_panel(pixels, (10, 10), (0.2, 0.6))
    assert panel.image.size == (20, 20)
    grey = np.asarray(panel.image)[..., 0]
    assert (grey[2, 2], grey[2, 17], grey[17, 2], grey[17, 17]) == (0, 0, 255, 255)


def test_a_constant_image_can_be_drawn():
    assert grey_panel(np.zeros((3, 3)), (1, 1), (0.0, 0.0)).image.getextrema() == ((0, 0),) * 3


def test_an_outline_follows_its_polygon():
    panel = black_panel().with_outline(np.array([(10, 10), (30, 10), (30, 30), (10, 30)]), LIGHT)
    drawn = np.asarray(panel.picture()).astype(int)
    assert np.abs(drawn[20, 10] - LIGHT).max() < 40
    assert drawn[20, 20].sum() == drawn[2, 2].sum() == 0
    assert black_panel().picture().getextrema() == ((0, 0),) * 3


def test_marks_are_visible_on_white():
    panel = Panel(Image.new("RGB", (40, 40), LIGHT), (1, 1))
    for marked in (
        panel.with_outline(np.array([(10, 10), (30, 10), (30, 30)]), LIGHT),
        panel.with_dashes(np.array([(5, 20), (35, 20)]), LIGHT),
        panel.with_cross((20, 20), LIGHT),
        panel.with_label(np.array([(1, 10), (3, 10), (3, 30)]), "1", LIGHT),
    ):
        assert np.asarray(marked.picture()).min() <= max(BLACK) + 60


def test_a_line_of_no_length_can_be_dashed():
    assert black_panel().with_dashes(np.array([(5, 5), (5, 5)]), LIGHT).picture().size == (40, 40)


def test_text_is_broken_at_blanks_and_cut_where_it_must():
    lines = wrapped_lines("one two three four five", size=20, width=110)
    assert " ".join(lines) == "one two three four five"
    assert len(lines) > 1
    assert all(font(20).getbbox(line)[2] <= 110 for line in lines)
    assert fitted("short", size=20, width=200) == "short"
    assert fitted("a very long label", size=20, width=80).endswith("...")


def test_both_views_have_one_physical_scale(views: dict[str, View]):
    finer = replace(views["mlo"], spacing_mm=(0.05, 0.1))
    scales = panel_scales({"cc": replace(views["cc"], spacing_mm=(0.1, 0.1)), "mlo": finer})
    assert scales["cc"][0] == pytest.approx(scales["mlo"][0])
    assert scales["mlo"][1] == pytest.approx(scales["mlo"][0] / 2)


def test_views_without_spacing_share_their_pixels_scale_and_fit(views: dict[str, View]):
    scales = panel_scales({"cc": replace(views["cc"], spacing_mm=None), "mlo": views["mlo"]})
    assert scales["cc"] == scales["mlo"]
    for key, view in views.items():
        assert view.pixels.shape[1] * scales[key][0] <= PANEL[0] + 1e-6
        assert view.pixels.shape[0] * scales[key][1] <= PANEL[1] + 1e-6


def test_a_point_chooses_the_region_that_sees_it(prediction: Prediction):
    frame = prediction.views["mlo"].frame
    x, y = cell_polygon(frame, 9, 4, 4).mean(0)
    query = choose_query(prediction, point=(x, y), view="mlo")
    assert query
    assert query.region.view == "mlo"
    assert query.point == (x, y)
    assert prediction.attention
    weights = prediction.attention.pooling_mlo[:, 4 * 9 + 4]
    assert weights.argmax() == query.region.row * 3 + query.region.col


def test_without_a_point_the_reason_is_told(prediction: Prediction):
    query = choose_query(prediction)
    assert query
    assert "most concentrated" in query.why


def test_the_sheet_shows_the_query_in_its_view(prediction: Prediction, views: dict[str, View], predictor: Predictor):
    sheet = draw_prediction(prediction, views, predictor.bundle, query=Query(Region("cc", 1, 1), "a test"))
    blue = (np.abs(np.asarray(sheet).astype(int) - QUERY).max(-1) < 12).sum()
    assert blue > 500
    assert sheet.width < 3000
    assert sheet.height < 2000


def test_another_query_gives_another_sheet(prediction: Prediction, views: dict[str, View], predictor: Predictor):
    sheets = [
        draw_prediction(prediction, views, predictor.bundle, query=Query(Region(key, 0, col), "a test"))
        for key in OTHER
        for col in (0, 2)
    ]
    assert len({sheet.tobytes() for sheet in sheets}) == 4


def test_a_lone_view_is_drawn_without_attention(predictor: Predictor, views: dict[str, View]):
    alone = predictor.predict(views["cc"], None)
    assert choose_query(alone) is None
    with pytest.raises(ValueError, match="give both views"):
        choose_query(alone, point=(3, 4))
    sheet = draw_prediction(alone, {"cc": views["cc"]}, predictor.bundle, query=None)
    assert (np.abs(np.asarray(sheet).astype(int) - QUERY).max(-1) < 12).sum() == 0
