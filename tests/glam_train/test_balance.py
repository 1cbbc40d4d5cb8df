"""Updates that draw classes alike often: shares, no repeats, and the same whatever stopped."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from glam_train.config import Views
from glam_train.data.balance import balanced_indices, check_balance, even_quotas, labels_of, members_of
from glam_train.data.batches import PairBatches
from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.announcement import announcement
from glam_train.pretraining.run_folder import start_run

RECORDS = [
    {"pair_id": str(index), "facts": {"birads": birads, "density": "b" if index % 2 else ""}, "labels": {"cancer": 0}}
    for index, birads in enumerate([1] * 40 + [2] * 8 + [0] * 3 + [None] * 9)
]


def members(views: int = 1) -> list[np.ndarray]:
    return members_of(RECORDS, "birads", views=views)


def test_members_are_the_indices_of_each_class_without_what_has_no_label():
    assert [own.tolist() for own in members()] == [[48, 49, 50], list(range(40)), list(range(40, 48))]
    assert members(2)[0].tolist() == [96, 97, 98, 99, 100, 101]
    assert labels_of(RECORDS, "density")[:2] == [None, "b"]
    assert labels_of(RECORDS, "cancer") == [0] * 60
    assert labels_of([{"facts": {}}], "cancer") == [None]


def test_an_update_holds_each_class_alike_often_and_no_index_twice():
    of_class = {int(index): name for name, own in enumerate(members()) for index in own}
    for step in range(50):
        drawn = balanced_indices(step, members(), count=9, seed=4)
        assert len(set(drawn.tolist())) == 9
        assert Counter(of_class[int(index)] for index in drawn) == {0: 3, 1: 3, 2: 3}


def test_a_class_that_is_too_small_gives_all_and_the_others_share_the_rest():
    drawn = balanced_indices(0, members(), count=21, seed=4)
    assert {48, 49, 50} <= set(drawn.tolist())
    rng = np.random.default_rng(0)
    assert even_quotas([3, 40, 8], 21, rng) == [3, 10, 8]
    assert even_quotas([3, 40, 8], 51, rng) == [3, 40, 8]
    assert sorted(even_quotas([10, 10, 10], 11, rng)) == [3, 4, 4]


def test_who_gets_one_more_and_which_members_come_is_drawn_evenly():
    of_class = {int(index): name for name, own in enumerate(members()) for index in own}
    drawn = np.concatenate([balanced_indices(step, members(), count=4, seed=1) for step in range(1500)])
    shares = np.bincount([of_class[int(index)] for index in drawn]) / len(drawn)
    assert np.abs(shares - 1 / 3).max() < 0.02
    large = np.bincount([index for index in drawn if index < 40], minlength=40)
    assert large.min() > 0.5 * large.mean()


def test_what_an_update_draws_depends_on_seed_and_step_alone():
    first, again, other, later = (
        balanced_indices(step, members(), count=9, seed=seed).tolist()
        for step, seed in ((5, 1), (5, 1), (5, 2), (6, 1))
    )
    assert first == again
    assert first not in (other, later)


@pytest.mark.parametrize("strategy", ["breast", "image"])
def test_a_stream_that_is_resumed_or_cut_shows_what_a_whole_one_does(toy_cache, toy_config, strategy):
    config = replace(toy_config, balance="birads", batch_size=2, accumulate=2, views=Views(strategy=strategy))
    words = report_vocabulary(toy_cache.records, style="glam")
    stream = PairBatches(cache=toy_cache, tokenizer=words, config=config)
    whole = dict(stream.updates(0))
    resumed = dict(PairBatches(cache=toy_cache, tokenizer=words, config=config).updates(3))
    assert resumed.keys() == {3, 4, 5}
    for step, passes in resumed.items():
        for one, other in zip(passes, whole[step], strict=True):
            assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))
    labels = [toy_cache.records[item.pair]["facts"]["birads"] for step in range(6) for item in stream.shown(step)]
    assert Counter(labels) == {0: 12, 1: 12}  # of 4 and 8 in the cache


def test_the_classes_are_told_and_a_label_that_cannot_balance_is_refused(toy_config, capsys):
    config = replace(toy_config, balance="birads")
    check_balance(RECORDS, config)
    assert capsys.readouterr().err == (
        "updates draw alike often from the classes of birads (0: 3, 1: 40, 2: 8); 9 without it are left out\n"
    )
    with pytest.raises(ValueError, match="1 classes of cancer: give --balance a label that has 2 or more"):
        check_balance(RECORDS, replace(toy_config, balance="cancer"))
    with pytest.raises(ValueError, match="51 records of the cache have a birads, an update takes 60: give a smaller"):
        check_balance(RECORDS, replace(config, batch_size=60, accumulate=1))
    check_balance(RECORDS, replace(toy_config, balance=None))
    assert capsys.readouterr().err == ""


def test_a_balanced_run_does_not_say_that_every_pair_comes_as_often(tmp_path, toy_cache, toy_config):
    words = report_vocabulary(toy_cache.records, style="glam")
    for balance, told in ((None, "6 updates of 12 pairs (2 times each)"), ("density", "(balanced by density)")):
        folder = tmp_path / str(balance)
        start_run(folder, replace(toy_config, balance=balance), data=describe_cache(toy_cache), tokenizer=words)
        assert told in announcement(folder, num_pairs=12)
