"""The arrays of an answer, as the model gave them: what the server sends as .npz."""

from collections.abc import Collection

import numpy as np

from glam.exam import ExamPrediction
from glam.frame import cell_polygon
from glam.prediction import Prediction, check_include

Arrays = dict[str, np.ndarray]


def answer_arrays(
    prediction: Prediction | ExamPrediction, include: Collection[str], *, with_embeddings: bool = True
) -> Arrays:
    """Return the parts of an answer that are arrays, by name; of an exam, those of a breast after "L_" or "R_".

    `with_embeddings`: False where embeddings may not be given out.
    """
    chosen = check_include(include) - (set() if with_embeddings else {"embedding"})
    if isinstance(prediction, Prediction):
        return _breast_arrays(prediction, chosen)
    arrays: Arrays = {"embedding": prediction.embedding} if "embedding" in chosen else {}
    for side, breast in prediction.breasts.items():
        arrays |= {f"{side}_{name}": array for name, array in _breast_arrays(breast, chosen).items()}
    return arrays


def _breast_arrays(prediction: Prediction, chosen: Collection[str]) -> Arrays:
    arrays: Arrays = {"embedding": prediction.embedding} if "embedding" in chosen else {}
    for key, view in prediction.views.items():
        if "embedding" in chosen:
            arrays[f"embedding_{key}"] = view.embedding
        if "frame" in chosen:
            arrays[f"to_square_{key}"] = view.frame.to_square_matrix
        if "cells" in chosen and prediction.cell_side is not None:
            side = prediction.cell_side
            polygons = [[cell_polygon(view.frame, side, row, col) for col in range(side)] for row in range(side)]
            arrays[f"cells_{key}"] = np.array(polygons)  # (row, col, corner, xy)
    return arrays | _attention_arrays(prediction, chosen)


def _attention_arrays(prediction: Prediction, chosen: Collection[str]) -> Arrays:
    attention = prediction.attention
    arrays: Arrays = {}
    if attention is not None and "attention" in chosen:
        arrays |= {"cc_to_mlo": attention.cc_to_mlo, "mlo_to_cc": attention.mlo_to_cc}
    if attention is not None and "pooling" in chosen:
        arrays |= {"pooling_cc": attention.pooling_cc, "pooling_mlo": attention.pooling_mlo}
    return arrays
