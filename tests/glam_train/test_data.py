import numpy as np
import torch

from glam_train.data import PairBatches, facts_of, pair_indices
from glam_train.vocabulary import report_vocabulary


def batches(cache, config, seed: int = 7) -> PairBatches:
    return PairBatches(
        cache=cache,
        tokenizer=report_vocabulary(cache.records, style="glam"),
        max_tokens=config.model.text.max_tokens,
        wrap_tokens=False,
        text=config.text,
        image=config.image,
        seed=seed,
    )


def test_every_pair_comes_once_an_epoch():
    seen = np.concatenate([pair_indices(step, num_pairs=12, count=4, seed=3) for step in range(6)])
    assert sorted(seen[:12].tolist()) == sorted(seen[12:].tolist()) == list(range(12))
    assert seen[:12].tolist() != seen[12:].tolist()


def test_no_update_holds_a_pair_twice():
    for step in range(20):
        assert len(set(pair_indices(step, num_pairs=10, count=4, seed=3).tolist())) == 4


def test_the_pairs_of_a_step_do_not_depend_on_the_steps_before():
    assert np.array_equal(
        pair_indices(4, num_pairs=10, count=4, seed=3), pair_indices(4, num_pairs=10, count=4, seed=3)
    )
    assert not np.array_equal(
        pair_indices(4, num_pairs=10, count=4, seed=3), pair_indices(4, num_pairs=10, count=4, seed=4)
    )


def test_a_batch_depends_on_the_seed_and_the_step_alone(toy_cache, toy_config):
    first, again = (batches(toy_cache, toy_config).batch(5, 4) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    other = batches(toy_cache, toy_config).batch(6, 4)
    assert not torch.equal(first.cc, other.cc)


def test_a_batch_has_the_shapes_the_model_takes(toy_cache, toy_config):
    batch = batches(toy_cache, toy_config).batch(0, 4)
    assert batch.cc.shape == batch.mlo.shape == (4, 1, 28, 28)
    assert batch.token_ids.shape == batch.mask.shape
    assert batch.mask.sum(1).max() <= toy_config.model.text.max_tokens
    assert batch.cc.min() >= 0
    assert batch.cc.max() <= 1


def test_the_vocabulary_knows_every_word_of_the_class_prompts(toy_cache):
    from glam.report import class_prompts

    tokenizer = report_vocabulary(toy_cache.records, style="glam")
    for task in ("birads", "density", "mass"):
        assert [tokenizer.unknown_words(prompt) for prompt in class_prompts(task)] == [()] * len(class_prompts(task))
    assert tokenizer.unknown_words("a zebra is present") == ("zebra",)


def test_facts_come_back_from_a_record(toy_cache):
    facts = facts_of(toy_cache.records[0])
    assert facts.density == "a"
    assert facts.lesions[0].kind == "mass"
