"""Settings that no run can have, and what their refusal says."""

from dataclasses import replace

import pytest

from glam_train.config import MAX_SEED, ImageAugmentation, PretrainConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"correspondence_weight": -1.0}, "correspondence_weight is -1.0: give a number from 0 up"),
        ({"tissue_weight": float("nan")}, "tissue_weight is nan: give a number from 0 up"),
        ({"learning_rate": float("inf")}, "learning_rate is inf: give a number from 0 up"),
        ({"flip_rows": 1.5}, "flip_rows is 1.5: give a chance from 0 to 1"),
        ({"steps": 0, "warmup_steps": 0}, "steps is 0: give 1 or more"),
        ({"batch_size": 0}, "batch_size is 0: give 1 or more"),
        ({"seed": -1}, f"seed is -1: give a whole number from 0 to {MAX_SEED}"),
        ({"seed": MAX_SEED + 1}, "seed is 4294967296"),
        ({"batch_size": 1, "accumulate": 1}, "no negatives: raise batch_size or accumulate to 2 or more"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0: give a number from 0 up"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0: give a number above 0"),
        ({"steps": 10}, "warmup_steps 4000 is not below steps 10"),
        ({"min_learning_rate": 1e-3}, "min_learning_rate 0.001 is above learning_rate 4e-05"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_refused_with_value_rule_and_way_out(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PretrainConfig(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotate_deg": -1.0}, "rotate_deg is -1.0: give a number from 0 up"),
        ({"noise": -1.0}, "noise is -1.0: give a number from 0 up"),
        ({"scale": 3.0}, "scale is 3.0: give a share from 0 to below 1"),
        ({"blur": 1.5}, "blur is 1.5: give a chance from 0 to 1"),
    ],
)
def test_a_change_of_images_that_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ImageAugmentation(**changes)


def test_the_largest_seed_can_seed_every_update():
    import torch

    config = replace(PretrainConfig(), seed=MAX_SEED)
    of_update = config.seed * 1_000_003 + config.steps
    of_pass = of_update * 1_009 + config.accumulate
    assert torch.Generator().manual_seed(of_update).initial_seed() == of_update
    assert torch.Generator().manual_seed(of_pass).initial_seed() == of_pass
