"""How long phantoms are in both views and how steep their pectoral muscles, beside the same table of patients.

python -m bench.phantom_geometry [--quick] [--breasts 10000] [--seed 55000000] [--page docs/phantom.md]

Everything is measured in the geometry of the views, so no image is drawn. A goal is how far a figure of the phantoms
lies from that of the patients; its bound is in `TOLERANCES`.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench.alignment_page import put_section
from bench.report import goal, print_summary
from glam.origin import commit, machine
from glam.phantom.difficulty import positioned
from glam.phantom.habitus import draw_habitus
from glam.phantom.landmarks import Lengths, lengths_in
from glam.phantom.options import PhantomOptions, varied
from glam.phantom.patients import PATIENTS, SOURCE, LengthTable, length_table
from glam_train.evaluation.goals import Goal

START, END = "<!-- lengths: bench/phantom_geometry.py -->", "<!-- /lengths -->"
QUICK_BREASTS = 1500
KINDS = {"usual": PhantomOptions(), "varied": varied()}
ROWS: dict[str, tuple[str, int]] = {
    "cc_mm": ("CC, nipple to image edge, mean, mm", 1),
    "mlo_mm": ("MLO, nipple to pectoral line, mean, mm", 1),
    "difference_mm": ("MLO minus CC, mean, mm", 1),
    "difference_spread_mm": ("MLO minus CC, standard deviation, mm", 1),
    "absolute_median_mm": ("absolute difference, median, mm", 1),
    "absolute_p90_mm": ("absolute difference, 90th percentile, mm", 1),
    "within_10_mm": ("absolute difference of at most 10 mm, share", 3),
    "ratio_p5": ("MLO over CC, 5th percentile", 2),
    "ratio_median": ("MLO over CC, median", 2),
    "ratio_p95": ("MLO over CC, 95th percentile", 2),
    "muscle_deg": ("pectoral angle, mean, degrees", 1),
    "muscle_spread_deg": ("pectoral angle, standard deviation, degrees", 1),
    "muscle_p1_deg": ("pectoral angle, 1st percentile, degrees", 1),
    "muscle_p99_deg": ("pectoral angle, 99th percentile, degrees", 1),
}
"""Field of the table -> what the page calls it, and its decimals."""
TOLERANCES = {
    "cc_mm": 1.5,
    "mlo_mm": 1.5,
    "difference_mm": 0.7,
    "difference_spread_mm": 0.5,
    "absolute_median_mm": 0.7,
    "absolute_p90_mm": 1.0,
    "within_10_mm": 0.03,
    "ratio_p5": 0.02,
    "ratio_median": 0.02,
    "ratio_p95": 0.03,
    "muscle_deg": 0.7,
    "muscle_spread_deg": 0.5,
    "muscle_p1_deg": 1.5,
    "muscle_p99_deg": 1.5,
}
"""How far the phantoms' figures may lie from the patients'."""


def lengths(seed: int, *, kind: str) -> Lengths | None:
    """Return what an observer would measure in the breast of a seed; None without a muscle to measure to."""
    options = KINDS[kind]
    views = positioned(seed, draw_habitus(seed, options), options)
    return lengths_in(views, height_mm=options.image_shape[0] * options.px_mm)


def table_of(kind: str, *, num_breasts: int, seed: int, workers: int = 1) -> LengthTable:
    """Return the table of usual or varied phantoms; breasts without a muscle to measure to are left out."""
    seeds = range(seed, seed + num_breasts)
    if workers == 1:
        return length_table([one for one in map(partial(lengths, kind=kind), seeds) if one])
    with ProcessPoolExecutor(workers) as pool:
        return length_table([one for one in pool.map(partial(lengths, kind=kind), seeds, chunksize=64) if one])


def goals_of(tables: dict[str, LengthTable]) -> dict[str, Goal]:
    """Return how far each figure of each kind of phantom lies from the patients', beside its bound."""
    return {
        f"{kind}_{name}": goal(round(abs(getattr(table, name) - getattr(PATIENTS, name)), 4), at_most=bound)
        for kind, table in tables.items()
        for name, bound in TOLERANCES.items()
    }


def lengths_section(tables: dict[str, LengthTable], *, seed: int, commit: str, machine: str) -> str:
    """Return the section of docs/phantom.md as Markdown, marks included."""
    columns = {"patients": PATIENTS, "usual phantoms": tables["usual"], "varied phantoms": tables["varied"]}
    lines = [
        START,
        "## Lengths and angles, beside those of patients",
        "",
        f"Written by `bench/phantom_geometry.py` (seed {seed}). {machine}, commit {commit}. The patients' figures are "
        f"from {SOURCE}. Breasts without a muscle in the image cannot be measured and are left out.",
        "",
        "| | " + " | ".join(columns) + " | within |",
        "| --- |" + " --- |" * (len(columns) + 1),
        "| breasts | " + " | ".join(f"{table.breasts:,}" for table in columns.values()) + " | |",
        *(_row(name, list(columns.values())) for name in ROWS),
        "",
        END,
    ]
    return "\n".join(lines)


def _row(name: str, tables: list[LengthTable]) -> str:
    label, decimals = ROWS[name]
    cells = [f"{getattr(table, name):.{decimals}f}" for table in tables]
    return f"| {label} | " + " | ".join(cells) + f" | {TOLERANCES[name]:g} |"


def main() -> None:
    """Measure, write the page, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_BREASTS} breasts of each kind")
    parser.add_argument("--breasts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=55_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, help="page whose section on lengths is to be written")
    given = parser.parse_args()
    num_breasts = QUICK_BREASTS if given.quick else given.breasts
    tables = {kind: table_of(kind, num_breasts=num_breasts, seed=given.seed, workers=given.workers) for kind in KINDS}
    if given.page is not None:
        put_section(given.page, lengths_section(tables, seed=given.seed, commit=commit(12), machine=machine()))
    figures: dict[str, Any] = {name: asdict(table) for name, table in {"patients": PATIENTS, **tables}.items()}
    print_summary("phantom_geometry", figures | {"seed": given.seed}, goals_of(tables))


if __name__ == "__main__":
    main()
