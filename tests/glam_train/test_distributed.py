"""Several processes train what one trains: on gloo, two processes of this machine."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glam_train.data.cache import describe_cache, read_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.glam_settings import GlamSettings
from glam_train.pretraining.distributed import ALONE, Ranks, joined, padded, ranks_of_environment
from glam_train.pretraining.errors import RunEnded
from glam_train.pretraining.run_folder import checkpoints, start_run
from tests.samples.ranks import ended, start_ranks

pytestmark = pytest.mark.alone


def begun(folder: Path, cache: Path, config) -> Path:
    read = read_cache(cache)
    start_run(folder, config, data=describe_cache(read), tokenizer=report_vocabulary(read.records, style="glam"))
    return folder


def exact(config, **changes):
    """The toy settings without dropout, in fp32."""
    text = replace(config.model.text, dropout=0.0)
    return replace(config, model=replace(config.model, text=text), precision="fp32", **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("negatives", "method"),
    [
        ("update", GlamSettings()),
        ("micro_batch", GlamSettings()),
        ("update", GlamSettings(simclr_weight=1.0, moco_weight=1.0, sentence_weight=1.0, queue=5)),
    ],
)
def test_two_processes_have_the_loss_and_the_gradients_of_one(negatives, method, toy_folder, toy_config, tmp_path):
    config = exact(toy_config, negatives=negatives, method=method, flip_rows=0.5, correspondence_weight=1.0)
    begun(tmp_path, toy_folder, config)
    told = []
    for world in (1, 2):
        ended(start_ranks("gradient", tmp_path, toy_folder, world=world))
        told.append(torch.load(tmp_path / f"gradient-{world}.pt"))
    alone, shared = told
    assert shared["total"] == pytest.approx(alone["total"], rel=1e-9)
    assert shared["gradients"].keys() == alone["gradients"].keys()
    for name, gradient in alone["gradients"].items():
        assert gradient.dtype == torch.float64
        torch.testing.assert_close(shared["gradients"][name], gradient, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_a_run_of_two_processes_ends_as_that_of_one_and_goes_on_to_the_same_bits(toy_folder, toy_config, tmp_path):
    config = exact(toy_config, steps=3)
    runs = {name: begun(tmp_path / name, toy_folder, config) for name in ("one", "two", "stopped")}
    ended(start_ranks("run", runs["one"], toy_folder, world=1))
    ended(start_ranks("run", runs["two"], toy_folder, world=2))
    ended(start_ranks("run", runs["stopped"], toy_folder, world=2, options="stop"))
    assert checkpoints(runs["stopped"])[-1].name == "step-0000001"
    ended(start_ranks("run", runs["stopped"], toy_folder, world=2))
    one, two, stopped = (load_file(checkpoints(run)[-1] / "weights.safetensors") for run in runs.values())
    assert all(torch.equal(two[name], stopped[name]) for name in two)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=2e-5)
    lines = [json.loads(line) for line in (runs["two"] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2]


def test_passes_are_shared_out_in_order_and_evenly():
    assert [list(Ranks(rank=rank, world=2).passes(4)) for rank in (0, 1)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match=r"accumulate 4 passes cannot be shared by 3 processes: give a multiple of 3"):
        Ranks(world=3).passes(4)


def test_alone_nothing_is_sent():
    assert "WORLD_SIZE" not in os.environ
    tensor = torch.arange(3.0)
    assert ALONE.gather(tensor)[0] is tensor
    assert ALONE.agree([True, False]) == [True, False]


def test_pieces_of_several_shapes_are_joined_with_zeros_behind_their_ends():
    first, second = torch.ones(2, 3), torch.full((1, 1), 2.0)
    assert joined([first, second]).tolist() == [[1, 1, 1], [1, 1, 1], [2, 0, 0]]
    assert padded(torch.tensor([True]), [2]).tolist() == [True, False]


def test_processes_are_not_put_on_one_gpu(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(RunEnded, match="2 processes would share cuda:1: give --device cuda"),
        ranks_of_environment("cuda:1"),
    ):
        pass
