"""A bundle of random weights and phantom mammograms, made once a session: what the tests of answering need."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glam.bundle import Bundle
from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from tests.samples.shared import made_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glam.predict import Predictor
    from tests.samples.triton_server import TritonServer

ANSWERING = ModelConfig(
    vision=VisionConfig(image_size=126, embed_dim=32, depth=2, num_heads=2, num_registers=1, layer_scale=1.0),
    text=TextConfig(vocab_size=200, hidden_dim=32, depth=1, num_heads=2, ffn_dim=64, max_positions=80, max_tokens=64),
    alignment=AlignmentConfig(side=3, pooling_heads=2, slice_heads=2),
    frame=FrameConfig(size=126),
    joint_dim=16,
)
UNALIGNED = replace(ANSWERING, alignment=None, image_pool="mean")
"""A model that does not compare its views."""
RECTANGLE = replace(
    UNALIGNED,
    vision=replace(ANSWERING.vision, image_size=(168, 98)),
    frame=FrameConfig(size=(168, 98), kind="stretch", align_mlo=False, mask_muscle=False),
)
"""The same for inputs of 168 rows and 98 columns."""


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of seeded random weights, which carries no provenance."""
    return made_once(tmp_path_factory, "random_checkpoint", partial(_save_random_checkpoint, ANSWERING))


@pytest.fixture(scope="session")
def unaligned_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without an alignment module."""
    return made_once(tmp_path_factory, "unaligned_checkpoint", partial(_save_random_checkpoint, UNALIGNED))


def _save_random_checkpoint(config: ModelConfig, folder: Path) -> None:
    import torch

    from glam.model.checkpoint import save_checkpoint
    from glam.model.glam import Glam
    from glam.words.report import class_prompts
    from glam.words.tokens import train_wordpiece

    torch.manual_seed(0)
    model = Glam(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    texts = [text for task in ("birads", "density", "mass") for text in class_prompts(task)]
    train_wordpiece(texts, vocab_size=200).save(folder / "words.json")
    save_checkpoint(model, folder, folder / "words.json")


@pytest.fixture(scope="session")
def random_bundle(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of that checkpoint; it may be served anywhere."""
    from glam.bundle import read_bundle

    export = partial(_export, random_checkpoint, "random")
    return read_bundle(made_once(tmp_path_factory, "random_bundle", export) / "random")


@pytest.fixture(scope="session")
def unaligned_bundle(unaligned_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of the checkpoint without an alignment module; it may be served anywhere."""
    from glam.bundle import read_bundle

    export = partial(_export, unaligned_checkpoint, "unaligned")
    return read_bundle(made_once(tmp_path_factory, "unaligned_bundle", export) / "unaligned")


def _export(checkpoint: Path, name: str, folder: Path) -> None:
    """Write the bundle of a checkpoint under its name into a folder."""
    from glam.licence import write_provenance
    from glam_export.build import Imprint, build_bundle

    recorded = shutil.copytree(checkpoint, folder / "checkpoint")
    write_provenance(recorded, {"data": "random weights", "licence": None, "start_from": None})
    provenance = {"licence": "CC0 1.0", "permits": ["serve", "share"]}
    build_bundle(recorded, folder / name, Imprint(name=name, version="0.0.1", provenance=provenance))


@pytest.fixture(scope="session")
def rectangle_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a model whose input is no square; it may be served anywhere."""
    from glam.bundle import read_bundle

    checkpoint = made_once(tmp_path_factory, "rectangle_checkpoint", partial(_save_random_checkpoint, RECTANGLE))
    export = partial(_export, checkpoint, "rectangle")
    return read_bundle(made_once(tmp_path_factory, "rectangle_bundle", export) / "rectangle")


@pytest.fixture(scope="session")
def kept_bundle(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same bundle under a licence that permits nothing: its embeddings stay on this machine."""
    from glam.bundle import read_bundle

    folder = shutil.copytree(random_bundle.folder, tmp_path_factory.mktemp("bundles") / "kept")
    manifest = json.loads((folder / "bundle.json").read_text()) | {"may_serve": False, "may_share": False}
    manifest["provenance"]["permits"] = []
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return read_bundle(folder, verify=False)


@pytest.fixture(scope="session")
def predictor(random_bundle: Bundle) -> "Predictor":
    """The bundle in ONNX Runtime."""
    from glam.loading import open_runtime
    from glam.predict import Predictor

    return Predictor(random_bundle, open_runtime(random_bundle, threads=1))


@pytest.fixture(scope="session")
def unaligned_predictor(unaligned_bundle: Bundle) -> "Predictor":
    """The bundle without an alignment module in ONNX Runtime."""
    from glam.loading import open_runtime
    from glam.predict import Predictor

    return Predictor(unaligned_bundle, open_runtime(unaligned_bundle, threads=1))


@pytest.fixture(scope="session")
def rectangle_predictor(rectangle_bundle: Bundle) -> "Predictor":
    """The bundle of rectangles in ONNX Runtime."""
    from glam.loading import open_runtime
    from glam.predict import Predictor

    return Predictor(rectangle_bundle, open_runtime(rectangle_bundle, threads=1))


@pytest.fixture(scope="session")
def mammograms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Phantom DICOM files of one exam: "L_CC", "L_MLO", "R_CC", "R_MLO"."""
    from glam.phantom.exam import write_exams

    folder = made_once(tmp_path_factory, "mammograms", lambda folder: write_exams(folder, num_exams=1, seed=11))
    return {path.stem: path for path in folder.rglob("*.dcm")}


@pytest.fixture(scope="session")
def triton_repository(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of random weights as a model repository."""
    from glam_export.triton import write_repository

    return write_repository(random_bundle, tmp_path_factory.mktemp("triton") / "repository")


@pytest.fixture(scope="session")
def triton_there() -> None:
    """Skip where there is no Triton server."""
    from tests.samples.triton_server import ABSENT, is_there

    if not is_there():
        pytest.skip(ABSENT)


@pytest.fixture(scope="session")
def triton(
    triton_there: None, triton_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[TritonServer]":
    """A Triton server that serves that repository to every test: none may stop it."""
    from tests.samples.triton_server import triton_server

    with triton_server(triton_repository, tmp_path_factory.mktemp("triton_server")) as server:
        yield server
