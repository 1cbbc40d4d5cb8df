import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.export import Dim

import glam_export.onnx as exporter
from glam.runtime import onnx_session
from glam_export.onnx import OPSET, Graph, write_graph

SIGNATURES = {
    "vision.onnx": ({"image"}, ["image_embedding", "patches"]),
    "alignment.onnx": ({"patches_cc", "patches_mlo"}, ["pooling_cc", "pooling_mlo", "cc_to_mlo", "mlo_to_cc"]),
    "text.onnx": ({"token_ids", "mask"}, ["text_embedding"]),
}
PATHS_AND_TRACES = re.compile(rb"/home|/root|/work|/tmp|/usr|site-packages|\.py\b|Traceback|stack_trace|File \"")


def small_graph(module, outputs=("twice",), rows=2):
    """A graph of one small module, to be exported in no time."""
    inputs = {"numbers": torch.ones(rows, 300)}
    return Graph(name="small.onnx", module=module, inputs=inputs, axes={0: Dim("batch")}, outputs=outputs)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.two = nn.Parameter(torch.full((300,), 2.0))

    def forward(self, numbers):
        return numbers * self.two


class Mean(nn.Module):
    def forward(self, numbers):
        return numbers.mean(dim=1)


class PinnedBatch(nn.Module):
    def forward(self, numbers):
        return torch.ones(300).expand(len(numbers), -1) * numbers


@pytest.mark.parametrize("name", SIGNATURES)
def test_graph_has_the_names_of_the_contract_and_free_axes(exported, name):
    proto = onnx.load(exported / name)
    inputs, outputs = SIGNATURES[name]
    assert {entry.name for entry in proto.graph.input} == inputs
    assert [entry.name for entry in proto.graph.output] == outputs
    for entry in [*proto.graph.input, *proto.graph.output]:
        assert entry.type.tensor_type.shape.dim[0].dim_param == "batch"
    if name == "text.onnx":
        assert {entry.type.tensor_type.shape.dim[1].dim_param for entry in proto.graph.input} == {"token"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_graph_is_portable_onnx_of_the_opset_we_say(exported, name):
    proto = onnx.load(exported / name)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", OPSET)]
    onnx.checker.check_model(proto, full_check=True)


def test_no_file_says_anything_of_the_machine_that_wrote_it(exported):
    for path in filter(Path.is_file, exported.rglob("*")):
        assert not PATHS_AND_TRACES.search(path.read_bytes()), path.name


def test_unstripped_graph_would_have_told(monkeypatch, tmp_path):
    monkeypatch.setattr(exporter, "strip", lambda proto: None)
    assert PATHS_AND_TRACES.search(write_graph(small_graph(Twice()), tmp_path).read_bytes())


def test_export_is_the_same_bytes_each_time_whatever_the_example_batch(tmp_path):
    written = [write_graph(small_graph(Twice(), rows=rows), tmp_path).read_bytes() for rows in (2, 2, 5)]
    assert written[0] == written[1] == written[2]


def test_model_that_pins_the_batch_is_refused(tmp_path):
    with pytest.raises(torch._dynamo.exc.UserError, match="batch"):
        write_graph(small_graph(PinnedBatch()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_opset_that_the_exporter_replaces_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(exporter, "OPSET", 17)
    with pytest.raises(ValueError, match="torch wrote opset 18 in place of 17"):
        write_graph(small_graph(Mean()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_large_weights_go_into_a_file_beside_the_graph(monkeypatch, tmp_path):
    monkeypatch.setattr(exporter, "EXTERNAL_DATA_BYTES", 0)
    path = write_graph(small_graph(Twice()), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.onnx", "small.onnx.data"]
    assert (tmp_path / "small.onnx.data").stat().st_mode == path.stat().st_mode  # another user serves it
    numbers = np.arange(600, dtype=np.float32).reshape(2, 300)
    (twice,) = onnx_session(path).run(["twice"], {"numbers": numbers})
    np.testing.assert_array_equal(twice, 2 * numbers)


def test_text_of_any_length_up_to_the_longest_is_taken(model, runtime):
    for num_tokens in (2, 5, model.config.text.max_tokens):
        ids = np.random.default_rng(num_tokens).integers(200, size=(2, num_tokens))
        mask = np.ones_like(ids)
        with torch.inference_mode():
            expected = model.embed_text(torch.from_numpy(ids), torch.from_numpy(mask))
        np.testing.assert_allclose(runtime.text(ids, mask), expected, atol=1e-5)


def test_padding_does_not_change_a_text(runtime):
    ids = np.array([[2, 30, 40, 3]])
    padded = np.pad(ids, ((0, 0), (0, 9)))
    alone = runtime.text(ids, np.ones_like(ids))
    np.testing.assert_allclose(runtime.text(padded, (padded > 0).astype(int)), alone, atol=1e-5)


def test_views_together_are_answered_as_one_by_one(runtime, model):
    images = np.random.default_rng(0).random((3, 1, 56, 56), dtype=np.float32)
    together = runtime.vision(images)
    for index, image in enumerate(images):
        alone = runtime.vision(image[None])
        np.testing.assert_allclose(alone.embedding[0], together.embedding[index], atol=1e-5)
        np.testing.assert_allclose(alone.patches[0], together.patches[index], atol=1e-5)


def test_maps_are_distributions(runtime):
    rng = np.random.default_rng(0)
    maps = runtime.align(*rng.normal(size=(2, 4, 16, 32)))
    assert [value.shape for value in maps] == [(4, 9, 16), (4, 9, 16), (4, 3, 3, 3), (4, 3, 3, 3)]
    for value in maps:
        np.testing.assert_allclose(value.sum(axis=-1), 1, atol=1e-5)
