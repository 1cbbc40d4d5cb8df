from typing import get_args, get_type_hints

import pytest
import torch

from glam.config import TextConfig
from glam.model.text import (
    POOLINGS,
    TextFeatures,
    TextTower,
    first_padding,
    first_token,
    mean_of_tokens,
    text_pooling,
)


def small_tower(**changes) -> TextTower:
    sizes = {"vocab_size": 30, "hidden_dim": 16, "depth": 2, "num_heads": 2, "ffn_dim": 20, "max_positions": 12}
    torch.manual_seed(0)
    tower = TextTower(TextConfig(**(sizes | {"max_tokens": 12} | changes))).eval()
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return tower


IDS = torch.tensor([[2, 7, 8, 9, 3, 0, 0], [2, 9, 8, 7, 11, 12, 3]])
MASK = (IDS != 0).long()


@torch.no_grad()
def test_padding_changes_nothing():
    tower = small_tower()
    padded = tower(IDS, MASK).tokens[0, :5]
    alone = tower(IDS[:1, :5], MASK[:1, :5]).tokens[0]
    assert torch.allclose(padded, alone, atol=1e-5)


@torch.no_grad()
def test_proper_positions_tell_the_order_of_words_and_official_zero_does_not():
    shuffled = IDS[1:, [0, 3, 2, 1, 4, 5, 6]]
    for position_ids, differs in (("proper", True), ("official_zero", False)):
        tower = small_tower(position_ids=position_ids)
        first, second = tower(IDS[1:], MASK[1:]).tokens[:, 0], tower(shuffled, MASK[1:]).tokens[:, 0]
        assert ((first - second).abs().max() > 0.01) == differs
        if not differs:
            assert torch.allclose(first, second, atol=1e-5)


def test_first_token_is_the_state_of_cls():
    features = TextFeatures(tokens=torch.rand(2, 3, 4), mask=torch.ones(2, 3))
    assert torch.equal(first_token(features), features.tokens[:, 0])


def test_mean_is_over_the_tokens_that_are_no_padding():
    tokens = torch.tensor([[[1.0], [3.0], [99.0]], [[1.0], [2.0], [6.0]]])
    features = TextFeatures(tokens=tokens, mask=torch.tensor([[1, 1, 0], [1, 1, 1]]))
    assert mean_of_tokens(features).tolist() == [[2.0], [3.0]]


def test_padding_is_the_state_after_the_text_and_of_a_text_that_fills_its_room_the_first():
    features = TextFeatures(tokens=torch.arange(8.0).reshape(2, 4, 1), mask=torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]]))
    assert first_padding(features).tolist() == [[2.0], [7.0]]
    assert first_padding(features, max_tokens=3).tolist() == [[2.0], [4.0]]


@torch.no_grad()
def test_a_text_that_no_padding_follows_is_given_one_to_be_embedded_by():
    tower = small_tower(pool="padding", pad_id=5, max_tokens=8)
    features = tower(IDS, MASK)
    assert features.tokens.shape[1] == features.mask.shape[1] == 8
    bert = tower.bert(torch.nn.functional.pad(IDS[1:], (0, 1), value=5), torch.nn.functional.pad(MASK[1:], (0, 1)))
    pooled = text_pooling(TextConfig(pool="padding", max_tokens=8))(features)
    assert torch.allclose(pooled[1], bert.last_hidden_state[0, 7], atol=1e-5)
    assert not features.mask[:, 7].any()


def test_a_text_without_a_position_for_the_padding_after_it_is_refused():
    with pytest.raises(ValueError, match="max_tokens 512 leaves no position for the padding"):
        TextConfig(pool="padding", max_tokens=512)


def test_every_pooling_of_the_config_exists():
    assert set(POOLINGS) == set(get_args(get_type_hints(TextConfig)["pool"]))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_in_training_only(dropout):
    tower = small_tower(dropout=dropout)
    with torch.no_grad():
        assert torch.equal(tower(IDS, MASK).tokens, tower(IDS, MASK).tokens)
        tower.train()
        assert torch.equal(tower(IDS, MASK).tokens, tower(IDS, MASK).tokens) == (dropout == 0)
