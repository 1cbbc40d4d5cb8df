"""A model that does not compare its views, from its bundle to its answers and its figures."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle, BundleError, read_bundle
from glam.bundle_files import list_files
from glam.drawing import prediction as drawing
from glam.drawing.prediction import choose_query, draw_prediction
from glam.loading import open_runtime
from glam.phantom import PhantomOptions
from glam.phantom.trial import BreastResult, evaluate, figures, results
from glam.predict import Predictor
from glam.predict_command import Predict
from glam.prediction import INCLUDES
from glam.prediction_arrays import answer_arrays
from glam.triton.runtime import TritonRuntime

SMALL = PhantomOptions(px_mm=0.96, num_tissue_points=20)


@pytest.fixture
def files(mammograms: dict[str, Path]) -> tuple[Path, Path]:
    return mammograms["L_CC"], mammograms["L_MLO"]


@pytest.fixture
def copied(unaligned_bundle: Bundle, tmp_path: Path) -> Path:
    return shutil.copytree(unaligned_bundle.folder, tmp_path / "bundle")


def rewrite(folder: Path, **changes: object) -> None:
    """Write the manifest of a bundle with other values, and the files that there are."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text()) | changes
    path.unlink()
    path.write_text(json.dumps(manifest | {"files": list_files(folder)}))


def refusal(folder: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    return caught.value


# The bundle


def test_a_graph_of_the_alignment_is_no_part_of_it(copied: Path, random_bundle: Bundle):
    shutil.copy(random_bundle.folder / "alignment.onnx", copied)
    rewrite(copied)
    error = refusal(copied)
    assert error.code == "bundle_stray"
    assert "lists alignment.onnx, which is no part of a bundle" in error.message


def test_a_model_that_compares_views_is_not_complete_without_that_graph(random_bundle: Bundle, tmp_path: Path):
    folder = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    (folder / "alignment.onnx").unlink()
    rewrite(folder)
    error = refusal(folder)
    assert error.code == "bundle_incomplete"
    assert "lists no alignment.onnx" in error.message


def test_a_variant_of_a_graph_that_the_model_has_not_is_refused(copied: Path):
    variants = json.loads((copied / "bundle.json").read_text())["variants"]
    rewrite(copied, variants={"fused": variants["fused"] | {"graphs": ["vision.onnx", "alignment.onnx"]}})
    assert refusal(copied).code == "bundle_unreadable"


def test_a_variant_whose_maps_were_measured_is_none_of_its_model(copied: Path):
    variants = json.loads((copied / "bundle.json").read_text())["variants"]
    parity = variants["fused"]["parity"] | {"attention_max_abs": 0.0}
    rewrite(copied, variants={"fused": variants["fused"] | {"parity": parity}})
    error = refusal(copied)
    assert error.code == "bundle_variant"
    assert "parity attention_max_abs is 0.0" in error.message


# Answers


def test_a_breast_has_everything_but_maps(unaligned_predictor: Predictor, files: tuple[Path, Path]):
    prediction = unaligned_predictor.predict(*files, prompts=["the breast is dense"])
    answer = prediction.as_json(INCLUDES)
    assert answer["missing"] == []
    assert answer["attention"] is answer["pooling"] is answer["maps"] is None
    assert [view["cells"] for view in answer["views"].values()] == [None, None]
    for task in ("birads", "density"):
        assert sum(answer[task].values()) == pytest.approx(1, abs=1e-4)
    assert answer["prompts"]["the breast is dense"]["probability"] == 1
    assert np.linalg.norm(prediction.embedding) == pytest.approx(1, abs=1e-5)
    assert sorted(answer_arrays(prediction, INCLUDES)) == [
        "embedding",
        "embedding_cc",
        "embedding_mlo",
        "to_square_cc",
        "to_square_mlo",
    ]


def test_an_exam_is_answered_as_its_breasts(unaligned_predictor: Predictor, mammograms: dict[str, Path]):
    exam = unaligned_predictor.predict_exam(list(mammograms.values()))
    assert list(exam.breasts) == ["L", "R"]
    left = unaligned_predictor.predict(mammograms["L_CC"], mammograms["L_MLO"])
    np.testing.assert_allclose(exam.breasts["L"].embedding, left.embedding, atol=1e-5)
    assert [breast["attention"] for breast in exam.as_json(INCLUDES)["breasts"].values()] == [None, None]


def test_torch_answers_as_onnx_does(
    unaligned_bundle: Bundle, unaligned_checkpoint: Path, unaligned_predictor: Predictor, files: tuple[Path, Path]
):
    recorded = unaligned_bundle.folder.parent / "checkpoint"
    torch = Predictor(unaligned_bundle, open_runtime(unaligned_bundle, "torch", checkpoint=recorded))
    assert torch.runtime.compares_views is unaligned_predictor.runtime.compares_views is False
    said, right = torch.predict(*files), unaligned_predictor.predict(*files)
    assert said.attention is None
    np.testing.assert_allclose(said.embedding, right.embedding, atol=1e-5)
    with pytest.raises(ValueError, match="does not compare its views"):
        torch.runtime.align(*np.zeros((2, 1, 81, 32), np.float32))


def test_triton_is_asked_for_the_graphs_that_there_are(unaligned_bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glam.triton.client._require_tritonclient", lambda: None)
    runtime = TritonRuntime(unaligned_bundle, "grpc://127.0.0.1:8001")
    asked: list[str] = []
    monkeypatch.setattr(runtime, "_is_served", lambda graph: not asked.append(graph))
    assert runtime.is_ready()
    assert asked == ["vision", "text"]
    assert not runtime.compares_views
    with pytest.raises(ValueError, match="does not compare its views"):
        runtime.align(*np.zeros((2, 1, 81, 32), np.float32))


# Pictures


def test_a_point_is_refused_with_the_reason(unaligned_predictor: Predictor, files: tuple[Path, Path]):
    prediction = unaligned_predictor.predict(*files)
    assert choose_query(prediction) is None
    with pytest.raises(ValueError, match="in the other view: this model does not compare its views"):
        choose_query(prediction, point=(100, 100))
    with pytest.raises(ValueError, match="in the other view: give both views"):
        choose_query(unaligned_predictor.predict(files[0]), point=(100, 100))


def test_views_are_drawn_with_the_reason_why_there_is_no_attention(
    unaligned_predictor: Predictor, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    views = {key: unaligned_predictor.read(path) for key, path in zip(("cc", "mlo"), files, strict=True)}
    captions: list[str] = []
    real = drawing.Plate
    monkeypatch.setattr(drawing, "Plate", lambda *parts: captions.append(parts[2]) or real(*parts))
    draw_prediction(unaligned_predictor.predict(*files), views, unaligned_predictor.bundle, query=None)
    draw_prediction(unaligned_predictor.predict(files[0]), {"cc": views["cc"]}, unaligned_predictor.bundle, query=None)
    assert captions == [*["the model does not compare views: no attention"] * 2, "alone: no attention"]


def test_the_command_writes_no_picture_and_says_why(
    unaligned_bundle: Bundle, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "attention.png").write_bytes(b"of another model's answer")
    include = ("attention", "pooling", "maps", "cells")
    Predict(files=files, out=tmp_path, bundle=unaligned_bundle.folder, include=include, threads=1).run()
    told = capsys.readouterr()
    assert told.err == "glam: unaligned does not compare views: there is no attention, and no picture of it\n"
    shown = json.loads(told.out)
    assert shown["query"] is None
    assert set(shown["density"]) == {"a", "b", "c", "d"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings.npz", "prediction.json"]
    answer = json.loads((tmp_path / "prediction.json").read_text())
    assert [answer[name] for name in ("attention", "pooling", "maps")] == [None, None, None]
    with pytest.raises(ValueError, match="this model does not compare its views"):
        Predict(files=files, out=tmp_path, bundle=unaligned_bundle.folder, point="100,100", threads=1).run()


def test_the_command_writes_no_picture_of_an_exam(
    unaligned_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    exam = tuple(mammograms.values())
    Predict(files=(), exam=exam, out=tmp_path, bundle=unaligned_bundle.folder, threads=1).run()
    told = capsys.readouterr()
    assert told.err.count("there is no attention, and no picture of it") == 1
    shown = json.loads(told.out)
    assert [breast["query"] for breast in shown["breasts"].values()] == [None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings.npz", "prediction.json"]


# Figures


def test_phantoms_tell_of_its_classes_and_nothing_of_maps(unaligned_predictor: Predictor):
    found = list(results(unaligned_predictor, num_exams=3, seed=5, options=SMALL))
    assert [result.queries for result in found] == [{}] * 6
    measured = figures(
        [result._replace(density="abcd"[place % 4], has_mass=place % 2 == 0) for place, result in enumerate(found)],
        {},
        seed=0,
    )
    assert measured.hits is None
    assert 0 <= measured.density_macro_auc.value <= 1
    assert 0 <= measured.mass_auc.value <= 1
    assert (measured.num_breasts, measured.num_with_mass) == (6, 3)


def test_figures_are_asked_for_without_places_in_the_training_phantoms(
    unaligned_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
):
    def drawn(*_: object, num_exams: int, **__: object) -> Iterator[BreastResult]:
        for breast in range(2 * num_exams):
            density, has_mass = "abcd"[breast % 4], breast % 3 == 0
            yield BreastResult(breast // 2, density, has_mass, np.eye(4)["abcd".index(density)], float(has_mass), {})

    monkeypatch.setattr("glam.phantom.trial.results", drawn)
    told: list[int] = []
    measured = evaluate(unaligned_predictor, [], num_exams=8, show=lambda done, total: told.extend([*done, total]))
    assert told == [*range(1, 17), 16]
    assert (measured.hits, measured.density_macro_auc.value, measured.mass_auc.value) == (None, 1, 1)
