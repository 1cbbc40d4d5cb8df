"""The size of a model's input: one number for a square, rows and columns for a rectangle."""

from collections.abc import Sequence

InputSize = int | tuple[int, int]
"""Pixels along a side of a square, or (rows, cols)."""


def rows_and_cols(size: InputSize) -> tuple[int, int]:
    """Return the rows and columns of a size."""
    return (size, size) if isinstance(size, int) else size


def plain_size(size: int | Sequence[int]) -> InputSize:
    """Return a size as it is kept: one number for a square, a tuple for a rectangle; ValueError for more numbers."""
    if isinstance(size, int):
        return size
    if len(size) != 2:
        raise ValueError(f"{list(size)} is no size: give one number for a square, or two for rows and columns")
    rows, cols = (int(length) for length in size)
    return rows if rows == cols else (rows, cols)


def told_size(size: InputSize) -> str:
    """Return a size in words: "518", or "1520 x 912" for rows x columns."""
    return str(size) if isinstance(size, int) else f"{size[0]} x {size[1]}"
