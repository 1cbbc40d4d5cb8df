"""What `glam predict` writes of an answer for a breast or an exam, and the summary that it prints."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glam.attention import OTHER, hottest_cells, query_map
from glam.drawing.prediction import Query
from glam.exam import ExamPrediction
from glam.findings import Finding
from glam.prediction import Prediction
from glam.view import Side, View, ViewKey


def save_prediction(
    folder: Path, prediction: Prediction, include: Collection[str], *, withheld: Finding | None
) -> Path | None:
    """Write prediction.json and, unless they are withheld, embeddings.npz; return where the embeddings are."""
    answer = prediction.as_json(include, withheld=withheld)
    (folder / "prediction.json").write_text(json.dumps(answer, allow_nan=False) + "\n")
    return save_embeddings(folder / "embeddings.npz", prediction, withheld=withheld)


def summary(prediction: Prediction, query: Query | None, *, withheld: Finding | None = None) -> dict[str, Any]:
    """Return what a person wants to see first; `withheld`: why embeddings are not written."""
    answer = prediction.as_json(include=("findings",))
    findings = [*answer["findings"], *(entry for view in answer["views"].values() for entry in view["findings"])]
    codes = {entry["code"] for entry in findings} | ({withheld.code} if withheld else set())
    kept = (
        "laterality",
        "birads",
        "density",
        "calibrated",
        "prompts",
        "prompt_set",
        "unknown_words",
        "missing",
        "bundle",
        "notice",
    )
    return {key: answer[key] for key in kept} | {
        "findings": sorted(codes),
        "query": None if query is None else query_json(prediction, query),
    }


def save_exam(folder: Path, exam: ExamPrediction, include: Collection[str], *, withheld: Finding | None) -> Path | None:
    """Write prediction.json and, unless they are withheld, embeddings.npz; return where the embeddings are.

    The arrays: `exam`, `L` and `R` of the breasts, `L_cc` and so on of the views.
    """
    answer = exam.as_json(include, withheld=withheld)
    (folder / "prediction.json").write_text(json.dumps(answer, allow_nan=False) + "\n")
    path = folder / "embeddings.npz"
    if withheld is not None:
        path.unlink(missing_ok=True)
        return None
    arrays: dict[str, Any] = {"exam": exam.embedding}
    for side, breast in exam.breasts.items():
        arrays[side] = breast.embedding
        arrays |= {f"{side}_{key}": view.embedding for key, view in breast.views.items()}
    np.savez(path, **arrays)
    return path


def exam_summary(
    exam: ExamPrediction, queries: Mapping[Side, Query | None], *, withheld: Finding | None = None
) -> dict[str, Any]:
    """Return what a person wants to see first of an exam, and of each breast; `withheld` as in `summary`."""
    answer = exam.as_json(include=())
    kept = ("birads", "density", "calibrated", "prompt_set", "used", "left_out", "missing", "bundle", "notice")
    breasts = {side: summary(breast, queries[side]) for side, breast in exam.breasts.items()}
    codes = {entry["code"] for entry in answer["findings"]} | ({withheld.code} if withheld else set())
    return {key: answer[key] for key in kept} | {"findings": sorted(codes), "breasts": breasts}


def views_of_exam(exam: ExamPrediction, images: Sequence[object]) -> dict[Side, dict[ViewKey, View]]:
    """Return the views that an exam's answer used; `images` are those that it was asked with, as Views."""
    views: dict[Side, dict[ViewKey, View]] = {side: {} for side in exam.breasts}
    for entry in exam.used:
        view = images[entry.image - 1]
        assert isinstance(view, View), "an image that was used could be read"
        views[entry.laterality]["cc" if entry.view == "CC" else "mlo"] = view
    return views


def query_json(prediction: Prediction, query: Query) -> dict[str, Any]:
    """Return the drawn query, and the patch of the other view with the most attention, in stored pixels."""
    assert prediction.attention is not None
    heat = query_map(prediction.attention, query.region, grid=prediction.attention.grid)
    other = OTHER[query.region.view]
    (hottest,) = hottest_cells(heat, prediction.views[other].frame, count=1)
    place = {"view": other, "share": round(hottest.weight, 4), "polygon": hottest.polygon.round(1).tolist()}
    return query.region._asdict() | {"why": query.why, "hottest": place}


def save_embeddings(path: Path, prediction: Prediction, *, withheld: Finding | None) -> Path | None:
    """Write the unit embeddings of the breast and of each view, full precision; return where.

    None, and an older answer's file deleted, where they are withheld.
    """
    if withheld is not None:
        path.unlink(missing_ok=True)
        return None
    arrays: dict[str, Any] = {key: view.embedding for key, view in prediction.views.items()}
    np.savez(path, breast=prediction.embedding, **arrays)
    return path
