"""MGCA's three losses against loops in float64, and how much a patch or a word counts against the towers' own maps."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from glam.config import VisionConfig
from glam.model.glam import Glam, Scales
from glam.model.vision import VisionTower
from glam_train.config import Views
from glam_train.methods import build_method
from glam_train.methods.mgca import (
    MgcaFeatures,
    TokenAttention,
    Tokens,
    assigned,
    prototype_loss,
    token_contrast,
)
from glam_train.methods.settings import MgcaSettings
from glam_train.methods.token_shares import (
    caught_input,
    last_patch_layer,
    last_word_layer,
    patch_shares,
    the_input,
    word_shares,
)
from tests.samples.vectors import drawn, nll, one_way

SMALL = MgcaSettings(num_prototypes=7, token_dim=8, hidden_dim=16, frozen_steps=3)
SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


@pytest.fixture
def method(toy_config):
    return mgca(toy_config, SMALL)[1].double()


def mgca(toy_config, settings, **model):
    plain = replace(toy_config, correspondence_weight=0.0, views=Views(strategy="image"))
    config = replace(plain, method=settings, model=replace(toy_config.model, alignment=None, **model))
    torch.manual_seed(5)
    model = Glam(config.model)
    return model, build_method(config, model)


def tokens(count: int, kept: list[int], seed: int) -> Tokens:
    """Two sets of tokens, of which the first `kept` are no padding, with shares drawn at random."""
    is_token = torch.tensor([[place < number for place in range(count)] for number in kept])
    shares = drawn(2, count, seed=seed + 50, unit=False).abs() * is_token
    return Tokens(drawn(2, count, 8, seed=seed), shares / shares.sum(dim=1, keepdim=True), is_token)


def test_a_token_finds_its_own_among_the_tokens_of_its_text_both_ways():
    words, found = tokens(5, [5, 3], 1), drawn(2, 5, 8, seed=2)
    losses = token_contrast(words, found, 0.1)
    for text, kept in enumerate([5, 3]):
        expected = 0.0
        for place in range(kept):
            forth = [float(words.vectors[text, place] @ found[text, other]) / 0.1 for other in range(kept)]
            back = [float(words.vectors[text, other] @ found[text, place]) / 0.1 for other in range(kept)]
            expected += float(words.shares[text, place]) * (nll(forth, place) + nll(back, place)) / 2
        assert float(losses[text]) == pytest.approx(expected, rel=1e-12)


def test_padding_costs_nothing_and_has_a_gradient_of_zero():
    words, found = tokens(5, [5, 3], 1), drawn(2, 5, 8, seed=2)
    found.requires_grad_()
    token_contrast(words, found, 0.1).sum().backward()
    assert found.grad is not None
    assert torch.isfinite(found.grad).all()
    assert found.grad[1, 3:].abs().max() == 0
    assert found.grad[1, :3].abs().max() > 0


def test_attention_to_the_other_modality_sums_to_one_and_passes_by_padding():
    torch.manual_seed(0)
    attention = TokenAttention(8).double().requires_grad_(False)
    patches, words = tokens(4, [4, 4], 3), tokens(5, [5, 3], 1)
    found, weights = attention(patches, words)
    assert weights.shape == (2, 4, 5)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 4, dtype=torch.float64))
    assert weights[1, :, 3:].abs().max() == 0
    for image in range(2):
        for place in range(4):
            query = attention.query(patches.vectors[image, place])
            kept = range(5 if image == 0 else 3)
            logits = [float(query @ attention.key(words.vectors[image, word])) / math.sqrt(8) for word in kept]
            shares = [math.exp(-nll(logits, index)) for index in range(len(logits))]
            value = sum(
                share * attention.value(words.vectors[image, word]) for share, word in zip(shares, kept, strict=True)
            )
            torch.testing.assert_close(found[image, place], F.normalize(attention.out(value), dim=0))


def test_sinkhorn_gives_rows_of_one_and_columns_of_the_same():
    scores = drawn(12, 7, seed=4, unit=False)
    found = assigned(scores, epsilon=0.5, iterations=200)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(found.sum(dim=0), torch.full((7,), 12 / 7, dtype=torch.float64))
    few = assigned(scores, epsilon=0.5, iterations=3)
    torch.testing.assert_close(few.sum(dim=1), torch.ones(12, dtype=torch.float64))
    plain = (scores / 0.5).exp()
    for _ in range(3):
        for column in range(7):
            plain[:, column] /= plain[:, column].sum()
        for row in range(12):
            plain[row] /= plain[row].sum()
    torch.testing.assert_close(few, plain, rtol=1e-10, atol=0)


def test_an_image_predicts_the_assignment_of_its_report_and_back():
    image, text, prototypes = drawn(6, 8), drawn(6, 8, seed=1), drawn(7, 8, seed=2)
    expected = 0.0
    for seen, told in ((image, text), (text, image)):
        target = assigned(told @ prototypes.mT, epsilon=0.05, iterations=3)
        for row in range(6):
            scores = [float(seen[row] @ prototype) / 0.2 for prototype in prototypes]
            expected += sum(float(target[row, k]) * nll(scores, k) for k in range(7)) / (2 * 6)
    assert float(prototype_loss(image, text, prototypes, SMALL)) == pytest.approx(expected, rel=1e-10)


def test_the_total_weighs_the_three_losses(method):
    features = MgcaFeatures(drawn(6, 16), drawn(6, 16, seed=1), torch.arange(6.0, dtype=torch.float64))
    with torch.no_grad():
        found = method.terms(features, SCALES, 3)
    image, text = features.image, features.text
    image_text = (one_way(image, text, 1 / 0.07) + one_way(text, image, 1 / 0.07)) / 2
    assert float(found["image_text"]) == pytest.approx(image_text, rel=1e-12)
    assert float(found["tokens"]) == 2.5
    expected = image_text + 0.7 * 2.5 + 0.5 * float(found["prototypes"])
    assert float(found["total"]) == pytest.approx(expected, rel=1e-12)


def test_the_prototypes_stay_for_the_first_epoch(method):
    features = MgcaFeatures(drawn(6, 16), drawn(6, 16, seed=1), torch.zeros(6, dtype=torch.float64))
    assert not method.terms(features, SCALES, 2)["total"].requires_grad
    method.terms(features, SCALES, 3)["total"].backward()
    assert method.prototypes.grad.abs().max() > 0


@pytest.mark.parametrize("vision", [{}, {"timm_name": "deit_tiny_patch16_224", "image_size": 224, "patch_size": 16}])
def test_the_shares_of_patches_are_the_attention_of_cls_in_the_last_layer(vision, toy_config):
    """Against the map that timm's attention computes where it is not fused."""
    torch.manual_seed(0)
    tower = VisionTower(VisionConfig(**vision) if vision else toy_config.model.vision).eval()
    layer, maps = last_patch_layer(tower), []
    layer.fused_attn = False
    layer.attn_drop.register_forward_hook(lambda module, inputs, output: maps.append(output))
    side = tower.grid[0] * (16 if vision else 14)
    with torch.no_grad(), caught_input(layer) as caught:
        patches = tower(torch.rand(2, 1, side, side)).patches
    shares = patch_shares(layer, the_input(caught), num_patches=patches.shape[1])
    row = maps[-1].mean(dim=1)[:, 0, -patches.shape[1] :]
    torch.testing.assert_close(shares, row / row.sum(dim=1, keepdim=True))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))


def test_the_shares_of_words_are_the_attention_of_cls_in_the_last_layer(toy_config):
    """Against the maps that transformers gives away."""
    model, method = mgca(toy_config, SMALL)
    model.eval()
    ids = torch.randint(5, 200, (2, 9))
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
    with torch.no_grad():
        given = model.text.bert(
            input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids), output_attentions=True
        )
        row = given.attentions[-1].mean(dim=1)[:, 0] * mask
        row[:, 0] = 0
        _, words = method.read(model, ids, mask)
    torch.testing.assert_close(words.shares, row / row.sum(dim=1, keepdim=True))
    assert words.is_token.tolist() == [[False] + [True] * 8, [False] + [True] * 5 + [False] * 3]
    layer = last_word_layer(model.text)
    assert word_shares(layer, torch.rand(2, 9, 32), words.is_token)[1, 6:].tolist() == [0, 0, 0]


def test_even_shares_are_the_same_for_every_token(toy_config):
    model, method = mgca(toy_config, replace(SMALL, token_shares="even"))
    _, words = method.read(model, torch.randint(5, 200, (1, 5)), torch.tensor([[1, 1, 1, 0, 0]]))
    assert words.shares.tolist() == [[0, 0.5, 0.5, 0, 0]]
    _, patches = method.seen(model, torch.rand(1, 1, 28, 28))
    assert patches.shares.tolist() == [[0.25] * 4]


def test_towers_without_a_cls_attention_are_refused_with_the_way_out():
    for layer_of in (last_patch_layer, last_word_layer):
        with pytest.raises(ValueError, match="set token_shares even"):
            layer_of(object())
    with pytest.raises(ValueError, match="was not seen: do not compile it, or set token_shares even"):
        the_input([])
