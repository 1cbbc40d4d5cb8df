"""Screening exams as files: four views of two breasts, a manifest, reports, and the truth.

A folder of exams:

    phantom.json              seed and options; another seed or other options are refused
    manifest.csv              a row an image
    reports.jsonl             a line an image: image_id and text
    exams/000000/             L_CC.dcm, L_MLO.dcm, R_CC.dcm, R_MLO.dcm, rows.json, truth.json

An exam is written beside its place and renamed, so that one that is there is whole; a run that was stopped goes on.
Exam k of a seed is the same whatever else is drawn.
"""

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glam.files import replacing
from glam.phantom.anatomy import draw_breast
from glam.phantom.dicom_file import MANUFACTURER, Study, Transfer, study_of, write_dicom
from glam.phantom.facts import report_facts, report_lesion
from glam.phantom.habitus import Habitus, draw_habitus
from glam.phantom.options import Laterality, PhantomOptions, Stream, child, class_bounds, seed_text, stream
from glam.phantom.pair import Pair, pair_of
from glam.phantom.render import Projection
from glam.phantom.truth import BreastTruth
from glam.words.facts import lesions_as_text
from glam.words.report import report_text
from glam.words.wording import SCREENING_PROCEDURE, SCREENING_REASON

MANIFEST_COLUMNS = (
    *("image_id", "patient_id", "exam_id", "laterality", "view", "path", "split", "image_type", "birads", "density"),
    *("cancer", "age", "sex", "race", "ethnicity", "procedure", "reason", "manufacturer", "site"),
    *("study_date", "spacing_mm", "findings", "boxes", "finding_ids"),
)
SIDES: tuple[Laterality, Laterality] = ("L", "R")
_FIRST_BREAST = 11  # child of an exam's seed; the other breast is the next
_BOTH_SIDES = 0.05  # of the exams have lesions in both breasts
_SPLITS = {"train": 0.7, "val": 0.85, "test": 1.0}  # upper ends


class Exam(NamedTuple):
    """Two breasts of one invented person."""

    study: Study
    split: str
    breasts: dict[Laterality, Pair]


def draw_exam(seed: int, index: int, options: PhantomOptions | None = None) -> Exam:
    """Return exam `index` of a seed: size and density are shared, lesions lie mostly on one side."""
    options, own = options or PhantomOptions(), child(seed, index)
    rng = stream(own, Stream.PATIENT)
    habitus = draw_habitus(own, options)
    affected, split = lesion_sides(rng), rng.random()
    age = int(np.clip(rng.normal(58, 10), 40, 85))
    date = f"{rng.integers(2015, 2023)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    breasts: dict[Laterality, Pair] = {}
    for number, side in enumerate(SIDES):
        breast = draw_breast(
            child(own, _FIRST_BREAST + number),
            options,
            laterality=side,
            habitus=_one_side(habitus, options, float(rng.uniform(0.9, 1.1))),
            with_lesions=side in affected,
        )
        breasts[side] = pair_of(breast)
    return Exam(
        study=study_of(seed_text(own), age=age, date=date),
        split=next(name for name, end in _SPLITS.items() if split < end),
        breasts=breasts,
    )


def lesion_sides(rng: np.random.Generator) -> tuple[Laterality, ...]:
    """Return the side that may have lesions; now and then both."""
    which, both = rng.random(2)
    if both < _BOTH_SIDES:
        return SIDES
    return ("R",) if which < 0.5 else ("L",)


def write_exams(
    out: Path | str,
    *,
    num_exams: int,
    seed: int = 0,
    options: PhantomOptions | None = None,
    transfer: Transfer = "explicit",
) -> Path:
    """Write exams 0 to num_exams - 1 that are not there yet; return the path of the manifest of all that are there.

    Raises ValueError when the folder holds exams of another seed or of other options.
    """
    if num_exams < 1:
        raise ValueError(f"{num_exams} exams cannot be drawn: ask for 1 or more")
    out, options = Path(out), options or PhantomOptions()
    (out / "exams").mkdir(parents=True, exist_ok=True)
    _claim(out / "phantom.json", {"seed": seed, "options": asdict(options), "transfer": transfer})
    for index in range(num_exams):
        write_exam(out, index, seed=seed, options=options, transfer=transfer)
    records = [record for folder in _finished(out) for record in json.loads((folder / "rows.json").read_text())]
    _write_reports(out / "reports.jsonl", records)
    return _write_manifest(out / "manifest.csv", records)


def write_exam(out: Path, index: int, *, seed: int, options: PhantomOptions, transfer: Transfer = "explicit") -> Path:
    """Write one exam below `out`, all of it or nothing; return its folder. One that is there is left as it is."""
    folder, part = out / "exams" / f"{index:06d}", out / "exams" / f".{index:06d}.part"
    if folder.exists():
        return folder
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    exam = draw_exam(seed, index, options)
    records = []
    for pair in exam.breasts.values():
        for projection in (pair.cc, pair.mlo):
            name = f"{projection.laterality}_{projection.view}.dcm"
            write_dicom(part / name, projection, exam.study, transfer=transfer)
            row = _row(exam, pair.truth, projection, f"exams/{folder.name}/{name}")
            facts = report_facts(pair.truth, projection.view, age=exam.study.age)
            records.append({"row": row, "report": report_text(facts)})
    truth = {side: pair.truth.as_json() for side, pair in exam.breasts.items()}
    (part / "truth.json").write_text(json.dumps(truth))
    (part / "rows.json").write_text(json.dumps(records))
    part.rename(folder)
    return folder


def _finished(out: Path) -> list[Path]:
    """Every whole exam of the folder, those of a longer run too."""
    return sorted(
        (folder for folder in (out / "exams").iterdir() if folder.name.isdecimal()), key=lambda f: int(f.name)
    )


def _one_side(habitus: Habitus, options: PhantomOptions, factor: float) -> Habitus:
    """Return what one side has of the person: a little more or less gland, the same density class."""
    low, high = class_bounds(habitus.gland_fraction, options)
    fraction = float(np.clip(habitus.gland_fraction * factor, low, np.nextafter(high, low)))
    return replace(habitus, gland_fraction=fraction)


def _row(exam: Exam, truth: BreastTruth, projection: Projection, path: str) -> dict[str, Any]:
    study, view = exam.study, projection.view
    exam_id = f"{study.patient_id}-1"
    known = {
        "image_id": f"{exam_id}-{projection.laterality}-{view}",
        "patient_id": study.patient_id,
        "exam_id": exam_id,
        "laterality": projection.laterality,
        "view": view,
        "path": path,
        "split": exam.split,
        "image_type": "2D",
        "birads": truth.birads_screening,
        "density": truth.density,
        "cancer": truth.cancer,
        "age": study.age,
        "sex": "F",
        "procedure": SCREENING_PROCEDURE,
        "reason": SCREENING_REASON,
        "manufacturer": MANUFACTURER,
        "study_date": study.date,
        "spacing_mm": projection.px_mm,
        "findings": lesions_as_text([report_lesion(lesion, view) for lesion in truth.lesions]),
        "boxes": json.dumps([[round(edge, 1) for edge in place.box] for place in projection.truth.lesions]),
        "finding_ids": json.dumps([f"{exam_id}-{projection.laterality}-{n}" for n in range(len(truth.lesions))]),
    }
    return {column: known.get(column, "") for column in MANIFEST_COLUMNS}


def _claim(path: Path, key: dict[str, Any]) -> None:
    """Write what a folder holds, or refuse another one."""
    text = json.dumps(key, indent=2)
    if not path.exists():
        with replacing(path) as part:
            part.write_text(text)
    elif path.read_text() != text:
        raise ValueError(f"{path} is of another seed, other options or another transfer syntax: choose another folder")


def _write_manifest(path: Path, records: list[dict[str, Any]]) -> Path:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(record["row"] for record in records)
    return part.replace(path)


def _write_reports(path: Path, records: list[dict[str, Any]]) -> None:
    lines = (json.dumps({"image_id": record["row"]["image_id"], "text": record["report"]}) for record in records)
    with replacing(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines))
