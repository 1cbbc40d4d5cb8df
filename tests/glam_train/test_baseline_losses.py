"""Every baseline's loss against its formula, in float64 and with loops."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from glam.model.glam import Glam, Scales
from glam_train.config import Views
from glam_train.methods import build_method
from glam_train.methods.clip import ImageTextFeatures, clip_loss
from glam_train.methods.mm_mil import MilFeatures
from glam_train.methods.moco import MocoFeatures
from glam_train.methods.momentum_queue import queue_loss
from glam_train.methods.sentences import best_patch_scores, sentence_states
from glam_train.methods.settings import (
    ClipSettings,
    ConvirtSettings,
    MmMilSettings,
    MocoSettings,
    SimclrSettings,
    SlipOfficialSettings,
    SlipSettings,
)
from glam_train.methods.simclr import TwoChanges
from glam_train.methods.slip import SlipFeatures
from tests.samples.vectors import drawn, nll, one_way

N = 5
SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


@pytest.fixture
def method_of(toy_config):
    """The method of some settings on the toy model, in float64."""

    def built(settings, **changes):
        model = replace(toy_config.model, alignment=None)
        config = replace(
            toy_config,
            model=model,
            method=settings,
            views=Views(strategy="image"),
            correspondence_weight=0.0,
            **changes,
        )
        torch.manual_seed(1)
        return build_method(config, Glam(model)).double().requires_grad_(False)

    return built


def clip_by_hand(image, text, scale: float) -> float:
    return (one_way(image, text, scale) + one_way(text, image, scale)) / 2


def simclr_by_hand(first, second, temperature: float) -> float:
    """Each of the 2 n vectors finds its partner among all others."""
    vectors = [*F.normalize(first, dim=-1), *F.normalize(second, dim=-1)]
    costs = []
    for index, anchor in enumerate(vectors):
        others = [other for other in range(len(vectors)) if other != index]
        scores = [float(anchor @ vectors[other]) / temperature for other in others]
        costs.append(nll(scores, others.index((index + len(first)) % len(vectors))))
    return sum(costs) / len(costs)


def batch_norm(values: torch.Tensor) -> torch.Tensor:
    """Normalised over the batch, as a norm does that has learned nothing yet."""
    columns = [
        (column - column.mean()) / math.sqrt(float(column.detach().var(correction=0)) + 1e-5) for column in values.mT
    ]
    return torch.stack(columns, dim=1)


def test_clip_is_half_of_both_directions(method_of):
    image, text = drawn(N, 8), drawn(N, 8, seed=1)
    found = method_of(ClipSettings()).terms(ImageTextFeatures(image, text), SCALES, 0)
    assert float(found["total"]) == pytest.approx(clip_by_hand(image, text, 10.0), rel=1e-12)
    assert found.keys() == {"image_text", "total"}


def test_clip_is_the_loss_of_open_clip():
    """Computed by open_clip_torch 3.3.0: open_clip.loss.ClipLoss()(*golden_vectors(), 1 / 0.07), in float64."""
    image, text = golden_vectors()
    assert float(clip_loss(image, text, 1 / 0.07)) == pytest.approx(OPEN_CLIP, rel=1e-12)


def golden_vectors() -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors (6, 4) without a generator, so that another program can have the same."""
    steps = torch.arange(24, dtype=torch.float64).reshape(6, 4)
    return F.normalize(steps.sin(), dim=-1), F.normalize((1.3 * steps).cos(), dim=-1)


OPEN_CLIP = 12.6107316230507


def test_convirt_weighs_the_directions_at_its_own_temperature(method_of):
    image, text = drawn(N, 8), drawn(N, 8, seed=1)
    features = ImageTextFeatures(image, text)
    for share, temperature in ((0.5, 0.07), (0.75, 0.1)):
        settings = ConvirtSettings(image_share=share, temperature=temperature)
        found = method_of(settings).terms(features, SCALES, 0)
        to_text, to_image = one_way(image, text, 1 / temperature), one_way(text, image, 1 / temperature)
        assert float(found["total"]) == pytest.approx(share * to_text + (1 - share) * to_image, rel=1e-12)
        assert float(found["to_text"]) == pytest.approx(to_text, rel=1e-12)


def slip_features() -> SlipFeatures:
    wide = [drawn(N, 32, seed=seed, unit=False) for seed in (2, 3)]
    return SlipFeatures(drawn(N, 16), drawn(N, 16, seed=1), *wide)


def test_slip_is_clip_and_simclr_behind_two_hidden_layers(method_of):
    method, features = method_of(SlipSettings(hidden_dim=24, out_dim=12, view_weight=0.5)), slip_features()
    head = method.view_head
    projected = []
    for wide in (features.first, features.second):
        hidden = batch_norm(wide @ head.first.weight.mT + head.first.bias).clamp(min=0)
        hidden = batch_norm(hidden @ head.second.weight.mT + head.second.bias).clamp(min=0)
        projected.append(hidden @ head.out.weight.mT + head.out.bias)
    expected = simclr_by_hand(*projected, 0.1)
    found = method.terms(features, SCALES, 0)
    assert float(found["view"]) == pytest.approx(expected, rel=1e-10)
    text = clip_by_hand(features.image, features.text, 10.0)
    assert float(found["total"]) == pytest.approx(text + 0.5 * expected, rel=1e-10)


@pytest.mark.parametrize("settings", [SlipOfficialSettings(), SimclrSettings(out_dim=16)])
def test_the_released_head_has_one_hidden_layer_and_a_norm_behind_it(method_of, settings):
    method, features = method_of(settings), slip_features()
    head, projected = method.view_head, []
    for wide in (features.first, features.second):
        hidden = batch_norm(wide @ head.hidden.weight.mT).clamp(min=0)
        projected.append(batch_norm(hidden @ head.out.weight.mT))
    expected = simclr_by_hand(*projected, 0.5)
    if settings.name == "simclr":
        found, text = method.terms(TwoChanges(features.first, features.second), SCALES, 0), 0.0
    else:
        found, text = method.terms(features, SCALES, 0), 2 * clip_by_hand(features.image, features.text, 10.0)
    assert float(found["view"]) == pytest.approx(expected, rel=1e-10)
    assert float(found["total"]) == pytest.approx(text + expected, rel=1e-10)


def test_a_query_finds_its_key_among_the_queue():
    queries, keys, queue = drawn(N, 8), drawn(N, 8, seed=1), drawn(7, 8, seed=2)
    costs = [
        nll([float(query @ other) / 0.2 for other in (key, *queue)], 0)
        for query, key in zip(queries, keys, strict=True)
    ]
    assert float(queue_loss(queries, keys, queue, 0.2)) == pytest.approx(sum(costs) / N, rel=1e-12)


def test_moco_adds_clip_by_its_weight(method_of):
    features = MocoFeatures(drawn(N, 16), drawn(N, 16, seed=1), drawn(N, 16, seed=2))
    method = method_of(MocoSettings(queue=6, image_text_weight=0.5), batch_size=4)
    view = float(queue_loss(features.image, features.keys, method.slow.queue, 0.07))
    expected = view + 0.5 * clip_by_hand(features.image, features.text, 10.0)
    assert float(method.terms(features, SCALES, 0)["total"]) == pytest.approx(expected, rel=1e-12)
    alone = method_of(MocoSettings(queue=6, image_text_weight=0.0), batch_size=4).terms(features, SCALES, 0)
    assert alone.keys() == {"view", "total"}


def test_mm_mil_takes_the_best_patch_of_a_sentence_and_the_mean_of_sentences(method_of):
    patches, sentences = drawn(N, 6, 8), drawn(N, 3, 8, seed=1)
    counts = [3, 1, 2, 0, 3]
    is_sentence = torch.tensor([[place < count for place in range(3)] for count in counts])
    found = best_patch_scores(sentences, is_sentence, patches).mT
    for image in range(N):
        for report in range(N):
            best = [
                max(float(sentences[report, place] @ patch) for patch in patches[image])
                for place in range(counts[report])
            ]
            assert float(found[image, report]) == pytest.approx(sum(best) / max(1, len(best)), rel=1e-12)
    features = MilFeatures(drawn(N, 8, seed=2), drawn(N, 8, seed=3), patches, sentences, is_sentence)
    terms = method_of(MmMilSettings(), local_weight=0.3).terms(features, SCALES, 0)
    rows = (12.0 * found).tolist()
    columns = (12.0 * found.mT).tolist()
    local = sum(nll(row, index) for lists in (rows, columns) for index, row in enumerate(lists)) / (2 * N)
    assert float(terms["local"]) == pytest.approx(local, rel=1e-12)
    whole = clip_by_hand(features.image, features.text, 10.0)
    assert float(terms["total"]) == pytest.approx(whole + 0.3 * local, rel=1e-12)


def test_the_states_where_sentences_end_are_found_in_their_order():
    states = torch.arange(2 * 5 * 2.0).reshape(2, 5, 2)
    ends = torch.tensor([[False, True, False, True, True], [False, False, True, False, False]])
    found, is_sentence = sentence_states(states, ends)
    assert is_sentence.tolist() == [[True, True, True], [True, False, False]]
    assert torch.equal(found[0], states[0, [1, 3, 4]])
    assert torch.equal(found[1, 0], states[1, 2])
