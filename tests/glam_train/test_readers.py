"""Threads that make the next updates while one is trained on."""

from dataclasses import replace

import pytest
import torch

from glam_train.data.batches import PairBatches
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.loop import LoopOptions


@pytest.mark.parametrize("readers", [2, 3, 9])
def test_several_readers_give_the_updates_of_one_in_their_order(toy_cache, toy_config, readers):
    words = report_vocabulary(toy_cache.records, style="glam")
    stream = PairBatches(cache=toy_cache, tokenizer=words, config=toy_config)
    expected, found = list(stream.updates(1)), list(stream.updates(1, readers=readers))
    assert [step for step, _ in found] == [step for step, _ in expected] == list(range(1, toy_config.steps))
    for (_, passes), (_, wanted) in zip(found, expected, strict=True):
        assert len(tensors(passes)) == len(tensors(wanted))
        assert all(map(torch.equal, tensors(passes), tensors(wanted)))


def tensors(passes):
    return [tensor for part in passes for tensor in part]


def test_no_more_updates_are_made_ahead_than_there_are_readers(toy_cache, toy_config, monkeypatch):
    made = []
    monkeypatch.setattr(PairBatches, "update", lambda self, step: made.append(step))
    words = report_vocabulary(toy_cache.records, style="glam")
    stream = PairBatches(cache=toy_cache, tokenizer=words, config=replace(toy_config, steps=100)).updates(0, readers=3)
    assert [next(stream)[0] for _ in range(2)] == [0, 1]
    stream.close()
    assert sorted(made) == [0, 1, 2, 3, 4]


def test_readers_are_1_or_more():
    with pytest.raises(ValueError, match="readers is 0: give 1 or more"):
        LoopOptions(readers=0)
