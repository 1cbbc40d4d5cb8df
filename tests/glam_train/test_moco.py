"""MoCo's queue and its slow copy, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from glam.model.glam import Glam, Scales
from glam_train.config import Views
from glam_train.methods import build_method
from glam_train.methods.moco import MocoFeatures
from glam_train.methods.settings import MocoSettings
from tests.samples.vectors import drawn

SCALES = Scales(*(torch.tensor(10.0) for _ in range(3)))


@pytest.fixture
def config(toy_config):
    plain = replace(toy_config, correspondence_weight=0.0, views=Views(strategy="image"))
    return replace(plain, method=MocoSettings(queue=5), model=replace(toy_config.model, alignment=None))


@pytest.fixture
def model(config) -> Glam:
    torch.manual_seed(2)
    return Glam(config.model)


def keys_of(method, model, count: int, seed: int) -> torch.Tensor:
    """Let an update of so many keys pass, and return them."""
    keys = drawn(count, 16, seed=seed).float()
    method.terms(MocoFeatures(keys, keys, keys), SCALES, 0)
    method.after_update(model)
    return keys


def test_keys_take_the_place_of_the_oldest_ones(config, model):
    method = build_method(config, model)
    begun = method.slow.queue.clone()
    first, second = keys_of(method, model, 3, 1), keys_of(method, model, 3, 2)
    assert torch.equal(method.slow.queue, torch.stack([second[2], first[1], first[2], second[0], second[1]]))
    assert not torch.equal(begun, method.slow.queue)
    many = keys_of(method, model, 7, 3)
    assert {tuple(key) for key in method.slow.queue.tolist()} == {tuple(key) for key in many[-5:].tolist()}


def test_the_queue_begins_as_vectors_of_unit_length_drawn_from_the_seed(config, model):
    queues = []
    for _ in range(2):
        torch.manual_seed(4)
        queues.append(build_method(config, model).slow.queue)
    assert torch.equal(*queues)
    torch.testing.assert_close(queues[0].norm(dim=1), torch.ones(5))


def test_an_update_moves_the_copy_by_a_thousandth_of_the_way(config, model):
    method = build_method(config, model)
    begun = {name: weight.clone() for name, weight in model.vision.named_parameters()}
    with torch.no_grad():
        for weight in (*model.vision.parameters(), *model.image_projection.parameters()):
            weight += 1.0
    method.after_update(model)
    for name, kept in method.slow.vision.named_parameters():
        torch.testing.assert_close(kept, begun[name] + 0.001, rtol=0, atol=1e-6)
    method.after_update(model)
    for name, kept in method.slow.vision.named_parameters():
        torch.testing.assert_close(kept, begun[name] + 1 - 0.999**2, rtol=0, atol=1e-6)
    moved = method.slow.projection.weight - model.image_projection.weight
    torch.testing.assert_close(moved, torch.full_like(moved, -(0.999**2)), rtol=0, atol=1e-6)


def test_the_copy_is_not_trained_and_neither_changes_the_model_nor_is_changed_by_it(config, model):
    method = build_method(config, model)
    trained = [name for name, parameter in method.named_parameters() if parameter.requires_grad]
    assert trained == []
    before = method.slow.vision.vit.norm.weight.clone()
    with torch.no_grad():
        model.vision.vit.norm.weight += 1
    assert torch.equal(method.slow.vision.vit.norm.weight, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negatives": "micro_batch"}, "moco takes the keys of a whole update into its queue: set negatives to update"),
        ({"precision": "bf16-true"}, "slow copy would not move in bf16, which rounds its steps away: set bf16-mixed"),
    ],
)
def test_settings_under_which_the_queue_or_the_copy_would_be_wrong_are_refused(config, model, change, message):
    with pytest.raises(ValueError, match=message):
        build_method(replace(config, **change), model)
