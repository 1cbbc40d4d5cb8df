"""Exports of a model whose input is no square."""

import json

import numpy as np
import onnx
import pytest

from glam.bundle import BUNDLE_FORMAT, Bundle, read_bundle
from glam.model.checkpoint import load_checkpoint
from glam.runtime import OnnxRuntime
from glam_export.card import model_card
from glam_export.parity import measure_parity, seeded_images
from glam_export.triton import write_repository
from tests.conftest import ANSWERING, RECTANGLE


def test_the_graphs_take_rows_and_columns_and_answer_as_torch_does(rectangle_bundle: Bundle):
    assert rectangle_bundle.model == read_bundle(rectangle_bundle.folder).model
    assert rectangle_bundle.model.vision == RECTANGLE.vision
    model = load_checkpoint(rectangle_bundle.folder.parent / "checkpoint")
    for variant in (None, "fused"):
        runtime = OnnxRuntime(rectangle_bundle.folder, threads=1, variant=variant)
        measure_parity(model, runtime).check()
        assert runtime.vision(np.zeros((1, 1, 168, 98), np.float32)).patches.shape == (1, 84, 32)
    (image,) = onnx.load(rectangle_bundle.folder / "vision.onnx").graph.input
    assert [axis.dim_value for axis in image.type.tensor_type.shape.dim][1:] == [1, 168, 98]


def test_a_bundle_says_one_number_for_a_square_and_two_for_a_rectangle(rectangle_bundle: Bundle, random_bundle: Bundle):
    for bundle, size in ((random_bundle, 126), (rectangle_bundle, [168, 98])):
        manifest = json.loads((bundle.folder / "bundle.json").read_text())
        assert (manifest["model"]["frame"]["size"], manifest["model"]["vision"]["image_size"]) == (size, size)
        assert manifest["format"] == BUNDLE_FORMAT == 4
    assert random_bundle.model == ANSWERING


def test_the_card_tells_rows_and_columns(rectangle_bundle: Bundle, random_bundle: Bundle):
    for bundle, told in ((random_bundle, "Input: 126 x 126 px in"), (rectangle_bundle, "Input: 168 x 98 px in")):
        assert told in model_card(json.loads((bundle.folder / "bundle.json").read_text()))


def test_the_model_repository_of_triton_has_them_too(rectangle_bundle: Bundle, tmp_path):
    repository = write_repository(rectangle_bundle, tmp_path / "repository")
    configs = [path.read_text() for path in repository.glob("*/config.pbtxt")]
    assert any("dims: [1, 168, 98]" in text for text in configs)


@pytest.mark.parametrize("size", [126, (168, 98)])
def test_seeded_images_have_the_size_and_are_unlike(size):
    images = seeded_images(np.random.default_rng(0), 3, size)
    assert images.shape == (3, 1, *((126, 126) if size == 126 else size))
    assert np.ptp(images, axis=(2, 3)).min() > 0.3
    assert np.abs(images[0] - images[1]).mean() > 0.1
