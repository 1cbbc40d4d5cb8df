"""Five synthetic mammograms and what the released code (XYPB/GLAM b863b78) made of them: where we agree, and where not.

Only its intent is held against: its own faults (a muscle that covers much is missed, and the image then flipped to the
wrong side; 18 degrees where it finds nothing) are not.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glam.config import FrameConfig
from glam.preparation import Preparation
from glam.prepare import ModelInput, prepare
from glam.view import View
from tests.samples.released import released

FOLDER = Path(__file__).parents[1] / "golden" / "preparation"
LINES = json.loads((FOLDER / "released_lines.json").read_text())
DRAWN_DEG = {"L_MLO_25": 25, "R_MLO_30_label": 30, "R_MLO_14_steep": 14, "L_MLO_far": 35}


def pixels_of(name: str) -> np.ndarray:
    return np.asarray(Image.open(FOLDER / f"{name}.png"), np.uint16) * 257


def prepared(name: str) -> ModelInput:
    laterality = "L" if name.startswith("L") else "R"
    return prepare(View(pixels=pixels_of(name), view="MLO", laterality=laterality), FrameConfig(size=252))


def done(prepared: ModelInput) -> Preparation:
    """The record of what was done."""
    assert prepared.preparation is not None
    return prepared.preparation


@pytest.mark.parametrize("name", LINES)
def test_the_recipe_of_the_benchmark_finds_the_lines_of_the_released_code(name: str) -> None:
    line = released(pixels_of(name), is_mlo=True).line
    if LINES[name] is None:
        assert line is None
    else:
        assert line is not None
        assert line.angle_deg == pytest.approx(LINES[name]["angle_deg"], abs=0.1)
        assert line.offset == pytest.approx(LINES[name]["distance"], abs=2)


@pytest.mark.parametrize("name", DRAWN_DEG)
def test_the_muscle_is_found_at_the_angle_it_was_drawn_at(name: str) -> None:
    made = prepared(name)
    assert done(made).angle_from == "muscle"
    assert done(made).angle_deg == pytest.approx(DRAWN_DEG[name], abs=1)
    assert done(made).chest_wall == {"L": "left", "R": "right"}[name[0]]


def test_no_muscle_is_found_where_none_was_drawn() -> None:
    assert done(prepared("L_MLO_nopect")).angle_from == "usual"


def test_a_label_is_left_out_of_the_square() -> None:
    made = prepared("R_MLO_30_label")
    assert made.anatomy is not None
    assert np.ptp(made.anatomy.outline[:, 1]) < 0.98 * made.frame.rows
    assert not made.pixels[:25, -25:].any()
