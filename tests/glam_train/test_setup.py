"""Device, model and optimizer of a run."""

from dataclasses import replace

import pytest

from glam_train.pretraining.errors import RunError
from glam_train.pretraining.setup import make_optimizer, starting_model, usable_device


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(RunError, match=r"device toaster cannot be used: .*give another --device, such as cpu"):
        usable_device("toaster")


def test_vectors_and_scalars_are_not_decayed_unless_asked(toy_config):
    model = starting_model(toy_config, None)
    decayed, kept = make_optimizer(model, toy_config).param_groups
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert any(parameter is model.logit_scale for parameter in kept["params"])
    assert kept["weight_decay"] == 0
    (everything,) = make_optimizer(model, replace(toy_config, decay_all=True)).param_groups
    assert len(everything["params"]) == len(decayed["params"]) + len(kept["params"])
