"""Columns of text that are long and repeat themselves: their cells as numbers of a few distinct texts."""

import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WHOLE = r"^([0-9]+)\.0$"
"""A whole number as a column with gaps has it."""
Codes = NDArray[np.intp]


class TextColumn:
    """The cells of a column as stripped text, "" where unknown. What needs each distinct text looks at it once."""

    def __init__(self, values: pd.Series, factors: tuple[Codes, Sequence[str]] | None = None) -> None:
        self.values = values
        """A cell a row."""
        if factors is not None:
            self._factors = factors

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _factors(self) -> tuple[Codes, Sequence[str]]:
        codes, texts = pd.factorize(self.values)
        return codes, texts.tolist()

    @property
    def codes(self) -> Codes:
        """(row,) the place of each cell's text in `texts`."""
        return self._factors[0]

    @property
    def texts(self) -> Sequence[str]:
        """The distinct texts, in the order in which they come."""
        return self._factors[1]

    @cached_property
    def is_empty(self) -> NDArray[np.bool_]:
        """(row,) whether the cell is unknown."""
        return (self.values == "").to_numpy(bool)

    def rows_of(self, has: NDArray[np.bool_]) -> list[int]:
        """Return the rows, counted from 1, whose text is one that `has` (text,) says."""
        return (1 + np.flatnonzero(has[self.codes])).tolist()


def text_column(cells: Any, *, whole: bool = False) -> TextColumn:
    """Return a pandas column of any type as text; `whole`: of numbers, written without the ".0" that gaps give them."""
    if isinstance(cells.dtype, pd.StringDtype):
        texts = (cells.fillna("") if cells.hasnans else cells).str.strip()
        texts = texts.str.replace(WHOLE, r"\1", regex=True) if whole else texts
    elif cells.dtype.kind in "iufM":  # of objects, True equals 1
        places, values = pd.factorize(cells)  # -1: no value
        of_values = [*(_cell_text(value, whole=whole) for value in pd.Series(values).astype(object)), ""]
        texts = pd.Series(pd.array(of_values, dtype="str").take(places % len(of_values)))
    else:
        objects = cells.astype(object).where(cells.notna(), None)
        texts = pd.Series([_cell_text(value, whole=whole) for value in objects], dtype="str")
    return TextColumn(texts.astype("str").reset_index(drop=True))


def empty_column(length: int) -> TextColumn:
    """Return a column whose cells are all unknown."""
    texts = pd.array([""], dtype="str").repeat(length)
    return TextColumn(pd.Series(texts), (np.zeros(length, np.intp), [""][:length]))


def rows_with_many(owners: TextColumn, values: TextColumn) -> list[int]:
    """Return the rows, counted from 1, of known owners that have more than one value."""
    first = np.zeros(len(owners.texts), np.intp)
    first[owners.codes[::-1]] = values.codes[::-1]  # numpy keeps the last of several: the first row of each owner
    differs = values.codes != first[owners.codes]
    if not differs.any():
        return []
    has_many = np.zeros(len(owners.texts), bool)
    has_many[owners.codes[differs]] = True
    return owners.rows_of(has_many & np.array([text != "" for text in owners.texts], bool))


def _cell_text(value: Any, *, whole: bool) -> str:
    """A cell as text: dates as ISO 8601, whole numbers without the ".0" that a gap in their column gives them."""
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()[:10]
    text = str(value).strip()
    return re.sub(WHOLE, r"\1", text) if whole or isinstance(value, float) else text
