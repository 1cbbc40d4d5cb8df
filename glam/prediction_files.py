"""What `glam predict` writes of an answer, and the summary that it prints."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from glam.attention import OTHER, hottest_cells, query_map
from glam.drawing.prediction import Query
from glam.findings import Finding
from glam.prediction import Prediction


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
    kept = ("laterality", "birads", "density", "calibrated", "prompts", "unknown_words", "missing", "bundle", "notice")
    return {key: answer[key] for key in kept} | {
        "findings": sorted(codes),
        "query": None if query is None else query_json(prediction, query),
    }


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
