"""What a reader may take along: the answer as the server gave it, and its arrays.

Embeddings are in neither where the bundle's licence keeps them on the server's machine: then the server sent none.
"""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glam.client_answers import BreastAnswer
from .answers import ViewerAnswer


def as_json(answer: ViewerAnswer) -> bytes:
    """Return the answer as JSON."""
    return json.dumps(answer.raw, indent=1).encode()


def as_npz(answer: ViewerAnswer) -> bytes:
    """Return an .npz of its arrays, named as the server names them, "L_" or "R_" before; the JSON is `answer`."""
    arrays: dict[str, NDArray[Any]] = {"answer": np.array(json.dumps(answer.raw))}
    for side, breast in answer.breasts.items():
        arrays |= {f"{side}_{name}": np.array(values) for name, values in _lists(breast).items()}
    file = io.BytesIO()
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  # numpy's stub of savez
    return file.getvalue()


def _lists(breast: BreastAnswer) -> dict[str, Any]:
    lists: dict[str, Any] = {"embedding": breast.embedding}
    for key, view in breast.views.items():
        lists |= {f"embedding_{key}": view.embedding, f"to_square_{key}": view.raw["frame"]["to_square"]}
    attention = breast.raw.get("attention") or {}
    lists |= {name: attention.get(name) for name in ("cc_to_mlo", "mlo_to_cc")}
    return {name: values for name, values in lists.items() if values is not None}
