"""The benchmark of training on a GPU, run on the CPU: that it runs, and that it counts what a pass computes."""

import torch

from bench.train_gpu import measure, operations
from bench.train_step import random_batch
from glam_train.presets import PRESETS
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of


def test_the_operations_of_a_pass_grow_with_its_pairs():
    config = PRESETS["tiny"]()
    state = state_of(starting_model(config, None), config, device="cpu")
    few, many = (operations(state, random_batch(config.model, pairs=pairs), config) for pairs in (2, 4))
    assert 1.9 < many / few < 2.1
    assert all(parameter.grad is None for parameter in state.learner.parameters())


def test_a_pass_counts_the_products_of_the_blocks_once_forward_and_twice_backward():
    config = PRESETS["tiny"]()
    vision = config.model.vision
    tokens = (vision.image_size // vision.patch_size) ** 2
    forward = 2 * 2 * 2 * tokens * 12 * vision.embed_dim**2 * vision.depth  # 2 pairs, 2 views, 2 a multiplication
    state = state_of(starting_model(config, None), config, device="cpu")
    assert operations(state, random_batch(config.model, pairs=2), config) > 3 * forward


def test_updates_are_made_on_the_device_that_is_named():
    torch.set_num_threads(2)
    figures = measure(PRESETS["tiny"](), pairs=2, device="cpu", compile=False, checkpointing=True)
    assert figures["images_a_second"] > 0
    assert figures["operations_a_second"] > 0
    assert figures["peak_gib"] is None
