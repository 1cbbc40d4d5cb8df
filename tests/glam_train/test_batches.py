from dataclasses import replace

import numpy as np
import pytest
import torch

from glam.frame import make_frame
from glam.words.facts import Lesion, ReportFacts
from glam_train.config import ImageAugmentation
from glam_train.data.augment import move_points
from glam_train.data.batches import PairBatches, pair_indices, turned_facts
from glam_train.data.cache import PairCache
from glam_train.data.captions import facts_of
from glam_train.data.vocabulary import report_vocabulary


def batches(
    cache, config, *, flip_rows: float | None = None, place_kinds: tuple[str, ...] = (), count: int = 4
) -> PairBatches:
    tokenizer = report_vocabulary(cache.records, style="glam", places=flip_rows is not None)
    config = replace(config, seed=7, flip_rows=flip_rows or 0.0, batch_size=count, accumulate=1)
    return PairBatches(cache=cache, tokenizer=tokenizer, config=config, place_kinds=place_kinds)


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
    first, again = (batches(toy_cache, toy_config).batch(5, range(4)) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    other = batches(toy_cache, toy_config).batch(6, range(4))
    assert not torch.equal(first.view, other.view)


def test_a_batch_has_the_shapes_the_model_takes(toy_cache, toy_config):
    batch = batches(toy_cache, toy_config).batch(0, range(4))
    assert batch.view.shape == batch.other_view.shape == (4, 1, 28, 28)
    assert batch.token_ids.shape == batch.mask.shape
    assert batch.mask.sum(1).max() <= toy_config.model.text.max_tokens
    assert batch.view.min() >= 0
    assert batch.view.max() <= 1


def test_the_vocabulary_knows_every_word_of_the_class_prompts(toy_cache):
    from glam.words.report import class_prompts

    tokenizer = report_vocabulary(toy_cache.records, style="glam")
    for task in ("birads", "density", "mass"):
        assert [tokenizer.unknown_words(prompt) for prompt in class_prompts(task)] == [()] * len(class_prompts(task))
    assert tokenizer.unknown_words("a zebra is present") == ("zebra",)


def test_facts_come_back_from_a_record(toy_cache):
    facts = facts_of(toy_cache.records[0])
    assert facts.density == "a"
    assert facts.lesions[0].kind == "mass"


def dot_cache(side: int = 56) -> PairCache:
    """Eight pairs; each view is black but for one bright dot, at the finding that the record names in stored pixels."""
    rng = np.random.default_rng(0)
    frame = make_frame(np.array([[0.5, 0, 3], [0, 0.5, -2], [0, 0, 1]]), size=side, rows=200, cols=200)
    at = 20 + 16 * rng.random((8, 2, 2))  # (pair, view, x and y) in the square
    centres = np.arange(side) + 0.5
    down, across = centres - at[..., 1:], centres - at[..., :1]  # (pair, view, side)
    dots = np.exp(-(down[..., None] ** 2 + across[..., None, :] ** 2) / 4)
    records = [
        {
            "pair_id": str(pair),
            "patient_id": str(pair),
            "frames": {view: frame.as_json() for view in ("cc", "mlo")},
            "points": {"lesion": {v: frame.to_pixels(at[pair, [i]]).tolist() for i, v in enumerate(("cc", "mlo"))}},
            "facts": {"birads": 0, "lesions": [{"kind": "mass", "location": "upper outer"}]},
        }
        for pair in range(8)
    ]
    return PairCache(None, {}, records, [(dots * 65535).astype(np.uint16)], np.array([0]))


@pytest.mark.parametrize("flip_rows", [0.0, 0.5, 1.0])
def test_the_place_of_a_finding_goes_where_its_image_goes(flip_rows, toy_config):
    still = ImageAugmentation(rotate_deg=15, shift=0.1, scale=0.1, gamma=0, noise=0)
    stream = batches(
        dot_cache(), replace(toy_config, image=still), flip_rows=flip_rows, place_kinds=("lesion",), count=8
    )
    batch = stream.batch(3, range(8))
    assert batch.place_kinds.tolist() == [[1]] * 8
    centres = (torch.arange(56) + 0.5) / 56
    for view, images in enumerate((batch.view, batch.other_view)):
        weights = images[:, 0] / images.sum((1, 2, 3))[:, None, None]
        found = torch.stack([(weights.sum(1) * centres).sum(1), (weights.sum(2) * centres).sum(1)], dim=1)
        torch.testing.assert_close(batch.points[:, 0, view], found, rtol=0, atol=0.003)  # a sixth of a pixel


def test_views_are_turned_over_as_often_as_asked_each_on_its_own_and_the_words_with_them(toy_config):
    no_motion = ImageAugmentation(rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)
    cache = dot_cache()
    stream = batches(cache, replace(toy_config, image=no_motion), flip_rows=0.5, place_kinds=("lesion",), count=8)
    words = {(False, False): "upper outer", (True, False): "upper inner", (False, True): "lower outer",
             (True, True): "lower inner"}  # fmt: skip
    seen = []
    for step in range(40):
        batch, order = stream.batch(step, range(8)), pair_indices(step, num_pairs=8, count=8, seed=7)
        for place, pair in enumerate(order):
            upright = torch.from_numpy(cache.squares(int(pair)).astype(np.float32) / 65535)
            views = (batch.view[place, 0], batch.other_view[place, 0])
            turned = tuple(not torch.allclose(view, upright[index], atol=1e-3) for index, view in enumerate(views))
            text = stream.tokenizer.backend.decode(batch.token_ids[place].tolist())
            assert f"in the {words[turned]} quadrant" in text
            seen.append(turned)
    shares = np.mean(seen, axis=0)
    assert np.abs(shares - 0.5).max() < 0.1
    assert 0.15 < np.mean([cc and mlo for cc, mlo in seen]) < 0.35


def test_turning_rows_leaves_the_other_draws_alone(toy_cache, toy_config):
    plain, turned = (batches(toy_cache, toy_config, flip_rows=p).batch(2, range(4)) for p in (0.0, 1.0))
    assert torch.equal(plain.token_ids, turned.token_ids)  # these reports name no place
    flipped_back = move_points(torch.tensor([[[0.5, 0.25]]]), torch.tensor([[[1.0, 0, 0], [0, -1.0, 0]]]))
    assert flipped_back.tolist() == [[[0.5, 0.75]]]
    assert not torch.equal(plain.view, turned.view)


def test_words_of_place_turn_and_the_rest_of_a_report_stays():
    mass = Lesion(kind="mass", shape="oval", depth="middle", location="lower inner", size_mm=9)
    facts = ReportFacts(density="b", birads=0, laterality="L", view="CC", lesions=(mass, replace(mass, location="")))
    turned = turned_facts(facts, cc=True, mlo=False)
    expected = (replace(mass, location="lower outer"), replace(mass, location=""))
    assert turned == replace(facts, lesions=expected)
    assert turned_facts(facts, cc=False, mlo=False) == facts


def test_tissue_points_are_drawn_anew_each_update_and_padding_is_no_place(toy_places, toy_config):
    stream = batches(toy_places, toy_config, place_kinds=("lesion", "tissue"), count=12)
    first, second = stream.batch(0, range(12)), stream.batch(1, range(12))
    assert first.points.shape == (12, 13, 2, 2)
    assert [(first.place_kinds == kind).sum().item() for kind in (0, 1, 2)] == [8, 4, 144]
    assert sorted(first.place_kinds[:, 0].tolist()) == [1] * 4 + [2] * 8
    assert not torch.equal(first.points, second.points)
    assert batches(toy_places, toy_config, count=12).batch(0, range(12)).points.shape == (12, 0, 2, 2)
