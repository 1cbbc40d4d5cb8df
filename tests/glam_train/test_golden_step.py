"""One step of our optimizer is one step of torch's AdamW, from the released GLAM's weights and gradients.

At a rate of 1e-3, betas of 0.9 and 0.999 and a weight decay of 0.2 on everything, as the released code's.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glam.model.checkpoint import HEADS
from glam_train.methods import build_method
from glam_train.methods.method import Learner
from glam_train.official import _our_name, import_official
from glam_train.presets import preset
from glam_train.pretraining.setup import make_optimizer

GOLDEN = Path(__file__).parents[1] / "golden"
RATE, DECAY = 1e-3, 0.2
Weights = dict[str, torch.Tensor]


def torchs(learner: Learner) -> torch.optim.Optimizer:
    return torch.optim.AdamW(learner.parameters(), lr=RATE, betas=(0.9, 0.999), weight_decay=DECAY)


def ours(learner: Learner) -> torch.optim.Optimizer:
    config = preset("glam-official")
    assert (config.weight_decay, config.decay_all, config.optimizer) == (DECAY, True, "adamw")
    return make_optimizer(learner, replace(config, learning_rate=RATE))


def gradients() -> Weights:
    with np.load(GOLDEN / "golden.npz") as golden:
        names = [name for name in golden.files if name.startswith("grad.")]
        return {_our_name(name.removeprefix("grad.")): torch.from_numpy(golden[name]) for name in names}


def stepped(optimizer: Callable[[Learner], torch.optim.Optimizer]) -> tuple[Weights, Weights]:
    """The released weights, and what one step of an optimizer makes of them with those gradients that are kept."""
    imported = import_official(GOLDEN / "official.ckpt", tokenizer=GOLDEN / "vocab.txt", vision_heads=6, text_heads=4)
    config = replace(preset("glam-official"), model=imported.model.config)
    learner = Learner(imported.model, build_method(config, imported.model))
    learner.load_heads(imported.heads)
    parameters = dict(learner.model.named_parameters())
    parameters |= {HEADS + name: parameter for name, parameter in learner.method.named_parameters()}
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    for name, gradient in gradients().items():
        parameters[name].grad = gradient.reshape(parameters[name].shape)
    optimizer(learner).step()
    return before, {name: parameter.detach() for name, parameter in parameters.items()}


@pytest.fixture(scope="module")
def step() -> tuple[Weights, Weights]:
    """The released weights before and after our step."""
    return stepped(ours)


def test_our_step_is_torchs_for_every_parameter(step):
    for name, expected in stepped(torchs)[1].items():
        torch.testing.assert_close(step[1][name], expected, rtol=1e-5, atol=1e-8)


def test_the_first_step_is_the_decay_and_the_rate_along_the_sign_of_the_gradient(step):
    before, after = step
    with_gradient = gradients()
    assert len(with_gradient) > 70
    for name, gradient in with_gradient.items():
        old = before[name].double()
        expected = old * (1 - RATE * DECAY) - RATE * gradient.double() / (gradient.double().abs() + 1e-8)
        torch.testing.assert_close(after[name].double(), expected, rtol=1e-5, atol=1e-7)


def test_what_has_no_gradient_stays(step):
    before, after = step
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - gradients().keys())
