"""The benchmark of a training step: its ways do the same work, and a way that does other work is refused."""

import pytest
import torch

from bench.train_step import WAYS, compared, in_own_process, random_batch, whole_loss
from bench.train_step import model_of as built
from glam.config import tiny


@pytest.fixture(autouse=True)
def _no_anomaly_detection_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.autograd.set_detect_anomaly(False)
    torch.set_num_threads(threads)


def test_every_way_gives_the_same_loss_and_the_same_gradient():
    losses, gradients = [], []
    for way in WAYS:
        model = built(way, tiny())
        loss = whole_loss(model, random_batch(tiny()))()
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.vision.vit.blocks[0].attn.qkv.weight.grad)
    assert losses == pytest.approx([losses[0]] * len(WAYS), rel=1e-5)
    for gradient in gradients[1:]:
        assert torch.linalg.norm(gradient - gradients[0]) <= 1e-3 * torch.linalg.norm(gradients[0])


def test_a_step_has_a_time_and_a_peak():
    figures = in_own_process("ours", "vision", quick=True)
    assert figures["cpu_s"] > 0
    assert figures["peak_gib"] > 0


def test_a_way_that_does_other_work_is_refused():
    same = {"loss": 1.0, "cpu_s": 2.0, "peak_gib": 4.0}
    figures = dict.fromkeys(WAYS, same)
    assert compared(figures)["times_cheaper"] == 1.0
    with pytest.raises(SystemExit, match="ours does other work"):
        compared(figures | {"ours": same | {"loss": 1.1}})
