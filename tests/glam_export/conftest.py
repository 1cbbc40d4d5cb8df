"""A GLAM small enough to export in seconds, whose every block matters."""

import json
import shutil

import pytest
import torch

from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam.licence import write_provenance
from glam.model.checkpoint import save_checkpoint
from glam.model.glam import Glam
from glam.runtime import OnnxRuntime
from glam.words.report import class_prompts
from glam.words.tokens import train_wordpiece
from glam_export.cli import main
from tests.samples.shared import made_once

CONFIG = ModelConfig(
    vision=VisionConfig(image_size=56, embed_dim=32, depth=2, num_heads=2, num_registers=1),
    text=TextConfig(vocab_size=200, hidden_dim=32, depth=1, num_heads=2, ffn_dim=64, max_positions=80, max_tokens=64),
    alignment=AlignmentConfig(side=3, pooling_heads=2, slice_heads=2),
    frame=FrameConfig(size=56),
    joint_dim=16,
)
RECORD = {"data": "300 mammograms of nobody", "licence": None, "start_from": None}
PROVENANCE = {
    "data": "300 mammograms of nobody",
    "licence": "CC0 1.0",
    "permits": ["serve", "share"],
    "commit": "abc123",
    "metrics": {"density macro AUC": 0.91},
}


@pytest.fixture(scope="session")
def model():
    """Random weights; LayerScale of 0.5 to 1, as timm's 1e-5 would hide a block that is wrong or missing."""
    torch.manual_seed(0)
    glam = Glam(CONFIG).eval()
    for name, parameter in glam.named_parameters():
        if name.endswith(".gamma"):
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
        elif parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return glam


@pytest.fixture(scope="session")
def checkpoint(model, tmp_path_factory):
    """A checkpoint that carries no provenance."""
    folder = tmp_path_factory.mktemp("checkpoint")
    texts = [text for task in ("birads", "density", "mass") for text in class_prompts(task)]
    train_wordpiece(texts, vocab_size=200).save(folder / "words.json")
    save_checkpoint(model, folder, folder / "words.json")
    return folder


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """The bundle of the checkpoint with a record of its data, made by the command."""

    def export(out):
        recorded = shutil.copytree(checkpoint, out / "checkpoint")
        write_provenance(recorded, RECORD)
        (out / "provenance.json").write_text(json.dumps(PROVENANCE))
        arguments = [str(recorded), "--out", str(out / "bundle"), "--name", "tiny", "--version", "0.1.0"]
        assert main(["onnx", *arguments, "--provenance", str(out / "provenance.json")]) == 0

    return made_once(tmp_path_factory, "exported", export) / "bundle"


@pytest.fixture(scope="session")
def runtime(exported):
    return OnnxRuntime(exported, threads=1)
