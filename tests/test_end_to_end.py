"""The whole chain by the commands a person types: phantoms, training, export, and an answer about two real films."""

import json
from pathlib import Path

import numpy as np
import pytest

from glam.predict_command import Predict
from glam_export.cli import main as glam_export
from glam_serve.demo import real_pair
from glam_train.commands import PreparePhantoms, Pretrain, Provenance

EMBEDDING_TOLERANCE = 1e-5
ATTENTION_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoint and bundle of a model that has seen four phantoms twice."""
    folder = tmp_path_factory.mktemp("chain")
    PreparePhantoms(out=folder / "cache", pairs=4, preset="tiny").run()
    Pretrain(
        cache=folder / "cache", out=folder / "run", preset="tiny", settings={"steps": 2, "batch_size": 4}, device="cpu"
    ).run()
    checkpoint = folder / "run" / "checkpoints" / "step-0000002"
    return checkpoint, folder / "bundle"


@pytest.mark.slow
def test_a_trained_model_answers_alike_in_torch_and_in_its_bundle(chain, tmp_path, capsys):
    checkpoint, bundle = chain
    capsys.readouterr()
    Provenance(run_folder=checkpoint.parents[1]).run()
    (tmp_path / "provenance.json").write_text(capsys.readouterr().out)
    arguments = [str(checkpoint), "--out", str(bundle), "--provenance", str(tmp_path / "provenance.json")]
    assert glam_export(["onnx", *arguments]) == 0
    answers, vectors = {}, {}
    for runtime in ("onnx", "torch"):
        out = tmp_path / runtime
        Predict(files=tuple(real_pair().values()), out=out, bundle=bundle, runtime=runtime, checkpoint=checkpoint).run()
        answers[runtime] = json.loads((out / "prediction.json").read_text())
        vectors[runtime] = np.load(out / "embeddings.npz")
        assert (out / "attention.png").stat().st_size > 10_000
    for name in ("breast", "cc", "mlo"):
        np.testing.assert_allclose(vectors["onnx"][name], vectors["torch"][name], atol=EMBEDDING_TOLERANCE)
    for direction in ("cc_to_mlo", "mlo_to_cc"):
        maps = [np.array(answers[runtime]["attention"][direction]) for runtime in ("onnx", "torch")]
        np.testing.assert_allclose(*maps, atol=ATTENTION_TOLERANCE)
    assert json.loads((bundle / "bundle.json").read_text())["provenance"]["data"]["kind"] == "phantoms"
    assert answers["onnx"]["notice"] == "research use only, not for diagnosis"
