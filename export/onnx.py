"""The graphs of a bundle, written by torch's exporter from wrappers around an untouched model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from glam.bundle_files import ALIGNMENT
from glam.input_size import rows_and_cols
from glam.model.glam import Glam
from glam.runtime import AlignOut, onnx_session

OPSET = 20
EXTERNAL_DATA_BYTES = 64 * 2**20
"""Weights of a graph beyond this lie in a file beside it, which every worker maps into memory and none copies."""


class VisionGraph(nn.Module):
    """Views to their place in the joint space, and to their patches."""

    def __init__(self, model: Glam) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, H, W) -> (batch, joint), (batch, patch, dim)."""
        features = self.model.vision(image)
        return self.model.embed_view(features), features.patches


class AlignmentGraph(nn.Module):
    """Patches of a pair to the maps of region pooling and slice attention."""

    def __init__(self, model: Glam) -> None:
        super().__init__()
        self.model = model

    def forward(self, patches_cc: Tensor, patches_mlo: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(batch, patch, dim) each -> two (batch, region, patch), two (batch, col, row_query, row_key)."""
        alignment = self.model.align(patches_cc, patches_mlo)
        return alignment.pooling_cc, alignment.pooling_mlo, alignment.cc_to_mlo, alignment.mlo_to_cc


class TextGraph(nn.Module):
    """Texts to their place in the joint space."""

    def __init__(self, model: Glam) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, token) each -> (batch, joint)."""
        return self.model.embed_text(token_ids, mask)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One file to write: the wrapper, its named inputs with the axes that vary, and its outputs' names."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[int, Any]
    outputs: tuple[str, ...]


def vision_graph(model: Glam) -> Graph:
    """Return the graph of a model's vision tower, which may be a fused one."""
    rows, cols = rows_and_cols(model.config.vision.image_size)
    return Graph(
        name="vision.onnx",
        module=VisionGraph(model),
        inputs={"image": torch.zeros(2, 1, rows, cols)},
        axes={0: Dim("batch")},
        outputs=("image_embedding", "patches"),
    )


def graphs(model: Glam) -> tuple[Graph, ...]:
    """Return the graphs of a model, with example inputs of two rows (a batch of one would be taken for a constant).

    A model that does not compare its views has none of the alignment.
    """
    between = (alignment_graph(model),) if model.config.compares_views else ()
    return (vision_graph(model), *between, text_graph(model))


def alignment_graph(model: Glam) -> Graph:
    """Return the graph of a model's alignment module."""
    patches = torch.zeros(2, model.config.vision.num_patches, model.vision.dim)
    return Graph(
        name=ALIGNMENT,
        module=AlignmentGraph(model),
        inputs={"patches_cc": patches, "patches_mlo": torch.zeros_like(patches)},
        axes={0: Dim("batch")},
        outputs=AlignOut._fields,
    )


def text_graph(model: Glam) -> Graph:
    """Return the graph of a model's text tower."""
    token_ids = torch.ones(2, 8, dtype=torch.int64)
    return Graph(
        name="text.onnx",
        module=TextGraph(model),
        inputs={"token_ids": token_ids, "mask": torch.ones_like(token_ids)},
        axes={0: Dim("batch"), 1: Dim("token", max=model.config.text.max_tokens)},
        outputs=("text_embedding",),
    )


def write_graph(graph: Graph, folder: Path) -> Path:
    """Export one graph into `folder`, check it, and load it; ValueError when the exporter wrote another opset."""
    proto = _export(graph)
    opset = next(entry.version for entry in proto.opset_import if not entry.domain)
    if opset != OPSET:  # the exporter picks another one without an error when it cannot write the one asked for
        raise ValueError(f"{graph.name}: torch wrote opset {opset} in place of {OPSET}")
    path = save_graph(proto, folder / graph.name)
    onnx_session(path, threads=1)
    return path


def save_graph(proto: onnx.ModelProto, path: Path) -> Path:
    """Write a graph without what its maker's machine should keep to itself, its weights beside it where large."""
    strip(proto)
    external = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > EXTERNAL_DATA_BYTES
    path.unlink(missing_ok=True)
    onnx.save_model(proto, path, save_as_external_data=external, location=f"{path.name}.data")
    if external:  # onnx lets nobody but the exporter read it, and another user serves it
        path.with_name(f"{path.name}.data").chmod(path.stat().st_mode & 0o777)
    onnx.checker.check_model(path, full_check=True)
    return path


def strip(proto: onnx.ModelProto) -> None:
    """Remove what only the exporting machine should know: stack traces, module names, the paths of source files."""
    proto.ClearField("doc_string")
    del proto.metadata_props[:]
    graph = proto.graph
    graph.ClearField("doc_string")
    del graph.metadata_props[:]
    del graph.value_info[:]
    for entry in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        entry.ClearField("doc_string")
        del entry.metadata_props[:]


def _export(graph: Graph) -> onnx.ModelProto:
    axes = tuple(graph.axes for _ in graph.inputs)
    with _quiet_exporter():
        # In two steps: asked for both at once, torch answers a model that pins an axis with a graph that pins it too.
        program = torch.export.export(graph.module.eval(), tuple(graph.inputs.values()), dynamic_shapes=axes)
        written = torch.onnx.export(
            program,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamic_shapes=axes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert written is not None
    return written.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what the exporter says of every axis that two inputs share, and of what it does not fold."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
