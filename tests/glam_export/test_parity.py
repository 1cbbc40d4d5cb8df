import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from glam.model.glam import Glam
from glam.model.torch_runtime import TorchRuntime
from glam.runtime import OnnxRuntime, VisionOut
from glam_export.parity import Parity, ParityError, measure_parity, seeded_images, seeded_texts

PERFECT = Parity(image_cosine=1.0, text_cosine=1.0, patches_max_abs=0.0, attention_max_abs=0.0)


def test_exported_graphs_agree_with_torch(model, runtime):
    parity = measure_parity(model, runtime)
    parity.check()
    assert parity.image_cosine > 0.999999
    assert parity.text_cosine > 0.999999
    assert parity.patches_max_abs < 5e-5
    assert parity.attention_max_abs < 5e-5


def test_model_agrees_with_itself(model):
    parity = measure_parity(model, TorchRuntime(model))
    assert parity.image_cosine == pytest.approx(1, abs=1e-7)
    assert (parity.patches_max_abs, parity.attention_max_abs) == (0, 0)


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [("vision.onnx", "image_cosine"), ("alignment.onnx", "attention_max_abs"), ("text.onnx", "text_cosine")],
)
def test_gate_fails_on_one_damaged_weight_matrix(model, exported, tmp_path, graph, complaint):
    folder = shutil.copytree(exported, tmp_path / "graphs")
    proto = onnx.load(folder / graph)
    matrices = [tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2 and min(tensor.dims) > 9]
    values = numpy_helper.to_array(matrices[-1])
    matrices[-1].CopyFrom(numpy_helper.from_array(1.03 * values, matrices[-1].name))
    onnx.save_model(proto, folder / graph)
    with pytest.raises(ParityError, match=complaint):
        measure_parity(model, OnnxRuntime(folder)).check()


def test_gate_sees_a_block_that_is_missing(model, runtime):
    pruned = Glam(model.config)
    pruned.load_state_dict(model.state_dict())
    pruned.vision.vit.blocks[-1] = torch.nn.Identity()
    assert measure_parity(pruned, runtime).image_cosine < 0.99


def test_gate_sees_rows_that_are_mixed_up(model, runtime):
    class Mixed:
        align, text, compares_views = runtime.align, runtime.text, runtime.compares_views

        def vision(self, images):
            return VisionOut(*(value[::-1] for value in runtime.vision(images)))

    assert measure_parity(model, Mixed()).image_cosine < 0.999


@pytest.mark.parametrize(
    ("field", "bad"),
    [("image_cosine", 0.99998), ("text_cosine", 0.5), ("patches_max_abs", 2e-4), ("attention_max_abs", 1.1e-4)],
)
def test_number_beyond_its_limit_fails_by_name(field, bad):
    PERFECT.check()
    for value in (bad, float("nan")):
        with pytest.raises(ParityError, match=f"{field} is "):
            replace(PERFECT, **{field: value}).check()


def test_seeded_images_fill_the_range_and_are_unlike():
    images = seeded_images(np.random.default_rng(0), 3, 56)
    assert images.shape == (3, 1, 56, 56)
    assert images.dtype == np.float32
    assert images.min() < 0.1
    assert images.max() > 0.9
    assert np.abs(images[0] - images[1]).max() > 0.5
    np.testing.assert_array_equal(images, seeded_images(np.random.default_rng(0), 3, 56))


def test_seeded_texts_hold_the_longest_and_shorter_ones(model):
    token_ids, mask = seeded_texts(np.random.default_rng(0), 3, model.config)
    assert mask.sum(axis=1).max() == model.config.text.max_tokens
    assert len(set(mask.sum(axis=1))) > 1
    assert token_ids[mask == 0].sum() == 0
    assert token_ids.max() < model.config.text.vocab_size
