"""A checkpoint folder in, a verified bundle out."""

import importlib.metadata
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glam.bundle import Bundle, write_bundle
from glam.config import ModelConfig
from glam.files import JsonDict, file_sha256
from glam.golden import write_golden
from glam.licence import permission
from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam
from glam.model.text import merge_adapters
from glam.prediction import NOTICE
from glam.prepare import prepare_sha
from glam.runtime import OnnxRuntime

from .fused import fused
from .onnx import OPSET, graphs, vision_graph, write_graph
from .parity import BATCHES, EXACT, Parity, measure_parity
from .permission import bundle_provenance, without_provenance
from .prompts import ClassPrompts, embed_class_prompts, style_of_reports


@dataclass(frozen=True, kw_only=True)
class Imprint:
    """What a bundle says of itself beyond what its checkpoint holds."""

    name: str
    version: str
    provenance: JsonDict | None = None
    """What the exporter states beside what the checkpoint carries of itself: data, licence, permits, metrics."""
    flags: tuple[str, ...] = ()
    """"serve" and "share": what the exporter says that the licence of the data permits."""
    without_provenance: bool = False
    """Knowingly without any: the bundle permits nothing."""


def build_bundle(checkpoint: Path, out: Path, imprint: Imprint, *, overwrite: bool = False) -> Bundle:
    """Write the bundle of a checkpoint, and nothing at `out` when that fails.

    ParityError when its graphs differ from torch, LicenceError when it is not known what may be done with it.
    """
    model = load_checkpoint(checkpoint).eval()
    merge_adapters(model.text)
    provenance = _provenance(checkpoint, imprint)
    return write_bundle(out, lambda folder: _fill(folder, model, checkpoint, imprint, provenance), overwrite=overwrite)


def _provenance(checkpoint: Path, imprint: Imprint) -> JsonDict:
    if not imprint.without_provenance:
        return bundle_provenance(checkpoint, imprint.provenance, imprint.flags)
    if imprint.provenance is not None:
        raise ValueError("--provenance and --without-provenance exclude each other: give one of them")
    return without_provenance(checkpoint, imprint.flags)


def _fill(folder: Path, model: Glam, checkpoint: Path, imprint: Imprint, provenance: JsonDict) -> JsonDict:
    """Write every file of a bundle, and return what its bundle.json says."""
    config = model.config
    for graph in graphs(model):
        _progress(f"{graph.name}: exporting")
        write_graph(graph, folder)
    parity = gate(folder, model)
    variants = _fused_variant(folder, model)
    tokenizer_json = Path(shutil.copyfile(checkpoint / "tokenizer.json", folder / "tokenizer.json"))
    style = style_of_reports(checkpoint, config.text)
    prompts = embed_class_prompts(model, config.text, tokenizer_json, style)
    arrays: dict[str, Any] = dict(prompts.vectors)
    np.savez(folder / "prompts.npz", **arrays)
    write_golden(folder / "golden", config.frame)
    manifest = _claims(imprint, provenance) | _measured(config, prompts, parity)
    manifest["export"]["weights_sha256"] = file_sha256(checkpoint / "weights.safetensors")
    return manifest | {"scale": model.scales().image_text.item(), "variants": variants}


def gate(folder: Path, model: Glam, variant: str | None = None) -> Parity:
    """Measure the graphs in `folder` against torch; a ParityError beyond the limits."""
    parity = measure_parity(model, OnnxRuntime(folder, variant=variant))
    _progress(f"parity of {variant or 'the graphs'} with torch: {parity}")
    parity.check()
    return parity


def _fused_variant(folder: Path, model: Glam) -> JsonDict:
    """Write the vision graph of ONNX Runtime's own nodes, and return what bundle.json says of it; {}: there is none."""
    fused_model = fused(model)
    if fused_model is None:
        return {}
    _progress("variants/fused/vision.onnx: exporting")
    place = folder / "variants" / "fused"
    place.mkdir(parents=True)
    write_graph(vision_graph(fused_model), place)
    parity = gate(folder, model, "fused")
    made = "attention as com.microsoft MultiHeadAttention, LayerScale folded: for ONNX Runtime on a CPU or on CUDA"
    entry = {"graphs": ["vision.onnx"], "made": made, "parity": asdict(parity), "tolerance": asdict(EXACT)}
    return {"fused": entry}


def _claims(imprint: Imprint, provenance: JsonDict) -> JsonDict:
    """Return what a bundle says of itself, of what its model saw, and of what may be done with it."""
    names = {"name": imprint.name, "version": imprint.version, "notice": NOTICE}
    training = {key: value for key, value in provenance.items() if key != "metrics"}
    return names | permission(provenance)._asdict() | {"provenance": training, "metrics": provenance.get("metrics", {})}


def _measured(config: ModelConfig, prompts: ClassPrompts, parity: Parity) -> JsonDict:
    """Return what a bundle says of its model, its prompts and its graphs."""
    return {
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
