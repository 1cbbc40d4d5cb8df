"""A model of rectangles from phantoms to an answer: Mammo-CLIP's method at 96 x 64, trained, exported and served."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from glam.bundle import read_bundle
from glam.frame import frame_from_json
from glam.loading import load
from glam_export.cli import main as glam_export
from glam_train.commands import Pretrain
from glam_train.data.cache import read_cache
from glam_train.data.phantom_pairs import cache_phantoms
from glam_train.presets.frames import mammo_clip_frame
from tests.samples.served import dcm, serve_in_process

SIZE = (96, 64)
FRAME = mammo_clip_frame(SIZE)
TEXT = {"hidden_dim": 32, "depth": 1, "num_heads": 2, "ffn_dim": 64, "max_positions": 256, "max_tokens": 256}
VISION = {"image_size": list(SIZE), "timm_name": "tf_efficientnet_b0", "embed_dim": 1280, "depth": 16}
MODEL = {"vision": VISION, "text": TEXT, "frame": {"size": list(SIZE)}, "joint_dim": 16}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has seen four phantoms twice."""
    folder = tmp_path_factory.mktemp("rectangle")
    assert list(cache_phantoms(folder / "cache", num_pairs=4, seed=1, frame=FRAME)) == [4]
    assert read_cache(folder / "cache").squares(0).shape == (2, *SIZE)
    settings = {"model": MODEL, "steps": 2, "batch_size": 4, "accumulate": 1, "precision": "fp32"}
    Pretrain(
        cache=folder / "cache",
        out=folder / "run",
        preset="mammo-clip-b2-train",
        settings=settings,
        from_scratch=True,
        device="cpu",
    ).run()
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")
def test_a_model_of_rectangles_is_trained_exported_and_served(
    trained: Path, mammograms: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    checkpoint = trained / "run" / "checkpoints" / "step-0000002"
    assert glam_export(["onnx", str(checkpoint), "--out", str(trained / "bundle")]) == 0
    capsys.readouterr()
    written = read_bundle(trained / "bundle")
    assert (written.model.frame, written.model.vision.grid) == (FRAME, (3, 2))
    manifest = json.loads((trained / "bundle" / "bundle.json").read_text())
    assert manifest["export"]["parity"]["image_cosine"] > 0.99999
    model = load(trained / "bundle")
    client = serve_in_process(written, model)
    sent = {"cc": dcm(mammograms["R_CC"]), "mlo": dcm(mammograms["R_MLO"])}
    answer = client.post("/predict", files=sent, data={"include": "embedding,frame"})
    assert answer.status_code == 200
    body = answer.json()
    assert np.linalg.norm(body["embedding"]) == pytest.approx(1, abs=1e-5)
    (request,) = client.asked
    for key, view in body["views"].items():
        frame = frame_from_json(view["frame"])
        assert (view["frame"]["size"], request.breasts[0][key].shape) == ([96, 64], SIZE)
        inside = np.random.default_rng(0).uniform((0, 0), (64, 96), (400, 2))
        np.testing.assert_allclose(frame.to_square(frame.to_pixels(inside)), inside, atol=0.5)
        stored = dcmread(mammograms[f"R_{key.upper()}"]).pixel_array
        columns, rows = np.clip(frame.to_pixels(inside), 0, (frame.cols - 1, frame.rows - 1)).astype(int).T
        x, y = inside.astype(int).T
        assert np.corrcoef(request.breasts[0][key][y, x], stored[rows, columns])[0, 1] > 0.95
    own = model.predict(mammograms["R_CC"], mammograms["R_MLO"])
    np.testing.assert_allclose(body["embedding"], own.embedding, atol=1e-5)
