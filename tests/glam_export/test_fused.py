import copy
import json

import numpy as np
import onnx
import pytest
import torch
from timm.layers.attention import Attention

from glam.model.torch_runtime import TorchRuntime
from glam.runtime import OnnxRuntime
from glam_export.fused import fold_layer_scale, fused
from glam_export.parity import measure_parity, seeded_images


def test_fused_graph_has_a_node_an_attention_and_no_layer_scale(exported, model):
    nodes = [node.op_type for node in onnx.load(exported / "variants/fused/vision.onnx").graph.node]
    own = [node.op_type for node in onnx.load(exported / "vision.onnx").graph.node]
    assert nodes.count("MultiHeadAttention") == model.config.vision.depth
    assert "Softmax" not in nodes
    assert "MultiHeadAttention" not in own
    assert own.count("Softmax") == model.config.vision.depth
    assert len(nodes) < len(own)


def test_fused_graph_answers_as_torch_and_the_bundle_says_how_closely(exported, model):
    runtime = OnnxRuntime(exported, variant="fused")
    parity = measure_parity(model, runtime)
    parity.check()
    said = json.loads((exported / "bundle.json").read_text())["variants"]["fused"]
    assert said["graphs"] == ["vision.onnx"]
    assert said["parity"]["image_cosine"] == pytest.approx(parity.image_cosine, abs=1e-6)


def test_graphs_that_a_variant_does_not_have_are_the_bundle_s_own(exported, runtime):
    ids = np.ones((1, 5), np.int64)
    np.testing.assert_array_equal(OnnxRuntime(exported, variant="fused").text(ids, ids), runtime.text(ids, ids))


def test_folded_layer_scale_changes_no_answer(model):
    folded = copy.deepcopy(model)
    for block in folded.vision.vit.blocks:
        fold_layer_scale(block)
        assert isinstance(block.ls1, torch.nn.Identity)
        assert isinstance(block.ls2, torch.nn.Identity)
    images = seeded_images(np.random.default_rng(0), 2, model.config.vision.image_size)
    right, mine = (TorchRuntime(each).vision(images) for each in (model, folded))
    np.testing.assert_allclose(mine.patches, right.patches, atol=1e-5)


def test_fusing_leaves_the_model_as_it_was(model):
    before = copy.deepcopy(model.state_dict())
    assert fused(model) is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert isinstance(model.vision.vit.blocks[0].attn, Attention)


def test_attention_of_another_kind_is_not_fused(model):
    other = copy.deepcopy(model)
    other.vision.vit.blocks[1].attn.q_norm = torch.nn.LayerNorm(16)
    assert fused(other) is None
