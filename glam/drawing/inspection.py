"""What preparation saw and did, drawn: the stored image with its landmarks, the model's square, and words."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from glam.anatomy.in_pixels import Anatomy
from glam.drawing.paint import AMBER, GREY, GROUND, LIGHT, QUERY, Colour, Panel, TextColumn, font, grey_panel
from glam.drawing.prediction import panel_scales
from glam.drawing.sheet import Plate, draw_row
from glam.prediction import NOTICE
from glam.prepare import ModelInput
from glam.view import WHITE, View

MINT: Colour = (102, 222, 178)
PINK: Colour = (255, 122, 190)
LEGEND: dict[str, Colour] = {
    "breast": MINT,
    "pectoral line": AMBER,
    "chest-nipple axis": LIGHT,
    "nipple": PINK,
    "the model's square": QUERY,
}
NUM_SLICES = 9
"""Dashed in the square: the AP slices of the published settings."""
MARGIN, NOTES = 30, 430


def draw_inspection(view: View, prepared: ModelInput) -> Image.Image:
    """Draw one view: as stored with what was seen in it, as the model sees it, and the findings in words."""
    stored = stored_panel(view, prepared)
    name = f"{view.laterality} {view.view}"
    plates = [
        Plate(stored.picture(), name, "as stored"),
        Plate(square_panel(prepared, stored.image.height).picture(), name, "as the model sees it"),
    ]
    row, notes = draw_row(plates), _notes(view, prepared)
    size = row.width + NOTES + 3 * MARGIN, max(row.height, notes.height) + 2 * MARGIN
    picture = Image.new("RGB", size, GROUND)
    picture.paste(row, (MARGIN, MARGIN))
    picture.paste(notes, (row.width + 2 * MARGIN, MARGIN))
    return picture


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures one below the other."""
    sheet = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)), GROUND)
    y = 0
    for each in pictures:
        sheet.paste(each, (0, y))
        y += each.height
    return sheet


def stored_panel(view: View, prepared: ModelInput) -> Panel:
    """Return the stored image in the grey range that preparation found, with landmarks and the square's outline."""
    done = prepared.preparation
    assert done is not None, "prepared from a view"
    panel = grey_panel(view.pixels, panel_scales({"cc": view})["cc"], (done.black * WHITE, done.white * WHITE))
    panel = panel.with_outline(prepared.frame.to_pixels(prepared.frame.corners), QUERY, width=2)
    return panel if prepared.anatomy is None else _with_anatomy(panel, prepared.anatomy)


def _with_anatomy(panel: Panel, anatomy: Anatomy) -> Panel:
    """Mark the landmarks; a nipple that was not seen gets no cross."""
    panel = panel.with_outline(np.asarray(anatomy.outline), MINT, width=1.5)
    if anatomy.pectoral_line is not None:
        panel = panel.with_outline(np.asarray(anatomy.pectoral_line), AMBER)
    panel = panel.with_dashes(np.asarray(anatomy.axis), LIGHT)
    return panel.with_cross(anatomy.nipple, PINK, reach=12) if anatomy.nipple_confidence else panel


def square_panel(prepared: ModelInput, height: int) -> Panel:
    """Return the square at the height of its neighbour, its AP slices dashed."""
    frame = prepared.frame
    panel = grey_panel(prepared.pixels, (height / frame.height, height / frame.height), (0.0, 1.0))
    for number in range(1, NUM_SLICES):
        x = number * frame.width / NUM_SLICES
        panel = panel.with_dashes(np.array([[x, 0.0], [x, frame.height]]), GREY, width=1)
    return panel


def _notes(view: View, prepared: ModelInput) -> Image.Image:
    """Write where the decisions came from, how sure the landmarks are, and every finding."""
    column = TextColumn(Image.new("RGB", (NOTES, 4000), GROUND))
    column.heading("Seen")
    for name, colour in LEGEND.items():
        column.draw.rectangle([0, column.y + 9, 22, column.y + 15], colour)
        column.draw.text((34, column.y), name, GREY, font(20))
        column.y += 28
    for text in _measures(prepared):
        column.text(text, GREY, size=20)
    column.heading("Decided")
    for name in ("view", "laterality", "spacing_mm", "voi"):
        column.text(f"{name}: {view.provenance.get(name, 'memory')}", GREY, size=20)
    column.heading("Findings")
    for entry in prepared.findings:
        column.text(f"{entry.code}: {entry.message}", AMBER if entry.severity == "warning" else GREY, size=20, gap=6)
    if not prepared.findings:
        column.text("none", GREY, size=20)
    column.text(NOTICE.capitalize(), AMBER, size=20, gap=6)
    return column.image.crop((0, 0, NOTES, column.y))


def _measures(prepared: ModelInput) -> list[str]:
    done = prepared.preparation
    if done is None:
        return []
    size = "" if done.muscle_mm2 is None else f", {done.muscle_mm2 / 100:.1f} cm2"
    return [
        f"angle {done.angle_deg:.1f} degrees, from: {done.angle_from}",
        f"confidence of the axis {done.axis_confidence:.2f}, of the nipple {done.nipple_confidence:.2f}",
        f"cleared as muscle: {100 * done.muscle_share:.0f} % of the breast's area{size}",
    ]
