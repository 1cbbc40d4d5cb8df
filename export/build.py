"""A checkpoint folder in, a verified bundle out."""

import importlib.metadata
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glam.bundle import Bundle, file_sha256, write_bundle
from glam.config import ModelConfig
from glam.golden import write_golden
from glam.model import Glam, load_checkpoint
from glam.predict import NOTICE
from glam.prepare import prepare_sha
from glam.runtime import OnnxRuntime

from .onnx import OPSET, graphs, write_graph
from .parity import BATCHES, Parity, measure_parity
from .prompts import ClassPrompts, embed_class_prompts

JsonDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Imprint:
    """What a bundle says of itself beyond what its checkpoint holds."""

    name: str
    version: str
    provenance: JsonDict = field(default_factory=dict)
    may_serve: bool = False
    may_share: bool = False


def build_bundle(checkpoint: Path, out: Path, imprint: Imprint, *, overwrite: bool = False) -> Bundle:
    """Write the bundle of a checkpoint; when its graphs differ from torch, a ParityError and nothing new at `out`."""
    model = load_checkpoint(checkpoint).eval()
    return write_bundle(out, lambda folder: _fill(folder, model, checkpoint, imprint), overwrite=overwrite)


def _fill(folder: Path, model: Glam, checkpoint: Path, imprint: Imprint) -> JsonDict:
    """Write every file of a bundle, and return what its bundle.json says."""
    config = model.config
    for graph in graphs(model):
        _progress(f"{graph.name}: exporting")
        write_graph(graph, folder)
    parity = gate(folder, model)
    tokenizer_json = Path(shutil.copyfile(checkpoint / "tokenizer.json", folder / "tokenizer.json"))
    prompts = embed_class_prompts(model, config.text, tokenizer_json)
    arrays: dict[str, Any] = dict(prompts.vectors)
    np.savez(folder / "prompts.npz", **arrays)
    write_golden(folder / "golden", config.frame)
    manifest = _manifest(imprint, config, prompts, parity)
    manifest["export"]["weights_sha256"] = file_sha256(checkpoint / "weights.safetensors")
    return manifest | {"scale": model.scales().image_text.item()}


def gate(folder: Path, model: Glam) -> Parity:
    """Measure the graphs in `folder` against torch; a ParityError beyond the limits."""
    parity = measure_parity(model, OnnxRuntime(folder))
    _progress(f"parity with torch: {parity}")
    parity.check()
    return parity


def _manifest(imprint: Imprint, config: ModelConfig, prompts: ClassPrompts, parity: Parity) -> JsonDict:
    return {
        "name": imprint.name,
        "version": imprint.version,
        "notice": NOTICE,
        "may_serve": imprint.may_serve,
        "may_share": imprint.may_share,
        "provenance": {key: value for key, value in imprint.provenance.items() if key != "metrics"},
        "metrics": imprint.provenance.get("metrics", {}),
        "calibration": {},
        "classes": prompts.classes,
        "prompts": {"key": prompts.key, "texts": prompts.texts},
        "prepare_sha": prepare_sha(config.frame),
        "model": config.as_json(),
        "export": {
            "opset": OPSET,
            "weights": "float32",
            "parity": asdict(parity) | {"against": "torch", "batches": BATCHES},
            "versions": {name: importlib.metadata.version(name) for name in ("glam-mammo", "torch", "onnx", "timm")},
        },
    }


def _progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")
