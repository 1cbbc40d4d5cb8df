"""Exports of a model that does not compare its views, and of each way that one may compare them."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glam.bundle import Bundle, read_bundle
from glam.config import AlignmentConfig
from glam.loading import load
from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam
from glam.model.torch_runtime import TorchRuntime
from glam.runtime import AlignOut, OnnxRuntime, Runtime, onnx_session
from glam_export.cli import main
from glam_export.onnx import alignment_graph, write_graph
from glam_export.parity import ParityError, compare_runtimes, measure_parity
from glam_export.triton import write_repository
from tests.conftest import ANSWERING

HALF = ("fp16", "bf16")
NOTHING = {"portable": None, "variant": None}


@pytest.fixture(scope="module")
def unaligned(unaligned_checkpoint: Path) -> Glam:
    return load_checkpoint(unaligned_checkpoint).eval()


@pytest.fixture(scope="module")
def with_halves(unaligned_bundle: Bundle, mammograms: dict[str, Path], tmp_path_factory) -> Path:
    """The bundle with every variant, made by the command."""
    folder = shutil.copytree(unaligned_bundle.folder, tmp_path_factory.mktemp("variants") / "bundle")
    files = [str(mammograms["L_CC"]), str(mammograms["L_MLO"])]
    for name in (*HALF, "int8"):
        assert main(["quantise", str(folder), "--variant", name, "--exams", "1", "--files", *files]) == 0
    return folder


class WithoutMaps:
    """A runtime whose graph of the alignment is lost."""

    compares_views = False

    def __init__(self, runtime: Runtime) -> None:
        self.vision, self.text = runtime.vision, runtime.text


def test_there_is_no_graph_of_the_alignment_and_parity_says_nothing_of_maps(unaligned_bundle: Bundle):
    assert not unaligned_bundle.model.compares_views
    assert [name for name in unaligned_bundle.file_hashes if name.endswith(".onnx")] == [
        "text.onnx",
        "variants/fused/vision.onnx",
        "vision.onnx",
    ]
    manifest = json.loads((unaligned_bundle.folder / "bundle.json").read_text())
    for parity in (manifest["export"]["parity"], manifest["variants"]["fused"]["parity"]):
        assert parity["attention_max_abs"] is None
        assert parity["image_cosine"] > 0.99999
        assert parity["text_cosine"] > 0.99999


def test_its_graphs_answer_as_torch_does(unaligned: Glam, unaligned_bundle: Bundle):
    for variant in (None, "fused"):
        runtime = OnnxRuntime(unaligned_bundle.folder, threads=1, variant=variant)
        parity = measure_parity(unaligned, runtime)
        parity.check()
        assert parity.attention_max_abs is None
        with pytest.raises(ValueError, match=r"does not compare its views: it has no alignment\.onnx"):
            runtime.align(*np.zeros((2, 1, 81, 32), np.float32))


def test_a_view_is_embedded_by_the_mean_of_its_patches(unaligned: Glam, unaligned_bundle: Bundle):
    out = OnnxRuntime(unaligned_bundle.folder, threads=1).vision(np.random.default_rng(0).random((2, 1, 126, 126)))
    layer = unaligned.image_projection
    projected = out.patches.mean(axis=1) @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    unit = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(out.embedding, unit, atol=1e-5)


def test_the_gate_sees_a_graph_of_the_alignment_that_is_lost_or_one_too_many(predictor, unaligned_predictor):
    for expected, other in (
        (predictor, WithoutMaps(predictor.runtime)),
        (unaligned_predictor, predictor.runtime),
    ):
        with pytest.raises(ParityError, match="do not compare views as the model does"):
            compare_runtimes(expected.runtime, other, expected.bundle.model)


def test_its_variants_are_made_and_measured_without_maps(with_halves: Path, mammograms: dict[str, Path]):
    bundle = read_bundle(with_halves)
    for name in (*HALF, "int8"):
        entry = bundle.variants[name]
        assert entry["graphs"] == (["vision.onnx"] if name == "int8" else ["vision.onnx", "text.onnx"])
        assert entry["parity"]["attention_max_abs"] is entry["accuracy"]["attention_max_abs"] is None
        assert entry["accuracy"]["lesion_hit_at_1"] == entry["accuracy"]["tissue_hit_at_1"] == NOTHING
        assert 0 < entry["accuracy"]["probabilities_max_abs"] <= entry["tolerance"]["max_probability_error"]
    right = load(with_halves, threads=1, variant="portable").predict(mammograms["R_CC"], mammograms["R_MLO"])
    half = load(with_halves, threads=1, variant="fp16").predict(mammograms["R_CC"], mammograms["R_MLO"])
    assert half.variant == "fp16"
    assert half.embedding @ right.embedding > 0.999
    assert np.abs(half.embedding - right.embedding).max() > 0


def test_verify_and_card_tell_of_it(with_halves: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(with_halves)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["compares_views"] is False
    assert main(["card", str(with_halves)]) == 0
    card = capsys.readouterr().out
    assert "The model does not\ncompare the views: it has no attention." in card
    assert "attention between" not in card
    assert "None" not in card
    assert "| attention_max_abs | not measured |" in card  # of a variant, on mammograms


def test_tensorrt_builds_the_graphs_that_there_are(with_halves: Path, tmp_path: Path):
    for variant in ("portable", "fp16"):
        arguments = ["tensorrt", str(with_halves), "--out", str(tmp_path), "--variant", variant, "--script-only"]
        assert main(arguments) == 0
        lines = (tmp_path / "build-engines.sh").read_text().splitlines()
        commands = [shlex.split(line) for line in lines if line.startswith("trtexec")]
        assert [command[2] for command in commands] == ["--saveEngine=vision.engine", "--saveEngine=text.engine"]


def test_a_triton_repository_has_no_model_of_the_alignment_and_no_ensemble(unaligned_bundle: Bundle, tmp_path: Path):
    repository = write_repository(unaligned_bundle, tmp_path / "repository")
    models = sorted(path.name for path in repository.iterdir() if path.is_dir())
    assert models == ["glam_text", "glam_vision"]


# Ways to compare


def aligned(**alignment: object) -> Glam:
    """A model of random weights that compares its views in such a way."""
    torch.manual_seed(0)
    model = Glam(replace(ANSWERING, alignment=AlignmentConfig(side=3, pooling_heads=2, slice_heads=2, **alignment)))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def maps_of(path: Path, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> AlignOut:
    """What a graph of the alignment says of patches."""
    inputs = {"patches_cc": patches_cc, "patches_mlo": patches_mlo}
    return AlignOut(*onnx_session(path, threads=1).run(list(AlignOut._fields), inputs))


@pytest.mark.parametrize(
    "alignment",
    [
        {"pooling": "average"},
        {"keys": "band", "band": 0.7},
        {"keys": "all"},
        {"keys": "all", "values": "projected", "pooling": "average"},
    ],
)
def test_every_way_to_compare_is_exported_with_parity(alignment: dict, tmp_path: Path):
    model = aligned(**alignment)
    patches = np.random.default_rng(1).normal(size=(2, 3, 81, 32)).astype(np.float32)
    written = maps_of(write_graph(alignment_graph(model), tmp_path), *patches)
    for mine, right in zip(written, TorchRuntime(model).align(*patches), strict=True):
        np.testing.assert_allclose(mine, right, atol=1e-5)
        np.testing.assert_allclose(mine.sum(axis=-1), 1, atol=1e-5)


def means_of_regions(model: Glam, patches: np.ndarray) -> np.ndarray:
    """(patch, dim) -> (row, col, dim): the LayerNormed means of three by three patches."""
    norm = model.alignment.norm
    means = patches.reshape(3, 3, 3, 3, -1).mean(axis=(1, 3))
    spread = np.sqrt(means.var(axis=-1, keepdims=True) + norm.eps)
    scaled = (means - means.mean(axis=-1, keepdims=True)) / spread
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def rows_by_hand(model: Glam, query: np.ndarray, keys: np.ndarray, *, band: float | None) -> np.ndarray:
    """What a region (row, col) of one view makes of the rows of the other: (col, row_query, row_key)."""
    attention = model.alignment.cc_to_mlo.attention
    of_query, of_key = (layer.weight.detach().numpy().T for layer in (attention.query, attention.key))
    rows = np.zeros((3, 3, 3))
    for col, row in np.ndindex(3, 3):
        logits = np.zeros((2, 3, 3))  # (head, row_key, col_key)
        for head, row_key, col_key in np.ndindex(2, 3, 3):
            half = slice(16 * head, 16 * head + 16)
            logits[head, row_key, col_key] = (query[row, col] @ of_query)[half] @ (keys[row_key, col_key] @ of_key)[
                half
            ]
        logits /= 4.0  # the root of a head's width
        if band is not None:
            logits -= (np.arange(3) - col) ** 2 / (2 * band**2)
        weights = np.exp(logits - logits.max(axis=(1, 2), keepdims=True))
        weights /= weights.sum(axis=(1, 2), keepdims=True)
        rows[col, row] = weights.mean(axis=0).sum(axis=1)  # every slice of the row
    return rows


@pytest.mark.parametrize(("keys", "band"), [("band", 0.7), ("all", None)])
def test_a_weight_of_band_and_all_is_that_of_its_row_in_every_slice(keys: str, band: float | None, tmp_path: Path):
    model = aligned(pooling="average", keys=keys, band=0.7)
    cc, mlo = np.random.default_rng(0).normal(size=(2, 81, 32)).astype(np.float32)
    maps = maps_of(write_graph(alignment_graph(model), tmp_path), cc[None], mlo[None])
    query, other = (means_of_regions(model, patches) for patches in (cc, mlo))
    np.testing.assert_allclose(maps.cc_to_mlo[0], rows_by_hand(model, query, other, band=band), atol=1e-4)
