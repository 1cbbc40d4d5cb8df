"""The schema of the manifest as one table, and what its cells and rows must obey."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np

from glam.manifest.columns import TextColumn, rows_with_many
from glam.words.facts import lesions_from_text

Kind = Literal["text", "integer", "number", "date", "findings", "boxes", "ids"]
Cells = Mapping[str, TextColumn]
"""The columns of a table by name."""
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
    Column("site"),
    Column("study_date", "date"),
    Column("spacing_mm", "number"),
    Column("findings", "findings"),
    Column("boxes", "boxes"),
    Column("finding_ids", "ids"),
)
"""The schema (version 2): a row an image. Version 1 lacks `site` and `finding_ids`, and is read."""
NAMES = tuple(column.name for column in COLUMNS)


class Problem(NamedTuple):
    """A cell against its rule. Rows count from 1, below the header."""

    row: int
    column: str
    rule: str


def all_problems(cells: Cells) -> list[Problem]:
    """Return every cell and row that breaks a rule, in the order of the rows."""
    of_cells = [problem for column in COLUMNS for problem in _cell_problems(column, cells[column.name])]
    of_rows = [_repeated_images(cells), _shared_exams(cells), _uncounted_ids(cells), _shared_ids(cells), leaks(cells)]
    return sorted([*of_cells, *chain.from_iterable(of_rows)], key=lambda problem: problem.row)


def finding_ids(text: str) -> tuple[str, ...]:
    """Return the ids of a cell, one a box, as text; an empty cell has none. ValueError when they break their rule."""
    rule = f"{text!r} is no JSON list of ids: whole numbers or text that is not empty, each once in an image"
    try:
        values = json.loads(text or "[]")
    except (ValueError, RecursionError):
        raise ValueError(rule) from None
    if not isinstance(values, list) or any(type(value) not in (int, str) for value in values):
        raise ValueError(rule)
    ids = tuple(str(value).strip() for value in values)
    if not all(ids) or len(set(ids)) != len(ids):
        raise ValueError(rule)
    return ids


def boxes(text: str) -> tuple[tuple[float, float, float, float], ...]:
    """Return the boxes of a cell, x0, y0, x1, y1 in stored pixels; an empty cell has none. ValueError as above."""
    rule = f"{text!r} is no JSON list of [x0, y0, x1, y1] with x0 < x1 and y0 < y1"
    try:
        values = json.loads(text or "[]")
        holds = isinstance(values, list) and all(_is_box(*box) for box in values)
    except (ValueError, TypeError, OverflowError, RecursionError):  # no JSON, no four numbers, none that is a float
        raise ValueError(rule) from None
    if not holds:
        raise ValueError(rule)
    return tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in values)


def leaks(cells: Cells) -> list[Problem]:
    """Return the rows of patients that are in more than one split; no split counts as one."""
    rows = rows_with_many(cells["patient_id"], cells["split"])
    return [Problem(row, "split", "the patient is in more than one split") for row in rows]


def _repeated_images(cells: Cells) -> Iterator[Problem]:
    images = cells["image_id"]
    if images.values.is_unique:
        return
    times = np.bincount(images.codes)
    for row in images.rows_of((times > 1) & np.array([text != "" for text in images.texts], bool)):
        rule = f"{times[images.codes[row - 1]]} rows have it: give each image one row"
        yield Problem(row, "image_id", rule)


def _shared_exams(cells: Cells) -> Iterator[Problem]:
    for row in rows_with_many(cells["exam_id"], cells["patient_id"]):
        yield Problem(row, "exam_id", "the exam belongs to more than one patient")


def _uncounted_ids(cells: Cells) -> Iterator[Problem]:
    """Rows whose ids and boxes are not as many; a cell that breaks its own rule is told of elsewhere."""
    ids, places = cells["finding_ids"], cells["boxes"]
    counts = [_count(finding_ids, text) for text in ids.texts]
    num_boxes = [_count(boxes, text) for text in places.texts]
    for row in (1 + np.flatnonzero(~ids.is_empty)).tolist():
        has, wants = counts[ids.codes[row - 1]], num_boxes[places.codes[row - 1]]
        if has is not None and wants is not None and has != wants:
            yield Problem(row, "finding_ids", f"there are {has} ids for {wants} boxes: give each box one")


def _shared_ids(cells: Cells) -> Iterator[Problem]:
    ids, exams, sides = cells["finding_ids"], cells["exam_id"].codes, cells["laterality"].codes
    names = [_read(finding_ids, text) or () for text in ids.texts]
    rows = np.flatnonzero(~ids.is_empty).tolist()
    owners: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for row in rows:
        for name in names[ids.codes[row]]:
            owners[name].add((exams[row], sides[row]))
    for row in rows:
        for name in names[ids.codes[row]]:
            if len(owners[name]) > 1:
                yield Problem(row + 1, "finding_ids", f"{name!r} is in more than one breast: an id is of one finding")


def _count(read: Callable[[str], tuple[Any, ...]], text: str) -> int | None:
    """Return how many a cell holds; None where it breaks its own rule."""
    values = _read(read, text)
    return None if values is None else len(values)


def _read(read: Callable[[str], tuple[Any, ...]], text: str) -> tuple[Any, ...] | None:
    """Return what a cell holds; None where it breaks its own rule."""
    try:
        return read(text)
    except ValueError:
        return None


def _cell_problems(column: Column, cells: TextColumn) -> Iterator[Problem]:
    if column.kind == "text" and not column.allowed and _is_fine_text(column, cells):
        return
    rules = [_broken_rule(column, text) for text in cells.texts]
    for row in cells.rows_of(np.array([rule is not None for rule in rules], bool)):
        rule = rules[cells.codes[row - 1]]
        assert rule is not None
        yield Problem(row, column.name, rule)


def _is_fine_text(column: Column, cells: TextColumn) -> bool:
    """Whether free text holds its rules, seen without a look at each distinct text."""
    if column.required and cells.is_empty.any():
        return False
    return not cells.values.str.contains("\0", regex=False).any()


def _broken_rule(column: Column, text: str) -> str | None:
    if not text:
        return "is empty" if column.required else None
    if "\0" in text:
        return "holds a NUL character: write the table again as text"
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


def _is_box(x0: float, y0: float, x1: float, y1: float) -> bool:
    numbers = all(type(number) in (int, float) and math.isfinite(number) for number in (x0, y0, x1, y1))
    return numbers and x0 < x1 and y0 < y1


_CHECKS: dict[Kind, Callable[[str], Any]] = {
    "integer": _check_integer,
    "number": _check_number,
    "date": _check_date,
    "findings": lesions_from_text,
    "boxes": boxes,
    "ids": finding_ids,
}
