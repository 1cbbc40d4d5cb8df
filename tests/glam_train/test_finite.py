"""Loss terms that are no finite number although the gradient is."""

from dataclasses import replace

import pytest
import torch

from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.glam import GlamMethod
from glam_train.pretraining.errors import RunEnded, RunError
from glam_train.pretraining.finite import MIN_SCALE, check_finite, check_scale
from glam_train.pretraining.loop import LoopOptions, pretrain
from glam_train.pretraining.run_folder import checkpoints, start_run


@pytest.fixture
def optimizer():
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    return torch.optim.SGD([weight])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_term_that_is_not_finite_is_named_before_the_update(optimizer, value):
    terms = {"total": torch.tensor(1.0), "local": torch.tensor(value)}
    with pytest.raises(RunError, match=rf"of the loss of update 7, local is {value}: go on with --resume in fp32"):
        check_finite(terms, 7, optimizer)
    assert optimizer.param_groups[0]["params"][0].grad is None


def test_a_run_goes_on_with_finite_terms(optimizer):
    check_finite({"total": torch.tensor(1.0, dtype=torch.float64), "known_findings": torch.tensor(3)}, 0, optimizer)
    assert optimizer.param_groups[0]["params"][0].grad is not None


def test_a_run_ends_in_one_line_and_can_go_on(tmp_path, toy_cache, toy_config, monkeypatch):
    config = replace(toy_config, steps=2)
    words = report_vocabulary(toy_cache.records, style="glam")
    start_run(tmp_path / "run", config, data=describe_cache(toy_cache), tokenizer=words)
    sound = GlamMethod.objective

    def broken(method, features, scales, local_weight):
        return sound(method, features, scales, local_weight) | {"local": torch.tensor(float("inf"))}

    options = LoopOptions(device="cpu", log_every=1)
    monkeypatch.setattr(GlamMethod, "objective", broken)
    with pytest.raises(RunError, match=r"of the loss of update 0, local is inf: .*Saved as .*step-0000000") as stop:
        pretrain(tmp_path / "run", toy_cache, options)
    assert "\n" not in str(stop.value)
    monkeypatch.undo()
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-0000000"]
    assert pretrain(tmp_path / "run", toy_cache, options).name == "step-0000002"


def test_a_run_in_fp16_that_makes_no_update_any_more_ends():
    scaler = torch.amp.GradScaler("cpu", init_scale=2 * MIN_SCALE)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for step in (5, 6):
        check_scale(scaler, step)
        scaler.scale(weight.sum() * float("inf")).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert weight.item() == 1.0
    with pytest.raises(RunEnded, match="no update can be made in fp16 any more, at update 7: go on with --resume"):
        check_scale(scaler, 7)
