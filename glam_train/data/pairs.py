"""Pairs of a manifest's images, read and prepared into a cache."""

import hashlib
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glam.config import FrameConfig
from glam.findings import InputError
from glam.frame import Frame
from glam.manifest.rules import boxes, finding_ids
from glam.manifest.table import ManifestError, check_leakage, pairs, read_manifest
from glam.pair import check_pair
from glam.prepare import prepare
from glam.reading.read import read_view
from glam.view import View
from glam.words.facts import ReportFacts, lesions_from_text
from glam_train.data.cache import PreparedPair, fill_cache, open_cache_folder

Row = dict[str, Any]


def paired_rows(manifest: Path, *, split: str) -> tuple[list[tuple[Row, Row]], int]:
    """Return the (CC, MLO) image rows of each breast of a split, and the number of breasts that lack a view.

    ManifestError when the table breaks its rules, a patient is in two splits, or the split holds no pair.
    """
    table = read_manifest(manifest)
    check_leakage(table)
    rows = {row["image_id"]: row for row in table.to_dict("records")}
    breasts = [breast for breast in pairs(table).to_dict("records") if breast["split"] == split]
    if not breasts:
        there = sorted({name or "(empty)" for name in table["split"]})
        rule = f"its column split holds {', '.join(there)}" if there else "it has no row"
        raise ManifestError(f"{manifest} has no image of split {split}: {rule}")
    whole = [(rows[breast["cc"]], rows[breast["mlo"]]) for breast in breasts if not breast["missing"]]
    if not whole:
        raise ManifestError(
            f"{manifest} has {len(breasts)} breasts of split {split}, none with a CC and an MLO image: a pair needs "
            "both under one exam_id and laterality"
        )
    return whole, len(breasts) - len(whole)


def manifest_source(manifest: Path, *, split: str) -> Row:
    """Return the source of a training set for cache and provenance: the table's hash and split, not its path."""
    return {"kind": "manifest", "sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(), "split": split}


def cache_manifest(
    folder: Path, rows: list[tuple[Row, Row]], *, source: Row, frame: FrameConfig, workers: int
) -> Iterator[int]:
    """Fill a prepared cache with pairs of image rows, shard by shard in parallel; yield pairs done so far.

    A file that cannot be used is named on stderr by its image_id and its code, and its pair is left out.
    """
    open_cache_folder(folder, frame, source, num_pairs=len(rows))
    yield from fill_cache(folder, rows, partial(prepared_files, frame=frame), workers=workers)


def prepared_files(rows: tuple[Row, Row], *, frame: FrameConfig) -> PreparedPair | None:
    """Read and prepare one pair; None, with a line on stderr, where it cannot be used."""
    cc, mlo = rows
    try:
        views = [_view(cc, frame), _view(mlo, frame)]
        check_pair(*views)
        squares = [prepare(view, frame) for view in views]
    except (InputError, OSError) as error:
        code = error.code if isinstance(error, InputError) else "unreadable"
        sys.stderr.write(f"left out {cc['image_id']} + {mlo['image_id']}: {code}\n")
        return None
    frames = [square.frame for square in squares]
    record = manifest_record(cc) | paired_findings(cc, mlo, frame_cc=frames[0], frame_mlo=frames[1])
    return PreparedPair(cc=squares[0], mlo=squares[1], record=record)


def _view(row: Row, frame: FrameConfig) -> View:
    spacing_mm = row["spacing_mm"]
    return read_view(
        Path(row["path"]),
        frame,
        view=row["view"],
        laterality=row["laterality"],
        spacing_mm=None if math.isnan(spacing_mm) else spacing_mm,
    )


def manifest_record(row: Row) -> Row:
    """Return the cache record of a breast, from its CC image's row, as JSON types."""
    facts = ReportFacts(
        procedure=row["procedure"],
        reason=row["reason"],
        race=row["race"],
        ethnicity=row["ethnicity"],
        age=_integer(row["age"]),
        image_type=row["image_type"],
        laterality=row["laterality"],
        view=row["view"],
        density=row["density"],
        birads=_integer(row["birads"]),
        lesions=lesions_from_text(row["findings"]),
    )
    return {
        "pair_id": row["image_id"],
        "patient_id": row["patient_id"],
        "exam_id": row["exam_id"],
        "facts": asdict(facts) | {"lesions": [lesion.as_json() for lesion in facts.lesions]},
        "labels": {"cancer": _integer(row["cancer"])},
        "cohort": {"manufacturer": row["manufacturer"], "site": row.get("site", ""), "year": _year(row["study_date"])},
    }


def paired_findings(cc: Row, mlo: Row, *, frame_cc: Frame, frame_mlo: Frame) -> Row:
    """Return the places of findings that have the same id in both views, as `points` of a cache record.

    They are the centres of their boxes, in stored pixels; of a box that leaves the image, of the part inside (42 of
    VinDr's do). No finding in both views: nothing.
    """
    centres_cc, centres_mlo = _centres(cc, frame_cc), _centres(mlo, frame_mlo)
    both = [name for name in centres_cc if name in centres_mlo]
    if not both:
        return {}
    places = {"cc": [centres_cc[name] for name in both], "mlo": [centres_mlo[name] for name in both]}
    return {"points": {"lesion": places}}


def _centres(row: Row, frame: Frame) -> dict[str, list[float]]:
    """Id -> centre (x, y) of its box in stored pixels; a box wholly outside the image has none."""
    centres = {}
    for name, box in zip(finding_ids(row["finding_ids"]), boxes(row["boxes"]), strict=False):  # version 1 has no ids
        (x0, x1), (y0, y1) = np.clip(box[0::2], 0, frame.cols).tolist(), np.clip(box[1::2], 0, frame.rows).tolist()
        if x0 < x1 and y0 < y1:
            centres[name] = [(x0 + x1) / 2, (y0 + y1) / 2]
    return centres


def _year(date: Any) -> int | None:
    """The year of a date's cell, which begins with it; None where it is empty."""
    year = str(date)[:4]
    return int(year) if year.isdigit() else None


def _integer(value: Any) -> int | None:
    """An Int64 cell as int; None where it is <NA>."""
    return int(value) if isinstance(value, int) else None
