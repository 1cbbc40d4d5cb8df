"""The manifest: one table of images for training and cohorts alike. Reading, splitting, pairing."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glam.files import below
from glam.manifest.columns import TextColumn, empty_column, text_column
from glam.manifest.rules import COLUMNS, NAMES, SPLITS, Cells, Column, Problem, all_problems, leaks

UNUSUAL_PATH = r"//|(?:^|/)\.|/$|^$"
"""A path that Path writes otherwise."""
SHOWN = 20
"""Problems that an error's message tells in full."""


class ManifestError(ValueError):
    """A manifest that cannot be used: every problem in `problems`, the first of them in the message."""

    def __init__(self, what: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        lines = [f"  row {problem.row}, {problem.column}: {problem.rule}" for problem in problems[:SHOWN]]
        more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__("\n".join([what, *lines, *more]))


def read_manifest(path: str | Path, *, root: Path | str | None = None) -> pd.DataFrame:
    """Return the checked manifest of a CSV or Parquet file, with every column of the schema in its order.

    Text and JSON are str, "" where unknown; integers Int64, <NA> where unknown; numbers float64, NaN where unknown.
    `path` is joined to `root`, a folder or a URL (None: the manifest's folder); one that is a URL stays as it is.
    ManifestError names the rows and the rules that do not hold, all of them.
    """
    file = Path(path)
    cells = _text_cells(_load(file), file)
    if problems := all_problems(cells):
        raise ManifestError(f"{file} breaks its rules {len(problems)} times:", problems)
    typed = {column.name: _typed(column, cells[column.name]) for column in COLUMNS}
    return pd.DataFrame(typed | {"path": _joined(file.parent if root is None else root, cells["path"].values)})


def _joined(folder: Path | str, paths: pd.Series) -> pd.Series:
    """Return paths below a folder, or as they are where they are absolute. A Path for each of a million takes long."""
    if not isinstance(folder, Path) or paths.str.contains(UNUSUAL_PATH).any():
        return pd.Series([below(folder, path) for path in paths], dtype="str")
    begin = "" if folder == Path() else str(folder / "-")[:-1]
    return (begin + paths).where(~paths.str.startswith("/"), paths)


def patient_split(patient_id: str, *, seed: int, fractions: Sequence[float] = (0.7, 0.1, 0.2)) -> str:
    """Return train, val or test for a patient: a hash of seed and id alone, so that no order and no other row counts.

    fractions: of train, val and test; they sum to 1.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions {tuple(fractions)} are not three shares that sum to 1")
    digest = hashlib.sha256(f"{seed}:{patient_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < fractions[0]:
        return "train"
    return "val" if place < fractions[0] + fractions[1] else "test"


def assign_splits(manifest: pd.DataFrame, *, seed: int, fractions: Sequence[float] = (0.7, 0.1, 0.2)) -> pd.DataFrame:
    """Return the manifest with `split` drawn anew by `patient_split`, whatever it held."""
    splits = [patient_split(patient, seed=seed, fractions=fractions) for patient in manifest["patient_id"].tolist()]
    return manifest.assign(split=splits)


def check_leakage(manifest: pd.DataFrame) -> None:
    """Raise ManifestError when a patient is in more than one split."""
    cells = {name: text_column(manifest[name]) for name in ("patient_id", "split")}
    if problems := leaks(cells):
        raise ManifestError("the manifest leaks between its splits:", problems)


def pairs(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return one row a breast: patient_id, exam_id, laterality, split, cc, mlo, missing, num_images.

    cc and mlo are image ids. Of several images of a view the first is taken: 2D before unknown before synthetic, then
    by image_id. A view that is not there is "", and `missing` says which: "cc", "mlo" or "". Breasts come sorted by
    patient, exam and side, whatever the order of the images.
    """
    breasts: dict[tuple[str, str, str], dict[str, Any]] = {}
    rank = {"2D": 0, "": 1, "synthetic": 2}
    names = ["patient_id", "exam_id", "laterality", "view", "image_type", "image_id", "split"]
    images = zip(*(manifest[name].tolist() for name in names), strict=True)
    for *breast, view, _, image_id, split in sorted(images, key=lambda row: (*row[:4], rank[row[4]], row[5])):
        row = breasts.setdefault((breast[0], breast[1], breast[2]), {"split": split, "cc": "", "mlo": "", "images": 0})
        row[view.lower()] = row[view.lower()] or image_id
        row["images"] += 1
    rows = [(*key, row["split"], row["cc"], row["mlo"], _missing(row), row["images"]) for key, row in breasts.items()]
    columns = ["patient_id", "exam_id", "laterality", "split", "cc", "mlo", "missing", "num_images"]
    return pd.DataFrame.from_records(rows, columns=columns)


def _missing(row: dict[str, Any]) -> str:
    return next((view for view in ("cc", "mlo") if not row[view]), "")


def _load(file: Path) -> pd.DataFrame:
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ManifestError(f"{file} is neither .csv nor .parquet: save the table as one of them")
    try:
        if suffix == ".parquet":
            return pd.read_parquet(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas would drop the cells of a row that is too long
            # keep_default_na: "NA" is a code of EMBED, not an empty cell
            return pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file} cannot be read: {error}: save it as UTF-8") from None
    except (ValueError, Warning) as error:
        raise ManifestError(f"{file} cannot be read: {error}") from None


def _text_cells(table: pd.DataFrame, file: Path) -> Cells:
    """Every column of the schema as stripped text, empty where absent; unknown and missing columns are refused."""
    present = [str(name) for name in table.columns]
    if unknown := [name for name in present if name not in NAMES]:
        hint = ": separate the columns by commas" if any(sign in name for name in unknown for sign in ";\t") else ""
        known = ", ".join(NAMES)
        raise ManifestError(f"{file} has columns that no manifest has: {', '.join(unknown)}{hint}; known: {known}")
    if repeated := [name for name in dict.fromkeys(present) if present.count(name) > 1]:
        raise ManifestError(f"{file} has columns twice: {', '.join(repeated)}: keep one of each")
    if missing := [column.name for column in COLUMNS if column.required and column.name not in present]:
        raise ManifestError(f"{file} lacks the columns {', '.join(missing)}: add them (docs/train.md, section 1)")
    absent = empty_column(len(table))  # one for all of them: its million cells are in memory once
    return {
        column.name: text_column(table[column.name], whole=column.kind == "integer")
        if column.name in present
        else absent
        for column in COLUMNS
    }


def _typed(column: Column, cells: TextColumn) -> Any:
    """Return the checked cells of a column in its type."""
    if column.kind == "integer":
        numbers = np.array([int(text or "0") for text in cells.texts], np.int64)
        return pd.arrays.IntegerArray(numbers[cells.codes], cells.is_empty)
    if column.kind == "number":
        return np.array([float(text or "nan") for text in cells.texts], np.float64)[cells.codes]
    return cells.values.array
