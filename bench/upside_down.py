"""How often an MLO view stored on its head, without a header that says so, is turned, and how often an upright one.

python -m bench.upside_down [--quick] [--views 200] [--seed 88000000]

Phantoms of every difficulty, half of them with a muscle that is seen (`varied`) and half without any, each upright and
with its rows reversed, without PatientOrientation.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bench.report import goal, print_summary
from glam.config import FrameConfig
from glam.phantom import draw_pair, view_of
from glam.phantom.options import PhantomOptions, varied
from glam.prepare import prepare
from glam.view import View
from glam_train.evaluation.goals import Goal

CONFIG = FrameConfig(size=252)


class Turned(NamedTuple):
    """Whether preparation exchanged top and bottom of one phantom."""

    has_muscle: bool
    on_its_head: bool
    """It was stored with its rows reversed."""
    upright: bool
    """It was stored as it should be."""


def measure(index: int, *, seed: int, px_mm: float) -> Turned:
    """Draw phantom `index`, every second one without a muscle, and prepare it both ways."""
    mlo = draw_pair(seed + index, _options(index, px_mm), laterality="L" if index % 4 < 2 else "R").mlo
    view = replace(view_of(mlo, FrameConfig()), orientation=None)
    reversed_rows = replace(view, pixels=np.ascontiguousarray(view.pixels[::-1]))
    return Turned(mlo.truth.pectoral_line is not None, _is_turned(reversed_rows), _is_turned(view))


def _options(index: int, px_mm: float) -> PhantomOptions:
    options = varied()
    muscle = {"no_muscle": 1.0, "small_muscle": 0.0, "large_muscle": 0.0} if index % 2 else {"no_muscle": 0.0}
    return replace(options, px_mm=px_mm, difficulty=replace(options.difficulty, **muscle))


def _is_turned(view: View) -> bool:
    done = prepare(view, CONFIG).preparation
    assert done is not None
    return done.upside_down


def figures_of(turned: list[Turned]) -> dict[str, Any]:
    """Return the shares turned, by how the views were stored and whether they have a muscle."""
    figures: dict[str, Any] = {}
    for name, has_muscle in (("with_muscle", True), ("without_muscle", False)):
        views = [one for one in turned if one.has_muscle == has_muscle]
        figures[name] = {
            "views": len(views),
            "on_its_head_turned": _share([one.on_its_head for one in views]),
            "upright_turned": _share([one.upright for one in views]),
        }
    return figures


def _share(flags: list[bool]) -> float | None:
    return round(float(np.mean(flags)), 4) if flags else None


def goals_of(figures: dict[str, Any]) -> dict[str, Goal]:
    """Return the goal: no upright view is turned. How many of the others are is a figure, to which no bound was set."""
    wrong = [kind["upright_turned"] for kind in figures.values() if kind["views"]]
    return {"upright_turned": goal(max(wrong), at_most=0.01)}


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 views at 0.48 mm")
    parser.add_argument("--views", type=int, default=200)
    parser.add_argument("--seed", type=int, default=88_000_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    num_views, px_mm = (40, 0.48) if given.quick else (given.views, 0.24)
    with ProcessPoolExecutor(given.workers) as pool:
        turned = list(pool.map(partial(measure, seed=given.seed, px_mm=px_mm), range(num_views), chunksize=4))
    figures = figures_of(turned)
    print_summary("upside_down", figures | {"seed": given.seed, "px_mm": px_mm}, goals_of(figures))


if __name__ == "__main__":
    main()
