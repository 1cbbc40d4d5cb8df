"""The section on alignment of docs/results.md, between two marks, so that each command writes its own part."""

from pathlib import Path
from typing import Any

from glam_train.evaluation.goals import Goal

START, END = "<!-- alignment: bench/alignment.py -->", "<!-- /alignment -->"
NOTICE = "A phantom figure says nothing about patients. Research use only, not for diagnosis."


def alignment_section(figures: dict[str, Any], goals: dict[str, Goal], *, commit: str, machine: str) -> str:
    """Return the section as Markdown, marks included."""
    muscle, nipple, axis = figures["muscle"], figures["nipple"], figures["axis"]
    lines = [
        START,
        "## Alignment of the two views",
        "",
        f"Written by `bench/alignment.py`: {figures['pairs']} phantom pairs (seed {figures['seed']}, "
        f"{figures['px_mm']} mm pixels) of all shapes, gantry angles 30 to 60 degrees, much, little and no muscle, "
        "rolled and truncated breasts, noise, labels and border strips. "
        + NOTICE
        + " "
        + f"{machine}, commit {commit}.",
        "",
        f"AP error of {figures['points']} points of the breast, CC against MLO: how far their columns differ in both "
        "squares. An oracle is a frame of the same kind made from the truth. % is of the chest-nipple length; columns "
        "are those of a 9 x 9 grid, and a frame that shows more than the breast has coarser ones.",
        "",
        "| frame | mm, median | mm, 95th | %, median | %, 95th | columns, median | columns, 95th |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_frame_row(name, spread) for name, spread in figures["frames"].items()),
        "",
        "| landmark of the MLO view | figure |",
        "| --- | --- |",
        f"| muscle found, of {muscle['views_with']} that cover 3 % of the breast | {_share(muscle['found'])} |",
        f"| muscle found, of {muscle['views_without']} views without one | {_share(muscle['found_where_none'])} |",
        f"| angle of the muscles found, in degrees | {_spread(muscle['angle_deg'])} |",
        f"| its error in degrees | {_spread(muscle['angle_error_deg'])} |",
        f"| axis from the nipple, no muscle seen | {axis['from_nipple']:.3f} of all views |",
        f"| error of that angle in degrees | {_spread(axis['from_nipple_error_deg'])} |",
        f"| axis from neither (usual angle) | {axis['fallbacks']:.3f} of all views |",
        f"| nipple within 5 mm, both views | {nipple['within_5_mm']:.3f} |",
        f"| nipple, error in mm | {_spread(nipple['error_mm'])} |",
        "",
        "| goal | value | bound | holds |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {goal.value} | {goal.bound} | {'yes' if goal.holds else 'no'} |"
            for name, goal in goals.items()
        ),
        "",
        END,
    ]
    return "\n".join(lines)


def put_section(page: Path, section: str) -> None:
    """Replace the section between its first and its last line in a page, or add it at the end of the page."""
    start, *_, end = section.splitlines()
    text = page.read_text() if page.exists() else ""
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    page.write_text(f"{before.rstrip()}\n\n{section}\n\n{after.lstrip()}".strip() + "\n")


def _frame_row(name: str, spread: dict[str, Any]) -> str:
    cells = [f"{spread[unit][at]:.2f}" for unit in ("mm", "percent", "columns") for at in ("median", "p95")]
    return f"| {name} | " + " | ".join(cells) + " |"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _spread(values: dict[str, float] | None) -> str:
    if values is None:
        return "none"
    return f"median {values['median']:.2f}, 95th percentile {values['p95']:.2f}"
