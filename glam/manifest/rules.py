"""The schema of the manifest as one table, and what its cells and rows must obey."""

import json
import math
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Literal, NamedTuple

from glam.words.facts import lesions_from_text

Kind = Literal["text", "integer", "number", "date", "findings", "boxes", "ids"]
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
    rows = _rows_with_many(cells["patient_id"], cells["split"])
    return [Problem(row, "split", "the patient is in more than one split") for row in rows]


def _repeated_images(cells: Cells) -> Iterator[Problem]:
    times = Counter(cells["image_id"])
    if len(times) == len(cells["image_id"]):
        return
    for row, image in enumerate(cells["image_id"], start=1):
        if image and times[image] > 1:
            yield Problem(row, "image_id", f"{times[image]} rows have it: give each image one row")


def _shared_exams(cells: Cells) -> Iterator[Problem]:
    for row in _rows_with_many(cells["exam_id"], cells["patient_id"]):
        yield Problem(row, "exam_id", "the exam belongs to more than one patient")


def _uncounted_ids(cells: Cells) -> Iterator[Problem]:
    """Rows whose ids and boxes are not as many; a cell that breaks its own rule is told of elsewhere."""
    if not any(cells["finding_ids"]):
        return
    for row, texts in enumerate(zip(cells["finding_ids"], cells["boxes"], strict=True), start=1):
        if not texts[0]:
            continue
        ids, places = _read(finding_ids, texts[0]), _read(boxes, texts[1])
        if ids is not None and places is not None and len(ids) != len(places):
            yield Problem(row, "finding_ids", f"there are {len(ids)} ids for {len(places)} boxes: give each box one")


def _shared_ids(cells: Cells) -> Iterator[Problem]:
    if not any(cells["finding_ids"]):
        return
    breasts = list(zip(cells["exam_id"], cells["laterality"], strict=True))
    owners: dict[str, set[tuple[str, str]]] = defaultdict(set)
    rows = [_read(finding_ids, text) or () if text else () for text in cells["finding_ids"]]
    for ids, breast in zip(rows, breasts, strict=True):
        for name in ids:
            owners[name].add(breast)
    for row, ids in enumerate(rows, start=1):
        for name in ids:
            if len(owners[name]) > 1:
                yield Problem(row, "finding_ids", f"{name!r} is in more than one breast: an id is of one finding")


def _read(read: Callable[[str], tuple[Any, ...]], text: str) -> tuple[Any, ...] | None:
    """Return what a cell holds; None where it breaks its own rule."""
    try:
        return read(text)
    except ValueError:
        return None


def _rows_with_many(owners: Sequence[str], values: Sequence[str]) -> Iterator[int]:
    """Rows of owners that have more than one value."""
    if not values or values.count(values[0]) == len(values):
        return iter(())
    last = dict(zip(owners, values, strict=True))
    if all(map(operator.eq, map(last.__getitem__, owners), values)):
        return iter(())
    seen = defaultdict(set)
    for owner, value in zip(owners, values, strict=True):
        seen[owner].add(value)
    return (row for row, owner in enumerate(owners, start=1) if owner and len(seen[owner]) > 1)


def _cell_problems(column: Column, cells: Sequence[str]) -> Iterator[Problem]:
    is_free = column.kind == "text" and not column.allowed
    if is_free and (all(cells) or not column.required) and "\0" not in "".join(cells):
        return
    rules = {text: _broken_rule(column, text) for text in set(cells)}
    if not any(rules.values()):
        return
    for row, text in enumerate(cells, start=1):
        if rule := rules[text]:
            yield Problem(row, column.name, rule)


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
