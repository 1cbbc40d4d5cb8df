"""A server and a cohort of a model whose input is no square."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from glam.bundle import Bundle
from glam.config import FrameConfig
from glam.frame import frame_from_json
from glam.inspection import Inspected, inspect_file
from glam.predict import Predictor
from glam.reading.read import CallerFacts
from glam.store.read import read_rows, vectors
from glam_serve.model_schema import ModelBody
from glam_serve.schema import PredictionBody
from tests.conftest import RECTANGLE
from tests.samples.served import Served, serve_in_process

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")
ROWS, COLS = 168, 98


@pytest.fixture(scope="module")
def client(rectangle_bundle: Bundle, rectangle_predictor: Predictor) -> Served:
    return serve_in_process(rectangle_bundle, rectangle_predictor)


def test_the_model_says_rows_and_columns(client: Served):
    answer = client.get("/v1/model").json()
    ModelBody.model_validate_json(json.dumps(answer))
    assert (answer["image_size"], answer["grid"]) == ([ROWS, COLS], [12, 7])
    assert FrameConfig(**answer["frame"]) == RECTANGLE.frame


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_frame_of_an_answer_leads_from_stored_pixels_to_what_the_model_saw(
    client: Served, files, mammograms: dict[str, Path], side: str
):
    client.asked.clear()
    answer = client.post("/predict", files=files(cc=f"{side}_CC", mlo=f"{side}_MLO"), data={"include": "frame"})
    assert answer.status_code == 200
    PredictionBody.model_validate_json(answer.text)
    (request,) = client.asked
    for key, view in answer.json()["views"].items():
        assert view["frame"]["size"] == [ROWS, COLS]
        frame = frame_from_json(view["frame"])
        inside = np.random.default_rng(0).uniform((0, 0), (COLS, ROWS), (500, 2))
        np.testing.assert_allclose(frame.to_square(frame.to_pixels(inside)), inside, atol=1e-6)
        seen = request.breasts[0][key]
        assert seen.shape == (ROWS, COLS)
        assert_same_place(seen, dcmread(mammograms[f"{side}_{key.upper()}"]).pixel_array, frame, inside)


def assert_same_place(seen: np.ndarray, stored: np.ndarray, frame, points: np.ndarray) -> None:
    """The greys of the input and of the stored image agree where the frame says, and less a few pixels aside."""
    likeness = {}
    for aside in ((0, 0), (6, 0), (0, 6)):
        columns, rows = np.floor(np.clip(frame.to_pixels(points + aside), 0, (frame.cols - 1, frame.rows - 1))).T
        greys = stored[rows.astype(int), columns.astype(int)].astype(float)
        columns, rows = np.floor(points).T.astype(int)
        likeness[aside] = np.corrcoef(seen[rows, columns], greys)[0, 1]
    assert likeness[0, 0] > 0.97
    assert max(likeness[6, 0], likeness[0, 6]) < likeness[0, 0]


def test_a_cohort_has_the_rows_that_a_predictor_would_give(
    mammograms: dict[str, Path],
    rectangle_bundle: Bundle,
    rectangle_predictor: Predictor,
    embed: Callable[..., int],
    tmp_path: Path,
):
    manifest = next(iter(mammograms.values())).parents[2] / "manifest.csv"
    assert embed(manifest, tmp_path / "s", bundle=rectangle_bundle.folder, level="breast") == 0
    rows = read_rows(tmp_path / "s")
    assert rows.num_rows == 2
    for row, vector in zip(rows.to_pylist(), vectors(rows), strict=True):
        names = ["_".join(image.split("-")[-2:]) for image in row["images"]]
        expected = rectangle_predictor.predict(*(mammograms[name] for name in names))
        np.testing.assert_allclose(vector, expected.embedding, atol=1e-5)


def test_what_preparation_saw_is_drawn_with_the_outline_of_the_rectangle(mammograms: dict[str, Path]):
    pictures = []
    for frame in (RECTANGLE.frame, FrameConfig(size=168)):
        outcome = inspect_file(mammograms["L_MLO"], frame, CallerFacts(), drawn=True)
        assert isinstance(outcome, Inspected)
        assert outcome.picture is not None
        pictures.append(outcome.picture)
    assert pictures[0].width < pictures[1].width
