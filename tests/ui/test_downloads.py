"""What may be taken along is what the server sent."""

import io
import json
from pathlib import Path

import numpy as np

from glam.client_answers import exam_answer
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam_ui.answers import ViewerAnswer
from glam_ui.downloads import as_json, as_npz


def answered(predictor: Predictor, mammograms: dict[str, Path], *, withheld: bool = False) -> ViewerAnswer:
    files = [io.BytesIO(mammograms[name].read_bytes()) for name in ("L_CC", "L_MLO")]
    raw = json.loads(json.dumps(predictor.predict_exam(files).as_json(INCLUDES))) | {"result_id": None}
    breast = raw["breasts"]["L"]
    for part in (raw, breast, *breast["views"].values()) if withheld else ():
        part["embedding"] = None
    answer = exam_answer(raw)
    return ViewerAnswer(
        breasts=answer.breasts, used=(), calibrated=False, bundle="", notice="", result_ids=(), raw=answer.raw
    )


def test_arrays_have_the_servers_names_and_numbers(predictor: Predictor, mammograms: dict[str, Path]):
    answer = answered(predictor, mammograms)
    breast = answer.breasts["L"]
    with np.load(io.BytesIO(as_npz(answer))) as arrays:
        assert arrays["L_embedding"].tolist() == list(breast.embedding or ())
        assert arrays["L_embedding_cc"].tolist() == list(breast.views["cc"].embedding or ())
        assert arrays["L_to_square_mlo"].tolist() == breast.views["mlo"].raw["frame"]["to_square"]
        assert arrays["L_cc_to_mlo"].tolist() == breast.raw["attention"]["cc_to_mlo"]
        assert json.loads(arrays["answer"].item()) == answer.raw
    assert json.loads(as_json(answer)) == answer.raw


def test_embeddings_that_the_server_withheld_are_in_neither(predictor: Predictor, mammograms: dict[str, Path]):
    answer = answered(predictor, mammograms, withheld=True)
    with np.load(io.BytesIO(as_npz(answer))) as arrays:
        assert not [name for name in arrays if "embedding" in name]
        assert "L_cc_to_mlo" in arrays
