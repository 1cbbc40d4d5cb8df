"""What a store is asked for: a vector, and the patients whose rows would only show themselves."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from glam.exam import ExamPrediction
from glam.predict import Predictor
from glam.reading.identify import identify
from glam.store.planned import plan_root, read_plan
from glam.store.schema import Level, StoreError
from glam.store.search import StoreVectors, among

ROW_NAMES: Mapping[Level, str] = {"exam": "(.+)", "breast": "(.+)/([^/]+)", "image": "(.+?)/([LR])/(.+)"}
"""How a row of each level is named; ids of exams and images may have strokes in them."""


class Question(NamedTuple):
    """A vector to look for."""

    vector: np.ndarray
    """(dim,)."""
    patients: frozenset[str]
    """Whose rows are no answer, as the store names them; empty: of nobody in the store."""


def like_row(vectors: StoreVectors, text: str) -> Question:
    """Return the question for rows like one of the store, EXAM, EXAM/L or EXAM/L/IMAGE by its level."""
    found = re.fullmatch(ROW_NAMES[vectors.run.config.level], text)
    if found is None:
        raise StoreError("no_row", f"{text} names no row: write {'/'.join(vectors.key_names)}")
    row = vectors.row_of(found.groups())
    return Question(vectors.matrix[row], frozenset({vectors.names.column("patient_id")[row].as_py()}))


def like_files(vectors: StoreVectors, predictor: Predictor, files: Sequence[Path]) -> Question:
    """Return the question for rows like mammograms: one image, the views of a breast, or an exam, by the level.

    InputError for what cannot be read; StoreError `other_level` for more or fewer than make one row.
    """
    answer = predictor.predict_exam(files, aggregation=vectors.run.config.aggregation)
    return Question(_embedding(answer, vectors.run.config.level), _patients_of(vectors, files))


def like_text(predictor: Predictor, text: str) -> Question:
    """Return the question for rows that a sentence describes; InputError for one that is too long for the model."""
    tokens = predictor.interpreter.tokens([text])
    return Question(predictor.runtime.text(tokens.ids, tokens.mask)[0], frozenset())


def _embedding(answer: ExamPrediction, level: Level) -> np.ndarray:
    if level == "exam":
        return answer.embedding
    if len(answer.breasts) != 1 or (level == "image" and len(answer.used) != 1):
        shown = f"{len(answer.used)} images of {len(answer.breasts)} breasts"
        raise StoreError("other_level", f"a row of this store is one {level}, and the files are {shown}")
    return next(iter(answer.breasts.values())).embedding


def _patients_of(vectors: StoreVectors, files: Sequence[Path]) -> frozenset[str]:
    """Return the patients of files under the names that the store has for them: by place, header, or its hash."""
    named = vectors.patients_named({identify(path).patient_id for path in files})
    return named | vectors.patients_named(_planned_patients(vectors.store, files))


def _planned_patients(store: Path, files: Sequence[Path]) -> set[str]:
    """Return whose files those are by their places in the plan."""
    plan = read_plan(store, ["path", "patient_id"])
    if plan is None:
        return set()
    here = {name for path in files for name in _names_in_plan(path, plan_root(store))}
    planned = plan.filter(pa.array(among(plan.column("path"), sorted(here))))
    return set(planned.column("patient_id").to_pylist())


def _names_in_plan(path: Path, root: Path) -> set[str]:
    """Return what a plan may call a file: its place below the root or, elsewhere, its own; links followed or not."""
    places = {(path.absolute(), root), (path.resolve(), root.resolve())}
    return {name for place, base in places for name in (os.path.relpath(place, base), os.path.normpath(place))}
