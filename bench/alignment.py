"""How far the two views of a breast are apart after alignment: the same 3-D points of phantoms, CC against MLO.

python -m bench.alignment [--quick] [--pairs 500] [--seed 77000000] [--page docs/results.md]

The anterior-posterior (AP) error of a point is the difference of its columns in both squares. It is given in mm, in
per cent of the chest-nipple length (the mean of both views' true ones) and in columns of a 9 x 9 grid over the square:
a frame that shows more than the breast has coarser columns, so these flatter it. Frames of the same kind that are made
from the truth are the floor: tissue itself moves between the views.
"""

import argparse
import itertools
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from bench.alignment_page import alignment_section, put_section
from bench.report import goal, print_summary
from glam.config import FrameConfig, FrameKind
from glam.frame import transform
from glam.origin import commit, machine
from glam.phantom import Pair, draw_pair, view_of
from glam.phantom.options import varied
from glam.phantom.render import NIPPLE_MM, Projection
from glam.phantom.truth import ViewTruth
from glam.prepare import ModelInput, prepare
from glam_train.evaluation.goals import Goal
from tests.samples.released import released

SIZE = 252
SIDE = 9
MUSCLE_SHARE = 0.03
NIPPLE_MM_GOAL = 5.0
DEFAULT = FrameConfig().kind
KINDS: tuple[FrameKind, ...] = get_args(FrameKind)
PLAIN = FrameConfig(size=SIZE, kind="stretch", align_mlo=False)
FALLBACK = "usual"


class Columns(NamedTuple):
    """Where the points of a view lie along the square, and how wide that is."""

    shares: NDArray[np.float64]
    """(n,) of the square's width."""
    span_mm: float


class Landmark(NamedTuple):
    """The axis of one MLO view, against the truth."""

    muscle_share: float | None
    """Share of the breast's area behind the true pectoral line. None: the phantom has no muscle."""
    found: bool
    """Whether the angle comes from a pectoral line."""
    angle_deg: float
    angle_error_deg: float
    fallback: bool
    from_nipple: bool


class Measured(NamedTuple):
    """The measurements of one pair; `errors_mm` and `spans_mm` by the name of the frames."""

    errors_mm: dict[str, NDArray[np.float64]]
    """(n,) AP errors each."""
    spans_mm: dict[str, float]
    length_mm: float
    nipple_errors_mm: tuple[float, float]
    landmark: Landmark


def measure(index: int, *, seed: int, px_mm: float) -> Measured:
    """Draw phantom `index` and align it in every way."""
    pair = draw_pair(seed + index, replace(varied(), px_mm=px_mm), laterality="LR"[index % 2])  # type: ignore[arg-type]
    views = (pair.cc, pair.mlo)
    inputs = {
        kind: [prepare(view_of(view, FrameConfig()), FrameConfig(size=SIZE, kind=kind)) for view in views]
        for kind in KINDS
    }
    columns: dict[str, list[Columns]] = {}
    for name, columns_of in (("ours", _columns), ("oracle", _oracle)):
        columns |= {
            f"{name} {kind}": [columns_of(*each) for each in zip(inputs[kind], views, strict=True)] for kind in KINDS
        }
    plain = [prepare(view_of(view, FrameConfig()), PLAIN) for view in views]
    columns["plain crop"] = [_columns(*each) for each in zip(plain, views, strict=True)]
    columns["released recipe"] = [_released(view) for view in views]
    spans = {name: statistics.mean(view.span_mm for view in both) for name, both in columns.items()}
    errors = {name: np.abs(cc.shares - mlo.shares) * spans[name] for name, (cc, mlo) in columns.items()}
    nipples = [_nipple_error_mm(*each) for each in zip(inputs[DEFAULT], views, strict=True)]
    length = statistics.mean(view.truth.pnl_mm for view in views)
    return Measured(errors, spans, length, (nipples[0], nipples[1]), _landmark(pair, inputs[DEFAULT][1]))


def _columns(prepared: ModelInput, view: Projection) -> Columns:
    across = float(np.hypot(*prepared.frame.to_square_matrix[0, :2]))
    return Columns(prepared.frame.to_square(view.truth.tissue)[:, 0] / SIZE, SIZE / across * view.px_mm)


def _oracle(prepared: ModelInput, view: Projection) -> Columns:
    """Return the columns of a frame of the same kind whose nipple, foot and angle are the true ones."""
    assert prepared.preparation is not None
    kind, truth = prepared.preparation.kind, view.truth
    behind_mm = truth.nipple_distance_mm(truth.tissue)
    if kind == "stretch":
        return Columns(1 - behind_mm / truth.pnl_mm, truth.pnl_mm)
    span_mm = _columns(prepared, view).span_mm
    if kind == "isotropic":
        return Columns((truth.pnl_mm - behind_mm) / span_mm, span_mm)
    return Columns(1 - behind_mm / span_mm, span_mm)


def _released(view: Projection) -> Columns:
    """Return the columns of the released recipe."""
    recipe = released(view_of(view, FrameConfig()).pixels, is_mlo=view.view == "MLO")
    across = float(np.hypot(*recipe.to_box[0, :2]))
    return Columns(transform(recipe.to_box, view.truth.tissue)[:, 0] / recipe.width, recipe.width / across * view.px_mm)


def _nipple_error_mm(prepared: ModelInput, view: Projection) -> float:
    """Return the distance to the tip of the nipple, which stands out of the skin that the truth names."""
    assert prepared.anatomy is not None
    tip = np.array(view.truth.nipple) + np.array(view.truth.pnl_direction) * NIPPLE_MM[0] / view.px_mm
    return float(np.hypot(*(tip - prepared.anatomy.nipple)) * view.px_mm)


def _landmark(pair: Pair, prepared: ModelInput) -> Landmark:
    truth = pair.mlo.truth
    assert prepared.preparation is not None
    source, angle_deg = prepared.preparation.angle_from, prepared.preparation.angle_deg
    return Landmark(
        muscle_share=_muscle_share(pair.mlo, truth),
        found=source == "muscle",
        angle_deg=angle_deg,
        angle_error_deg=abs(angle_deg - truth.alpha_deg),
        fallback=source == FALLBACK,
        from_nipple=source == "nipple",
    )


def _muscle_share(view: Projection, truth: ViewTruth) -> float | None:
    """Return the share of the breast behind the true pectoral line; None for a phantom without a muscle."""
    if truth.pectoral_line is None:
        return None
    top, bottom = np.array(truth.pectoral_line)
    y, x = np.mgrid[: truth.rows, : truth.cols] + 0.5
    normal = np.array([-(bottom - top)[1], (bottom - top)[0]])
    normal = normal * np.sign(normal @ np.array(truth.pnl_direction))
    body = view.pixels > 0
    return float(np.count_nonzero(body & ((x - top[0]) * normal[0] + (y - top[1]) * normal[1] < 0)) / body.sum())


def figures_of(measured: list[Measured]) -> dict[str, Any]:
    """Return every figure of the page."""
    names = list(measured[0].errors_mm)
    landmarks = [pair.landmark for pair in measured]
    with_muscle = [mark for mark in landmarks if mark.muscle_share is not None and mark.muscle_share >= MUSCLE_SHARE]
    without = [mark for mark in landmarks if mark.muscle_share is None]
    nipples = np.array([pair.nipple_errors_mm for pair in measured])
    return {
        "pairs": len(measured),
        "points": sum(len(pair.errors_mm[names[0]]) for pair in measured),
        "frames": {name: _spread(measured, name) for name in names},
        "muscle": {
            "views_with": len(with_muscle),
            "views_without": len(without),
            "found": _mean(mark.found for mark in with_muscle),
            "found_where_none": _mean(mark.found for mark in without),
            "angle_deg": _percentiles([mark.angle_deg for mark in with_muscle if mark.found]),
            "angle_error_deg": _percentiles([mark.angle_error_deg for mark in with_muscle if mark.found]),
        },
        "nipple": {"within_5_mm": float((nipples <= NIPPLE_MM_GOAL).mean()), "error_mm": _percentiles(nipples.ravel())},
        "axis": {
            "fallbacks": _mean(mark.fallback for mark in landmarks),
            "from_nipple": _mean(mark.from_nipple for mark in landmarks),
            "from_nipple_error_deg": _percentiles([mark.angle_error_deg for mark in landmarks if mark.from_nipple]),
        },
    }


def _spread(measured: list[Measured], name: str) -> dict[str, Any]:
    """Return the errors of one way of aligning, over all points alike."""
    percent = np.concatenate([100 * pair.errors_mm[name] / pair.length_mm for pair in measured])
    columns = np.concatenate([SIDE * pair.errors_mm[name] / pair.spans_mm[name] for pair in measured])
    return {
        "mm": _percentiles(np.concatenate([pair.errors_mm[name] for pair in measured])),
        "percent": _percentiles(percent),
        "columns": _percentiles(columns),
        "span_mm": round(statistics.mean(pair.spans_mm[name] for pair in measured), 1),
    }


def _percentiles(values: Any) -> dict[str, float] | None:
    array = np.asarray(values, np.float64)
    if not len(array):
        return None
    return {name: round(float(np.percentile(array, at)), 3) for name, at in (("median", 50), ("p95", 95))}


def _mean(values: Iterator[bool]) -> float | None:
    flags = list(values)
    return round(float(np.mean(flags)), 4) if flags else None


def goals_of(figures: dict[str, Any]) -> dict[str, Goal]:
    """Return the goals: the default frame against an oracle of its kind, and the landmarks."""
    ours, oracle = (figures["frames"][f"{who} {DEFAULT}"]["mm"] for who in ("ours", "oracle"))
    muscle, axis = figures["muscle"], figures["axis"]
    goals = {
        "ap_error_ratio_median": goal(round(ours["median"] / oracle["median"], 3), at_most=1.2),
        "ap_error_ratio_p95": goal(round(ours["p95"] / oracle["p95"], 3), at_most=1.35),
        "nipple_within_5_mm": goal(round(figures["nipple"]["within_5_mm"], 4), at_least=0.95),
        "fallbacks": goal(axis["fallbacks"], at_most=0.03),
    }
    if muscle["views_with"]:
        goals["muscle_found"] = goal(muscle["found"], at_least=0.97)
    if muscle["angle_error_deg"]:
        goals["muscle_angle_median_deg"] = goal(muscle["angle_error_deg"]["median"], at_most=3.0)
    if muscle["views_without"]:
        goals["muscle_found_where_none"] = goal(muscle["found_where_none"], at_most=0.03)
    return goals


def main() -> None:
    """Measure, write the page, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 pairs at 0.48 mm")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=77_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, help="page whose section on alignment is to be written")
    args = parser.parse_args()
    num_pairs, px_mm = (40, 0.48) if args.quick else (args.pairs, 0.24)
    with ProcessPoolExecutor(args.workers) as pool:
        measure_pair = partial(measure, seed=args.seed, px_mm=px_mm)
        measured = list(itertools.chain(pool.map(measure_pair, range(num_pairs), chunksize=4)))
    figures = figures_of(measured) | {"seed": args.seed, "px_mm": px_mm}
    goals = goals_of(figures)
    if args.page is not None:
        put_section(args.page, alignment_section(figures, goals, commit=commit(12), machine=machine()))
    print_summary("alignment", figures, goals)


if __name__ == "__main__":
    main()
