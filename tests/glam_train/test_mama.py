"""MaMA's terms, held to loops in float64; its sentences; and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from glam.model.glam import Glam, Scales
from glam_train.config import Views
from glam_train.data.batches import PairBatches, sentence_ends
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.mama import MamaFeatures
from glam_train.methods.mama_settings import MamaSettings
from glam_train.methods.sentences import sentence_loss, sentence_scores, sentence_states
from glam_train.presets import preset
from glam_train.pretraining.gradients import across_update
from glam_train.pretraining.loop import forward_of, loss_of, update
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of

SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))


@pytest.fixture
def mama_config(toy_config):
    """The toy towers under MaMA, in fp32 and without dropout."""
    model = replace(
        toy_config.model, text=replace(toy_config.model.text, dropout=0.0), alignment=None, image_pool="mean"
    )
    views = Views(strategy="study", probability=0.5)
    return replace(
        toy_config, model=model, method=MamaSettings(), views=views, precision="fp32", correspondence_weight=0.0
    )


@pytest.fixture
def features() -> MamaFeatures:
    """Four pairs, five patches, up to three sentences."""
    generator = torch.Generator().manual_seed(4)

    def unit(*shape: int) -> torch.Tensor:
        return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)

    is_sentence = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    return MamaFeatures(unit(4, 8), unit(4, 8), unit(4, 8), unit(4, 5, 8), unit(4, 3, 8), is_sentence)


def loop_scores(features: MamaFeatures) -> tuple[torch.Tensor, torch.Tensor]:
    of_sentences, of_patches = torch.zeros(2, 4, 4, dtype=torch.float64)
    for text in range(4):
        sentences = [
            s
            for s, is_sentence in zip(features.sentences[text], features.is_sentence[text], strict=True)
            if is_sentence
        ]
        for image in range(4):
            patches = list(features.patches[image])
            of_sentences[text, image] = sum(max(float(s @ p) for p in patches) for s in sentences) / len(sentences)
            of_patches[text, image] = sum(max(float(s @ p) for s in sentences) for p in patches) / len(patches)
    return of_sentences, of_patches


def rows_nce(logits: torch.Tensor) -> float:
    """Minus the log of each row's share on the diagonal, by a loop."""
    costs = [float(torch.logsumexp(row, 0) - row[index]) for index, row in enumerate(logits)]
    return sum(costs) / len(costs)


def test_scores_are_the_loops_over_sentences_and_patches(features):
    found = sentence_scores(features.sentences, features.is_sentence, features.patches)
    for ours, loop in zip(found, loop_scores(features), strict=True):
        torch.testing.assert_close(ours, loop, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("both", [False, True])
def test_the_local_loss_is_algorithm_1_or_eq_3(features, both):
    of_sentences, of_patches = loop_scores(features)
    by_text, by_image = 12 * of_sentences, 12 * of_patches.T
    if both:
        expected = sum(rows_nce(way) for way in (by_text, by_text.T, by_image, by_image.T)) / 4
    else:
        expected = (rows_nce(by_text) + rows_nce(by_image)) / 2
    scores = sentence_scores(features.sentences, features.is_sentence, features.patches)
    assert float(sentence_loss(*scores, 12.0, both_directions=both)) == pytest.approx(expected, rel=1e-12)


def terms_of(config, features, step: int = 0):
    return build_method(config, Glam(config.model)).terms(features, SCALES, step)


def test_the_terms_are_those_of_eq_4(mama_config, features):
    found = terms_of(replace(mama_config, local_weight=0.5), features)
    view = rows_nce(14 * features.image @ features.other_image.T)
    text = 0.0
    for image in (features.image, features.other_image):
        logits = 10 * image @ features.text.T
        text += (rows_nce(logits) + rows_nce(logits.T)) / 2
    of_sentences, of_patches = loop_scores(features)
    local = (rows_nce(12 * of_sentences) + rows_nce(12 * of_patches.T)) / 2
    expected = {"view": view, "image_text": text, "local": local, "total": view + text + 0.5 * local}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-12)


def test_the_local_loss_is_not_there_before_its_step(mama_config, features):
    config = replace(mama_config, local_start_step=5)
    before, after = terms_of(config, features, 4), terms_of(config, features, 5)
    assert "local" not in before
    assert float(after["total"]) == pytest.approx(float(before["total"] + after["local"]), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (MamaSettings(view_weight=0.0), {"total"}),
        (MamaSettings(symmetric=False), {"image_text", "total"}),
        (MamaSettings(score_directions="both"), {"local", "total"}),
        (MamaSettings(reads="visual"), {"local", "total"}),
    ],
)
def test_a_switch_changes_what_it_says(mama_config, features, settings, changed):
    plain, switched = terms_of(mama_config, features), terms_of(replace(mama_config, method=settings), features)
    assert {name for name in plain if float(plain[name]) != pytest.approx(float(switched[name]), rel=1e-6)} == changed


def test_without_the_local_loss_there_is_none_and_nothing_else_changes(mama_config, features):
    plain, without = terms_of(mama_config, features), terms_of(replace(mama_config, local_weight=0.0), features)
    assert plain.keys() - without.keys() == {"local"}
    assert float(without["total"]) == pytest.approx(float(plain["total"] - plain["local"]), rel=1e-12)


def test_the_local_heads_learn_from_the_step_of_the_local_loss_on(mama_config, toy_cache):
    passes = {"batch_size": 4, "accumulate": 1}
    config = replace(mama_config, local_start_step=2, steps=4, warmup_steps=0, learning_rate=1e-3, **passes)
    state = state_of(starting_model(config, None), config, device="cpu")
    heads, stream, moved = state.learner.method, stream_of(config, toy_cache), []
    for step in range(4):
        before = [parameter.detach().clone() for parameter in heads.parameters()]
        terms = update(state, stream.update(step), config, step)
        moved.append([not torch.equal(old, new) for old, new in zip(before, heads.parameters(), strict=True)])
        assert ("local" in terms) == (step >= 2)
    assert moved == [[False] * 4, [False] * 4, [True] * 4, [True] * 4]


def test_sentences_are_the_states_at_their_separators():
    tokens = torch.arange(12.0).reshape(2, 6, 1)
    ids = torch.tensor([[2, 7, 3, 8, 3, 3], [2, 9, 9, 9, 0, 0]])
    ends = torch.from_numpy(sentence_ends(ids.numpy(), [3]))
    assert ends.tolist() == [[False, False, True, False, True, False], [False] * 6]
    states, is_sentence = sentence_states(tokens, ends)
    assert is_sentence.tolist() == [[True, True], [True, False]]
    assert states[0, :, 0].tolist() == [2, 4]
    assert states[1, 0, 0] == 6  # a text without a separator has its first token


def test_a_separator_that_is_spelled_in_pieces_ends_where_its_last_piece_does():
    ids = np.array([[5, 7, 8, 6, 7, 8, 7, 8], [7, 5, 5, 8, 5, 5, 5, 7]])
    assert sentence_ends(ids, [7, 8]).tolist() == [[False, False, True, False, False, True, False, False], [False] * 8]


@pytest.mark.parametrize("local_start_step", [0, 10])
def test_the_gradient_of_several_passes_is_that_of_one(mama_config, toy_cache, local_start_step):
    found = []
    config = replace(mama_config, local_start_step=local_start_step)
    for accumulate in (1, 4):
        config = replace(config, batch_size=8 // accumulate, accumulate=accumulate)
        learner = state_of(starting_model(config, None), config, device="cpu").learner
        passes = stream_of(config, toy_cache).update(0)
        terms = across_update(forward_of(learner, config, 0), loss_of(learner, 0), passes)
        found.append((float(terms["total"]), {name: p.grad for name, p in learner.named_parameters()}))
    (whole, expected), (cut, gradients) = found
    assert cut == pytest.approx(whole, rel=1e-5)
    unused = {name for name, gradient in expected.items() if gradient is None}
    assert unused == {name for name, gradient in gradients.items() if gradient is None}
    assert ("method.patch_projection.weight" in unused) == (local_start_step > 0)
    for name in expected.keys() - unused:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-3, atol=1e-5)


def stream_of(config, cache) -> PairBatches:
    return PairBatches(cache=cache, tokenizer=report_vocabulary(cache.records, style="glam"), config=config)


def test_it_learns_which_report_belongs_to_which_images(mama_config, toy_cache):
    still = replace(mama_config.image, rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)
    config = replace(mama_config, image=still, steps=60, batch_size=12, accumulate=1, learning_rate=3e-3)
    state = state_of(starting_model(config, None), config, device="cpu")
    totals = [
        float(update(state, passes, config, step)["total"]) for step, passes in stream_of(config, toy_cache).updates(0)
    ]
    assert totals[-1] < 0.6 * totals[0]


@pytest.mark.parametrize(
    ("strategy", "probability", "same"),
    [("image", 1.0, 1.0), ("study", 0.0, 1.0), ("study", 0.5, 0.75), ("side", 1.0, 0.5)],
)
def test_the_other_view_is_drawn_as_asked(mama_config, toy_cache, strategy, probability, same):
    config = replace(mama_config, views=Views(strategy=strategy, probability=probability), batch_size=24, accumulate=1)
    shown = [item for step in range(20) for item in stream_of(config, toy_cache).shown(step)]
    assert all(item.pair == item.other_pair for item in shown)
    share = sum(item.view == item.other_view for item in shown) / len(shown)
    assert share == pytest.approx(same, abs=0.1)
    assert {(item.pair, item.view) for item in shown[:24]} == {(pair, view) for pair in range(12) for view in (0, 1)}


def test_a_view_of_the_same_study_may_be_of_the_other_breast(mama_config, toy_cache):
    exams = replace(
        toy_cache, records=[r | {"patient_id": "p", "exam_id": str(i // 2)} for i, r in enumerate(toy_cache.records)]
    )
    config = replace(mama_config, views=Views(strategy="study"), batch_size=24, accumulate=1)
    shown = [item for step in range(20) for item in stream_of(config, exams).shown(step)]
    assert all(item.pair // 2 == item.other_pair // 2 for item in shown)
    share = sum((item.pair, item.view) == (item.other_pair, item.other_view) for item in shown) / len(shown)
    assert share == pytest.approx(0.25, abs=0.08)


def test_the_preset_is_the_papers():
    """MaMA, sections 4.1 and A.4."""
    config = preset("mama-bert")
    assert (config.pairs_per_update, config.batch_size, config.steps, config.warmup_steps) == (144, 36, 40_000, 4000)
    assert (config.learning_rate, config.weight_decay, config.min_learning_rate) == (4e-5, 0.1, 1e-8)
    assert (config.optimizer, config.precision) == ("adamw", "bf16-mixed")
    assert (config.views.strategy, config.views.probability, config.text.mask_meta) == ("study", 0.5, 0.8)
    assert (config.local_start_step, config.local_weight, config.model.image_pool) == (8000, 1.0, "mean")
