"""The schema of the manifest as one table, and what its cells and rows must obey."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from glam.report import lesions_from_text

Kind = Literal["text", "integer", "number", "date", "findings", "boxes"]
Cells = Mapping[str, Sequence[str]]
"""Column -> its cells as text, "" where unknown."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Column:
    """A column of the manifest; an empty cell is unknown."""

    name: str
    kind: Kind = "text"
    allowed: tuple[str, ...] = ()
    """The values there are. Empty: any of its kind."""
    required: bool = False
    """No cell may be empty."""


COLUMNS = (
    Column("image_id", required=True),
    Column("patient_id", required=True),
    Column("exam_id", required=True),
    Column("laterality", allowed=("L", "R"), required=True),
    Column("view", allowed=("CC", "MLO"), required=True),
    Column("path", required=True),
    Column("split", allowed=SPLITS),
    Column("image_type", allowed=("2D", "synthetic")),
    Column("birads", "integer", tuple("0123456")),
    Column("density", allowed=tuple("abcd")),
    Column("cancer", "integer", ("0", "1")),
    Column("age", "integer"),
    Column("sex"),
    Column("race"),
    Column("ethnicity"),
    Column("procedure"),
    Column("reason"),
    Column("manufacturer"),
    Column("study_date", "date"),
    Column("spacing_mm", "number"),
    Column("findings", "findings"),
    Column("boxes", "boxes"),
)
"""The schema (version 1): a row an image."""
NAMES = tuple(column.name for column in COLUMNS)


class Problem(NamedTuple):
    """A cell against its rule. Rows count from 1, below the header."""

    row: int
    column: str
    rule: str


def all_problems(cells: Cells) -> list[Problem]:
    """Return every cell and row that breaks a rule, in the order of the rows."""
    found = [problem for column in COLUMNS for problem in _cell_problems(column, cells[column.name])]
    return sorted([*found, *_repeated_images(cells), *_shared_exams(cells), *leaks(cells)], key=lambda item: item.row)


def leaks(cells: Cells) -> list[Problem]:
    """Return the rows of patients that are in more than one split; no split counts as one."""
    rows = _rows_with_many(cells["patient_id"], cells["split"])
    return [Problem(row, "split", "the patient is in more than one split") for row in rows]


def _repeated_images(cells: Cells) -> Iterator[Problem]:
    times = Counter(cells["image_id"])
    for row, image in enumerate(cells["image_id"], start=1):
        if image and times[image] > 1:
            yield Problem(row, "image_id", f"{times[image]} rows have it")


def _shared_exams(cells: Cells) -> Iterator[Problem]:
    for row in _rows_with_many(cells["exam_id"], cells["patient_id"]):
        yield Problem(row, "exam_id", "the exam belongs to more than one patient")


def _rows_with_many(owners: Sequence[str], values: Sequence[str]) -> Iterator[int]:
    """Rows of owners that have more than one value."""
    seen = defaultdict(set)
    for owner, value in zip(owners, values, strict=True):
        seen[owner].add(value)
    return (row for row, owner in enumerate(owners, start=1) if owner and len(seen[owner]) > 1)


def _cell_problems(column: Column, cells: Sequence[str]) -> Iterator[Problem]:
    rules = {text: _broken_rule(column, text) for text in set(cells)}
    for row, text in enumerate(cells, start=1):
        if rule := rules[text]:
            yield Problem(row, column.name, rule)


def _broken_rule(column: Column, text: str) -> str | None:
    if not text:
        return "is empty" if column.required else None
    if column.allowed:
        return None if text in column.allowed else f"{text!r} is none of {', '.join(column.allowed)}"
    try:
        _CHECKS.get(column.kind, str)(text)
    except ValueError as error:
        return str(error)
    return None


def _check_integer(text: str) -> None:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError(f"{text!r} is no whole number from 0 to 999")


def _check_number(text: str) -> None:
    if not re.fullmatch(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", text, re.IGNORECASE) or not 0 < float(text) < 1e6:
        raise ValueError(f"{text!r} is no positive number")


def _check_date(text: str) -> None:
    try:
        datetime.strptime(text, "%Y-%m-%d" if "-" in text else "%Y%m%d")
    except ValueError:
        raise ValueError(f"{text!r} is no date such as 2026-01-31") from None


def _check_boxes(text: str) -> None:
    rule = f"{text!r} is no JSON list of [x0, y0, x1, y1] with x0 < x1 and y0 < y1"
    try:
        boxes = json.loads(text)
        holds = isinstance(boxes, list) and all(_is_box(*box) for box in boxes)
    except (ValueError, TypeError):
        raise ValueError(rule) from None
    if not holds:
        raise ValueError(rule)


def _is_box(x0: float, y0: float, x1: float, y1: float) -> bool:
    return all(isinstance(number, int | float) for number in (x0, y0, x1, y1)) and x0 < x1 and y0 < y1


_CHECKS: dict[Kind, Callable[[str], Any]] = {
    "integer": _check_integer,
    "number": _check_number,
    "date": _check_date,
    "findings": lesions_from_text,
    "boxes": _check_boxes,
}
