"""Attention drawn on pixels: what `glam predict` saves as PNG."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from glam.attention import (
    OTHER,
    Region,
    concentration,
    default_query,
    patch_at,
    query_map,
    region_of_patch,
    return_query,
    tissue_patches,
)
from glam.bundle import Bundle
from glam.drawing.overlay import heat_top
from glam.drawing.paint import LIGHT, QUERY, Panel, grey_panel
from glam.drawing.sheet import HeatScale, Plate, draw_sheet
from glam.frame import Frame, cell_polygon
from glam.prediction import Prediction
from glam.prepare import ModelInput
from glam.view import WHITE, View, ViewKey

PANEL = (500, 860)
"""Largest width and height of a view."""


class Query(NamedTuple):
    """The region asked about, and why this one."""

    region: Region
    why: str
    point: tuple[float, float] | None = None
    """Where the caller pointed, in stored pixels (x, y)."""


def choose_query(
    prediction: Prediction, *, point: tuple[float, float] | None = None, view: ViewKey = "cc"
) -> Query | None:
    """Region under a stored pixel (x, y) of a view, or else the one whose attention is most concentrated in the breast.

    None where there is no attention. ValueError: a point there, or one outside what the model sees.
    """
    if prediction.attention is None and point is not None:
        way_out = "give both views" if prediction.missing else "this model does not compare its views"
        raise ValueError(f"a point asks where the model looks in the other view: {way_out}")
    if prediction.attention is None:
        return None
    grid = prediction.attention.grid
    if point is not None:
        patch = patch_at(prediction.views[view].frame, point, grid=grid)
        region = region_of_patch(prediction.attention, view, patch, grid=grid)
        return Query(region, f"the region that sees most of pixel {point[0]:g}, {point[1]:g} (cross)", point)
    tissue: dict[ViewKey, np.ndarray] = {}
    for key, prepared in prediction.views.items():
        tissue[key] = tissue_patches(prepared.input.pixels, grid=grid)
    region = default_query(prediction.attention, tissue)
    return Query(region, "the region whose attention is the most concentrated within the breast")


def draw_prediction(
    prediction: Prediction, views: Mapping[ViewKey, View], bundle: Bundle, *, query: Query | None
) -> Image.Image:
    """Draw both views with the attention of a query, there and back; without a query just the views.

    Each view stands as stored, both at one physical scale where the spacing is known. Of the header nothing is shown
    but view and side.
    """
    scales = panel_scales(views)
    panels: dict[ViewKey, Panel] = {}
    for key, prepared in prediction.views.items():
        panels[key] = _panel(views[key], prepared.input, scales[key])
    attention = prediction.attention
    if query is None or attention is None:
        why = "the model does not compare views: no attention" if attention is None else "no query"
        caption = "alone: no attention" if prediction.missing else why
        plates = [Plate(panels[key].picture(), _name(prediction, key), caption) for key in panels]
        return draw_sheet(prediction, bundle, [plates], ruler_px=_ruler(views, scales))
    back = Query(return_query(attention, query.region, grid=attention.grid), "where the first answer is strongest")
    answers = [(asked, query_map(attention, asked.region, grid=attention.grid)) for asked in (query, back)]
    even = attention.side / attention.grid**2  # the share of a patch, were one AP slice evenly lit
    top = heat_top(attention, *(heat for _, heat in answers))
    groups = [_direction(prediction, panels, asked, heat, top) for asked, heat in answers]
    return draw_sheet(prediction, bundle, groups, ruler_px=_ruler(views, scales), heat=HeatScale(top, even))


def panel_scales(views: Mapping[ViewKey, View]) -> dict[ViewKey, tuple[float, float]]:
    """Panel pixels a stored pixel, (x, y): every view fits, all at one scale, in mm where all give their spacing."""
    spaced = all(view.spacing_mm for view in views.values())
    steps: dict[ViewKey, tuple[float, float]] = {}  # (row, col)
    for key, view in views.items():
        steps[key] = view.spacing_mm if spaced and view.spacing_mm else (1.0, 1.0)
    extents = [np.multiply(view.pixels.shape, steps[key]) for key, view in views.items()]  # (row, col)
    factor = float((np.array(PANEL[::-1]) / np.max(extents, axis=0)).min())
    scales: dict[ViewKey, tuple[float, float]] = {}
    for key, (row, col) in steps.items():
        scales[key] = (col * factor, row * factor)
    return scales


def _ruler(views: Mapping[ViewKey, View], scales: Mapping[ViewKey, tuple[float, float]]) -> float | None:
    """Length of 5 cm in a panel; None: no spacing."""
    if not all(view.spacing_mm for view in views.values()):
        return None
    key, view = next(iter(views.items()))
    assert view.spacing_mm is not None
    return 50 / view.spacing_mm[1] * scales[key][0]


def _panel(view: View, prepared: ModelInput, scale: tuple[float, float]) -> Panel:
    """Draw a view in the grey range that preparation found for its breast."""
    done = prepared.preparation
    assert done is not None, "prepared from a view"
    return grey_panel(view.pixels, scale, (done.black * WHITE, done.white * WHITE))


def _name(prediction: Prediction, key: ViewKey) -> str:
    prepared = prediction.views[key]
    return f"{prepared.laterality} {prepared.view}"


def _direction(
    prediction: Prediction, panels: Mapping[ViewKey, Panel], query: Query, heat: np.ndarray, top: float
) -> list[Plate]:
    """Draw the query in its view, and its map over the other."""
    attention = prediction.attention
    assert attention is not None
    key, row, col = query.region
    place = cell_polygon(prediction.views[key].frame, attention.side, row, col)
    asked = panels[key].with_outline(place, QUERY)
    if query.point is not None:
        asked = asked.with_cross(query.point, QUERY)
    frame = prediction.views[OTHER[key]].frame
    answer = _with_slice(panels[OTHER[key]].with_heat(heat, frame, top=top), frame, attention.side, col)
    profile = attention.slices(key)[col, row]  # (row_key,)
    best = cell_polygon(frame, attention.side, int(profile.argmax()), col)
    answer = answer.with_outline(best, LIGHT, width=2).with_label(best, f"{100 * profile.max():.0f} %", LIGHT)
    name, other = _name(prediction, key), _name(prediction, OTHER[key])
    return [
        Plate(asked.picture(), name, "query", f"The query (blue): {query.why}."),
        Plate(answer.picture(), other, f"where the model looks from {name}", _spread(prediction, query, heat)),
    ]


def _spread(prediction: Prediction, query: Query, heat: np.ndarray) -> str:
    """Say in words how narrow a map is, and how much of it lies on the breast."""
    attention = prediction.attention
    assert attention is not None
    key, row, col = query.region
    profile = attention.slices(key)[col, row]
    tissue = tissue_patches(prediction.views[OTHER[key]].input.pixels, grid=attention.grid)
    return (
        f"Slice attention {concentration(profile):.2f} on a scale from 0, evenly spread, to 1, all in one row; "
        f"{100 * float(heat.ravel() @ tissue):.0f} % of the map lies on the breast."
    )


def _with_slice(panel: Panel, frame: Frame, side: int, col: int) -> Panel:
    """Dash both borders of an AP slice."""
    step = frame.width / side
    for x in (col * step, (col + 1) * step):
        panel = panel.with_dashes(frame.to_pixels([[x, 0], [x, frame.height]]), LIGHT)
    return panel
