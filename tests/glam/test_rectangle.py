"""Inputs of rows x columns: what a square was before, in both axes."""

import json
from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glam.config import FrameConfig, FrameKind, ModelConfig, VisionConfig, model_config_from_json
from glam.frame import (
    Frame,
    cell_polygon,
    cells_of,
    compose,
    crop,
    flip_columns,
    frame_from_json,
    inside_square,
    make_frame,
    rotate,
    scale,
)
from glam.golden import golden_difference, mean_grid, write_golden
from glam.input_size import plain_size, rows_and_cols, told_size
from glam.model.vision import VisionTower
from glam.phantom.in_memory import view_of
from glam.phantom.pair import Pair
from glam.prepare import prepare, prepare_sha
from glam.view import WHITE
from tests.samples.views import plain_breast, with_pixels

SIZE = (160, 96)
"""Rows, columns."""
RECTANGLE = FrameConfig(size=SIZE, kind="stretch")
STEPS = st.one_of(
    st.builds(flip_columns, st.floats(1, 5000)),
    st.builds(crop, st.floats(-2000, 2000), st.floats(-2000, 2000)),
    st.builds(rotate, st.floats(-180, 180)),
    st.builds(scale, st.floats(0.2, 5), st.floats(0.2, 5)),
)


def model_of(size: object, **changes: object) -> ModelConfig:
    """A model of inputs of a size, read as from a file."""
    default = ModelConfig().as_json() | {"alignment": None} | changes
    vision, frame = default["vision"] | {"image_size": size}, default["frame"] | {"size": size}
    return model_config_from_json(default | {"vision": vision, "frame": frame})


def test_a_square_is_one_number_however_it_is_given():
    assert (plain_size(518), plain_size([518, 518]), plain_size((96, 64))) == (518, 518, (96, 64))
    assert (rows_and_cols(518), rows_and_cols((96, 64))) == ((518, 518), (96, 64))
    assert (told_size(518), told_size((96, 64))) == ("518", "96 x 64")
    assert FrameConfig(size=(126, 126)) == FrameConfig(size=126)
    assert prepare_sha(FrameConfig(size=(126, 126))) == prepare_sha(FrameConfig(size=126))
    for wrong in ([96], [96, 64, 3]):
        with pytest.raises(ValueError, match=r"is no size: give one number for a square, or two"):
            plain_size(wrong)


def test_a_configuration_of_a_rectangle_survives_json():
    model = model_of([98, 56])
    assert (model.frame.size, model.vision.image_size, model.vision.grid) == ((98, 56), (98, 56), (7, 4))
    assert (model.frame.height, model.frame.width, model.vision.num_patches) == (98, 56, 28)
    assert model_config_from_json(json.loads(json.dumps(model.as_json()))) == model
    assert FrameConfig(**json.loads(json.dumps(asdict(model.frame)))) == model.frame


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"alignment module takes a square of whole patches of 14 px, not 98 x 56: set .* or alignment to none"),
        ({"timm_name": "tf_efficientnet_b0"}, r"takes a square of whole patches of 14 px, not 100:"),
    ],
)
def test_an_alignment_module_refuses_what_is_no_square_of_whole_patches(changes, message):
    size = 100 if changes else (98, 56)
    vision = VisionConfig(image_size=size, **changes)
    with pytest.raises(ValueError, match=message):
        ModelConfig(vision=vision, frame=FrameConfig(size=size))
    assert ModelConfig(vision=vision, frame=FrameConfig(size=size), alignment=None).vision.image_size == size


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ([96, 56], "image_size 96 x 56 is not a multiple of patch_size 14"),
        ([98, 60], "image_size 98 x 60 is not a multiple of patch_size 14"),
        ([98, 10], "size 98 x 10 is smaller than one patch of 14 px"),
    ],
)
def test_both_axes_are_held_to_the_rules(size, message):
    with pytest.raises(ValueError, match=message):
        model_of(size) if "multiple" in message else FrameConfig(size=tuple(size))


def test_two_rectangles_that_differ_are_named():
    with pytest.raises(ValueError, match=r"vision.image_size 98 x 56 is not frame.size 56 x 98"):
        ModelConfig(vision=VisionConfig(image_size=(98, 56)), frame=FrameConfig(size=(56, 98)), alignment=None)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=6), st.floats(0, 96), st.floats(0, 160))
def test_a_way_to_the_rectangle_and_back_ends_within_half_a_pixel(steps: list[np.ndarray], x: float, y: float):
    frame = make_frame(compose(*steps), size=SIZE, rows=4000, cols=3000)
    assert frame_from_json(json.loads(json.dumps(frame.as_json()))) == frame
    np.testing.assert_allclose(frame.to_square(frame.to_pixels([[x, y]])), [[x, y]], atol=0.5)


def test_cells_and_edges_of_a_rectangle_are_counted_along_their_own_axis():
    frame = make_frame(np.eye(3), size=SIZE, rows=200, cols=200)
    np.testing.assert_allclose(cell_polygon(frame, 8, 1, 2), [[24, 20], [36, 20], [36, 40], [24, 40]])
    assert cells_of([[30, 30], [95, 159], [500, 500]], frame, 8).tolist() == [[1, 2], [7, 7], [7, 7]]
    assert inside_square([[95, 159], [96, 100], [90, 160]], frame).tolist() == [True, False, False]
    assert frame.corners.tolist() == [[0, 0], [96, 0], [96, 160], [0, 160]]


@pytest.mark.parametrize("kind", get_args(FrameKind))
def test_grey_values_and_frame_of_a_rectangle_agree_in_both_axes(kind: FrameKind):
    config = FrameConfig(size=SIZE, kind=kind)
    centres = np.array([[30.5, 70.5], [45.5, 80.5], [60.5, 95.5]])
    plain = plain_breast(spacing_mm=0.4)
    sloped = with_pixels(plain, lambda pixels: pixels_by_row(pixels))
    for axis, view in enumerate((plain, sloped)):
        prepared = prepare(view, config)
        assert prepared.pixels.shape == SIZE
        assert (prepared.frame.height, prepared.frame.width) == SIZE
        assert prepared.preparation is not None
        stored = prepared.frame.to_pixels(centres)[:, axis]
        seen = prepared.pixels[centres[:, 1].astype(int), centres[:, 0].astype(int)]
        black, white = prepared.preparation.black, prepared.preparation.white
        grey = black + seen * (white - black)
        np.testing.assert_allclose((grey - 0.3) / (0.002, 0.001)[axis], stored, atol=0.2)


def pixels_by_row(pixels: np.ndarray) -> np.ndarray:
    """The same breast, its grey 0.3 + 0.001 * y."""
    rows = np.arange(len(pixels))[:, None] + 0.5
    return (np.where(pixels > 0, 0.3 + 0.001 * rows, 0) * WHITE).astype(np.uint16)


def test_a_stretched_breast_box_fills_both_axes():
    prepared = prepare(plain_breast(), replace(RECTANGLE, align_mlo=False))
    np.testing.assert_allclose(prepared.frame.to_pixels([[0, 0], [96, 160]]), [[0, 60], [300, 560]], atol=8)


@pytest.mark.parametrize(("size", "longer"), [((160, 60), 1), ((160, 150), 0)])
def test_an_isotropic_rectangle_keeps_shapes_and_the_tighter_axis_is_filled(left: Pair, size, longer):
    prepared = prepare(view_of(left.cc, RECTANGLE), FrameConfig(size=size, kind="isotropic"))
    linear = prepared.frame.to_square_matrix[:2, :2]
    np.testing.assert_allclose(linear @ linear.T, abs(np.linalg.det(linear)) * np.eye(2), atol=1e-9)
    filled = np.flatnonzero(prepared.pixels.any(axis=1 - longer))
    assert filled[0] <= 6
    assert size[longer] - 1 - filled[-1] <= 6


def test_the_golden_files_of_a_rectangle_are_no_difference_to_themselves(tmp_path):
    write_golden(tmp_path / "golden", RECTANGLE)
    assert golden_difference(tmp_path / "golden", RECTANGLE) is None
    assert golden_difference(tmp_path / "golden", replace(RECTANGLE, size=(159, 96))) is not None


def test_the_mean_grid_of_a_rectangle_is_the_mean_of_each_block():
    np.testing.assert_allclose(mean_grid(np.arange(8.0).reshape(4, 2), 2), [[1.0, 2.0], [5.0, 6.0]])


@pytest.mark.parametrize(("stem", "reach"), [("linear", 0), ("conv", 1)])
def test_patches_of_a_rectangle_are_row_major(stem, reach):
    config = VisionConfig(image_size=(98, 56), embed_dim=24, depth=1, num_heads=3, num_registers=1, stem=stem)
    torch.manual_seed(0)
    tower = VisionTower(config).eval()
    assert tower.grid == (7, 4)
    assert tower.vit is not None
    tower.vit.patch_embed.norm = torch.nn.Identity()  # of the conv stem: its statistics are those of the whole image
    dark, bright = torch.zeros(1, tower.in_chans, 98, 56), torch.zeros(1, tower.in_chans, 98, 56)
    bright[:, :, 75, 19] = 1.0  # inside row 5, col 1
    with torch.no_grad():
        change = (tower.vit.patch_embed(bright) - tower.vit.patch_embed(dark)).abs().sum(dim=2)
        assert tower(torch.rand(2, 1, 98, 56)).patches.shape == (2, 28, 24)
    rows, cols = np.nonzero(change.unflatten(1, (7, 4))[0].numpy())
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (5 - reach, 5 + reach, 1 - reach, 1 + reach)


def test_a_named_transformer_takes_a_rectangle_of_whole_patches():
    tower = VisionTower(VisionConfig(image_size=(48, 32), patch_size=16, timm_name="vit_tiny_patch16_224"))
    assert tower(torch.rand(1, 1, 48, 32)).patches.shape == (1, 6, 192)
    with pytest.raises(ValueError, match="image_size 48 x 30 is not a multiple of patch_size 16"):
        VisionTower(VisionConfig(image_size=(48, 30), patch_size=16, timm_name="vit_tiny_patch16_224"))


@pytest.mark.parametrize("size", [(96, 64), (95, 57), (80, 33)])
def test_the_last_cells_of_an_efficientnet_may_reach_beyond_the_image(size):
    config = VisionConfig(image_size=size, patch_size=32, timm_name="tf_efficientnet_b0")
    tower = VisionTower(config).eval()
    with torch.no_grad():
        patches = tower(torch.rand(1, 1, *size)).patches
    assert patches.shape[1] == config.num_patches == -(-size[0] // 32) * -(-size[1] // 32)


def test_a_frame_says_what_it_is_of(left: Pair):
    frame: Frame = prepare(view_of(left.cc, RECTANGLE), RECTANGLE).frame
    assert frame.as_json()["size"] == [160, 96]
