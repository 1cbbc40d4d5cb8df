"""The sheet of a figure: plates in a row, a column of numbers beside them, what it is and what it is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from PIL import Image, ImageDraw

from glam.bundle import Bundle
from glam.drawing.paint import AMBER, GREY, GROUND, LIGHT, QUERY, TextColumn, font, heat_colours, heat_opacity
from glam.prediction import NOTICE, Prediction
from glam.words.labels import BIRADS_NAMES, DENSITY_NAMES

SIDES = {"L": "Left breast", "R": "Right breast"}
TITLE_OF_PAIR = "where the model looks, from one view to the other and back"
MARGIN, GAP, GROUP_GAP, SIDEBAR, NOTES = 40, 20, 60, 460, 620
HEADER, TITLE, CAPTION = 92, 46, 84


@dataclass(frozen=True)
class Plate:
    """A picture with its name and what it shows."""

    image: Image.Image
    name: str
    role: str
    caption: str = ""


@dataclass(frozen=True)
class HeatScale:
    """Shares of the attention: of the last colour, and of a patch were its AP slice evenly lit."""

    top: float
    even: float


def draw_sheet(
    prediction: Prediction,
    bundle: Bundle,
    groups: Sequence[Sequence[Plate]],
    *,
    ruler_px: float | None,
    heat: HeatScale | None = None,
) -> Image.Image:
    """Draw groups of plates in one row, and what the model says in numbers at the right."""
    rows = [draw_row(group) for group in groups]
    sidebar = _column(
        SIDEBAR,
        lambda column: _write_probabilities(column, prediction),
        lambda column: _write_scale(column, ruler_px),
        lambda column: _write_origin(column, prediction, bundle),
    )
    notes = [_column(NOTES, lambda column: _write_warnings(column, prediction))]
    if heat is not None:
        notes.insert(0, _column(NOTES, lambda column: _write_heat_scale(column, heat)))
    width = sum(row.width + GROUP_GAP for row in rows) + sidebar.width + 2 * MARGIN
    below = HEADER + max(row.height for row in rows) + 24
    height = max(below + max(note.height for note in notes), HEADER + sidebar.height) + MARGIN
    sheet = Image.new("RGB", (width, height), GROUND)
    x = MARGIN
    for part, note in zip_longest((*rows, sidebar), notes):
        sheet.paste(part, (x, HEADER))
        if note is not None:
            sheet.paste(note, (x, below))
        x += part.width + GROUP_GAP
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 26), SIDES[prediction.laterality], LIGHT, font(36))
    if heat is not None:
        draw.text((MARGIN + 240, 37), TITLE_OF_PAIR, GREY, font(24))
    draw.text((width - MARGIN, 32), NOTICE.capitalize(), AMBER, font(28), anchor="ra")
    return sheet


def draw_row(plates: Sequence[Plate]) -> Image.Image:
    """Draw plates side by side, names above and captions below."""
    width = sum(plate.image.width for plate in plates) + GAP * (len(plates) - 1)
    height = (
        TITLE + max(plate.image.height for plate in plates) + (CAPTION if any(plate.caption for plate in plates) else 0)
    )
    row = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(row)
    x = 0
    for plate in plates:
        draw.text((x, 0), plate.name, LIGHT, font(30))
        left = x + font(30).getbbox(plate.name)[2] + 14
        draw.text((left, 9), plate.role, QUERY if plate.role == "query" else GREY, font(21))
        row.paste(plate.image, (x, TITLE))
        if plate.caption:
            caption = _column(plate.image.width, lambda column, text=plate.caption: column.text(text, GREY, size=20))
            row.paste(caption, (x, TITLE + plate.image.height + 10))
        x += plate.image.width + GAP
    return row


def _column(width: int, *writers: Callable[[TextColumn], None]) -> Image.Image:
    """Write a column of text and cut it off below its last line."""
    image = Image.new("RGB", (width, 4000), GROUND)
    column = TextColumn(image)
    for write in writers:
        write(column)
    return image.crop((0, 0, width, max(column.y, 1)))


def _write_probabilities(column: TextColumn, prediction: Prediction) -> None:
    note = "zero-shot, calibrated" if prediction.calibrated else "zero-shot, not calibrated"
    matches = {text: match.probability for text, match in prediction.prompts.items()}
    density = {f"{key}  {DENSITY_NAMES.get(key, '')}": share for key, share in prediction.density.items()}
    birads = {f"{key}  {_birads_name(key)}": share for key, share in prediction.birads.items()}
    tables = (("Density", density, note), ("BI-RADS", birads, note), ("Prompts", matches, "softmax over them"))
    for title, shares, remark in tables:
        if not shares:
            continue
        column.heading(title, remark)
        for label, share in shares.items():
            column.bar(label, share, strong=share == max(shares.values()))


def _birads_name(key: str) -> str:
    return BIRADS_NAMES.get(int(key), "") if key.isdigit() else ""


def _write_heat_scale(column: TextColumn, heat: HeatScale) -> None:
    """Draw the colour bar over grey, as the colours are seen, with numbers below."""
    column.heading("Attention", "share of a patch")
    values = np.linspace(0, 1, column.width)
    opacity = heat_opacity(values)[:, None]
    colours = opacity * heat_colours(values) + (1 - opacity) * 60
    bar = np.broadcast_to(colours.round().astype(np.uint8), (26, column.width, 3))
    column.image.paste(Image.fromarray(np.ascontiguousarray(bar)), (0, column.y))
    for share, anchor in ((0.0, "la"), (heat.top / 2, "ma"), (heat.top, "ra")):
        x = round(column.width * share / heat.top)
        column.draw.text((x, column.y + 34), f"{100 * share:.1f} %", LIGHT, font(20), anchor=anchor)
    even_x = round(column.width * heat.even / heat.top)
    column.draw.line([(even_x, column.y - 4), (even_x, column.y + 30)], LIGHT, 2)
    column.y += 64
    column.text(
        f"White tick: {100 * heat.even:.1f} %, an even spread over the slice. Dashed: the AP slice of the "
        "query. White outline: the row of the slice with the most attention, and its share of the slice.",
        GREY,
        size=20,
    )


def _write_scale(column: TextColumn, ruler_px: float | None) -> None:
    column.heading("Scale")
    if ruler_px is None:
        column.text("No pixel spacing in the header: the views are not to scale.", GREY, size=20)
        return
    y = column.y + 10
    column.draw.line([(0, y), (ruler_px, y)], LIGHT, 3)
    for x in (0, ruler_px):
        column.draw.line([(x, y - 7), (x, y + 7)], LIGHT, 3)
    column.draw.text((ruler_px + 14, column.y), "5 cm", GREY, font(20))
    column.y += 26


def _write_warnings(column: TextColumn, prediction: Prediction) -> None:
    findings = [*prediction.findings, *(entry for view in prediction.views.values() for entry in view.findings)]
    messages = dict.fromkeys(entry.message for entry in findings if entry.severity == "warning")
    if messages:
        column.heading("Findings of reading and preparation")
    for message in messages:
        column.text(f"{message[0].upper()}{message[1:]}.", GREY, size=20, gap=6)


def _write_origin(column: TextColumn, prediction: Prediction, bundle: Bundle) -> None:
    column.heading("Model")
    column.text(f"{bundle.name} {bundle.version}", size=22)
    column.text(f"bundle {prediction.bundle[:12]}, preparation {prediction.prepare_sha[:12]}", GREY, size=20)
