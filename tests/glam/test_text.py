from typing import get_args, get_type_hints

import pytest
import torch

from glam.config import TextConfig
from glam.model.text import POOLINGS, TextFeatures, TextTower, first_token, mean_of_tokens


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


def test_every_pooling_of_the_config_exists():
    assert set(POOLINGS) == set(get_args(get_type_hints(TextConfig)["pool"]))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_in_training_only(dropout):
    tower = small_tower(dropout=dropout)
    with torch.no_grad():
        assert torch.equal(tower(IDS, MASK).tokens, tower(IDS, MASK).tokens)
        tower.train()
        assert torch.equal(tower(IDS, MASK).tokens, tower(IDS, MASK).tokens) == (dropout == 0)
