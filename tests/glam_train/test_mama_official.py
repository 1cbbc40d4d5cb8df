"""MaMA as released: its text tower and its losses on golden numbers, its switches, and that it learns.

`test_mama_golden` runs the whole released model, where its golden set is.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glam.config import TextConfig
from glam.model.alignment import unit_vectors
from glam.model.glam import Glam
from glam_train.config import Views
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.mama_official import LocalProjection, MamaOfficialFeatures
from glam_train.methods.mama_settings import MamaOfficialSettings
from glam_train.methods.method import Learner
from glam_train.presets import preset
from glam_train.pretraining.loop import update
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of
from tests.samples.released_mama import (
    SEPARATOR,
    assert_close,
    assert_loss,
    assert_terms,
    golden_arrays,
    golden_learner,
)

LATE = 8000


class Given(nn.Module):
    """A head that gives the golden output of a released head, which it is fed with, at unit length."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return unit_vectors(rows)


@pytest.fixture(scope="module")
def golden():
    return golden_arrays()


@pytest.fixture(scope="module")
def learner() -> Learner:
    """The released text tower and temperatures, in eval mode; no head changes what the released ones gave."""
    return with_given_heads(golden_learner())


def with_given_heads(learner: Learner) -> Learner:
    method = learner.method
    method.patch_head, method.sentence_head = Given(), Given()
    method.view_head = nn.Linear(64, 64, bias=False)
    nn.init.eye_(method.view_head.weight)
    return learner


@pytest.fixture(scope="module")
def features(golden) -> MamaOfficialFeatures:
    """What the released towers and heads gave."""
    sentences = [golden[f"eval_late.txt_local.{index}.0"][0] for index in range(6)]
    is_sentence = [torch.ones(len(states), dtype=torch.bool) for states in sentences]
    return MamaOfficialFeatures(
        image=F.normalize(golden["eval_late.img_proj.0.0"], dim=-1),
        other_image=F.normalize(golden["eval_late.img_proj.1.0"], dim=-1),
        text=F.normalize(golden["eval_late.txt_proj.0.0"], dim=-1),
        view=golden["eval_late.simclr_proj.1.0"],
        other_view=golden["eval_late.simclr_proj.0.0"],
        patches=golden["eval_late.img_local.0.0"],
        sentences=nn.utils.rnn.pad_sequence(sentences, batch_first=True),
        is_sentence=nn.utils.rnn.pad_sequence(is_sentence, batch_first=True),
    )


def reports(golden, *, rows=slice(None), width: int = 144) -> Batch:
    """The golden reports beside black images."""
    ids, mask = (golden[name][rows, :width] for name in ("caption_ids", "attention_mask"))
    black = torch.zeros(len(ids), 1, 252, 252)
    no_places = torch.zeros(len(ids), 0, 2, 2), torch.zeros(len(ids), 0, dtype=torch.int64)
    return Batch(black, black, ids, mask, *no_places, ids == SEPARATOR)


def test_a_report_is_the_mean_of_all_its_states_padding_too_whatever_it_came_padded_to(learner, golden):
    expected = F.normalize(golden["eval_late.txt_proj.0.0"], dim=-1)
    short = golden["attention_mask"].sum(dim=1) <= 128
    assert 0 < short.sum() < len(short)
    with torch.no_grad():
        assert_close(learner.method.features(learner.model, reports(golden)).text, expected)
        cut = learner.method.features(learner.model, reports(golden, rows=short, width=128))
    assert_close(cut.text, expected[short])


def test_sentences_are_the_states_at_their_separators(learner, features, golden):
    with torch.no_grad():
        found = learner.method.features(learner.model, reports(golden))
    assert torch.equal(found.is_sentence, features.is_sentence)


def test_the_local_heads_are_a_hidden_layer_and_norms_of_the_rows_they_are_given():
    torch.manual_seed(0)
    head, rows = LocalProjection(5, 3).double(), torch.randn(7, 5, dtype=torch.float64)
    nn.init.normal_(head.hidden_norm.weight)
    hidden = (rows @ head.hidden.weight.mT + head.hidden.bias).detach()
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt() * head.hidden_norm.weight
    out = (hidden + head.hidden_norm.bias).clamp(min=0) @ head.out.weight.mT + head.out.bias
    out = (out - out.mean(0)) / (out.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(head(rows), out / out.norm(dim=1, keepdim=True), rtol=1e-9, atol=1e-9)


def test_the_sentences_of_a_report_do_not_depend_on_another_report(features):
    method = golden_learner().method
    method.train()
    with torch.no_grad():
        together = method._sentences(features)
        for index, is_sentence in enumerate(features.is_sentence):
            alone = method.sentence_head(features.sentences[index][is_sentence])
            assert_close(together[index][: len(alone)], alone)


def test_every_logit_agrees(learner, features, golden):
    with torch.no_grad():
        scales = learner.model.scales()
        first, second = (
            scales.image_text * image @ features.text.mT for image in (features.image, features.other_image)
        )
        of_sentences, of_patches = (scales.local * scores for scores in learner.method.local_scores(features))
    ours = {"i2t": first, "ext_i2t": second, "sla_t2i_0": of_sentences, "sla_i2t_0": of_patches}
    other_way = {"i2t": "t2i", "ext_i2t": "ext_t2i", "sla_t2i_0": "sla_t2i_1", "sla_i2t_0": "sla_i2t_1"}
    for name, logits in ours.items():
        assert_close(logits, golden[f"eval_late.logits.{name}"])
        assert_close(logits.mT, golden[f"eval_late.logits.{other_way[name]}"])
        targets = torch.arange(6)
        assert_loss(F.cross_entropy(logits, targets), golden[f"eval_late.loss.{name}"])
        assert_loss(F.cross_entropy(logits.mT, targets), golden[f"eval_late.loss.{other_way[name]}"])


def test_early_there_is_the_first_image_against_its_report_and_late_there_is_all(learner, features, golden):
    assert preset("mama-official").local_start_step == LATE
    with torch.no_grad():
        scales = learner.model.scales()
        early, late = (learner.method.terms(features, scales, step) for step in (LATE - 1, LATE))
    assert early.keys() == {"image_text", "total"}
    assert_loss(early["image_text"], golden["eval_early.loss.i2t"] + golden["eval_early.loss.t2i"])
    assert_loss(early["total"], golden["eval_early.loss.total"])
    assert_terms(late, golden, "eval_late")


def test_zero_shot_probabilities_are_those_of_the_state_after_each_prompt(learner, features, golden):
    with torch.no_grad():
        ids, mask = golden["zs.caption_ids"].flatten(0, 1), golden["zs.attention_mask"].flatten(0, 1)
        prompts = learner.model.embed_text(ids, mask).unflatten(0, (6, 7))  # (image, class, joint)
        logits = learner.model.scales().image_text * torch.einsum("bd,bkd->bk", features.image, prompts)
    assert_close(logits.softmax(dim=1).softmax(dim=1), golden["zs.double_softmax"])
    assert torch.equal(prompts[:, 5], prompts[:, 6])  # both fill max_tokens, so that no padding follows them


def test_a_prompt_is_the_same_whatever_it_is_padded_to(learner, golden):
    ids, mask = golden["zs.caption_ids"][0, :3], golden["zs.attention_mask"][0, :3]
    longest = int(mask.sum(dim=1).max())
    with torch.no_grad():
        assert_close(learner.model.embed_text(ids[:, :longest], mask[:, :longest]), learner.model.embed_text(ids, mask))


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"method": {"view_weight": 0.5}}, {"total"}),
        ({"method": {"symmetric": False}}, {"other_image_text", "total"}),
        ({"method": {"reads": "visual"}}, {"local", "total"}),
        ({"local_weight": 0.0}, {"local", "total"}),
        ({"local_weight": 0.5}, {"total"}),
    ],
)
def test_a_switch_changes_what_it_says(learner, features, settings, changed):
    switched = with_given_heads(golden_learner(**settings))
    with torch.no_grad():
        plain, other = (each.method.terms(features, each.model.scales(), LATE) for each in (learner, switched))
    same = {name for name in plain if name in other and float(plain[name]) == pytest.approx(float(other[name]), 1e-6)}
    assert plain.keys() - same == changed


@pytest.mark.parametrize("train_text", [False, True])
def test_the_low_rank_changes_learn_only_where_asked(train_text, golden):
    learner = golden_learner(method={"train_text": train_text})
    named = {name for name, parameter in learner.model.text.named_parameters() if parameter.requires_grad}
    assert bool(named) == train_text
    assert all(".lora_" in name for name in named)
    assert ("text.transformer" in learner.method.config.method.not_trained) != train_text
    features = learner.method.features(learner.model, reports(golden))
    assert features.sentences.requires_grad == train_text


def test_a_report_of_one_sentence_takes_the_running_statistics_of_the_norms(features):
    method = golden_learner().method
    is_sentence = features.is_sentence.clone()
    is_sentence[0, 1:] = False
    with torch.no_grad():
        alone = method.sentence_head(features.sentences[0, :1])  # in eval mode
        method.train()
        found = method._sentences(features._replace(is_sentence=is_sentence))
    assert_close(found[0, :1], alone)
    assert not found[0, 1:].any()


@pytest.fixture
def official_config(toy_config):
    """The toy vision tower and a causal language model without low-rank changes, in fp32."""
    architecture = {"model_type": "gpt2", "vocab_size": 200, "n_embd": 32, "n_layer": 1, "n_head": 2}
    architecture |= {"n_positions": 192, "bos_token_id": 1, "eos_token_id": 1}
    sizes = {"vocab_size": 200, "hidden_dim": 32, "depth": 1, "num_heads": 2, "max_positions": 192, "max_tokens": 144}
    text = TextConfig(**sizes, pool="padding", architecture=architecture)
    model = replace(toy_config.model, text=text, alignment=None, image_pool="all_tokens")
    settings = {"method": MamaOfficialSettings(train_text=True), "views": Views(strategy="study", probability=0.5)}
    return replace(
        toy_config, model=model, **settings, precision="fp32", negatives="micro_batch", correspondence_weight=0.0
    )


def test_a_bert_is_refused(toy_config, official_config):
    config = replace(official_config, model=replace(official_config.model, text=toy_config.model.text))
    with pytest.raises(ValueError, match="take --preset mama-bert for a BERT"):
        build_method(config, Glam(config.model))


def test_it_learns_which_report_belongs_to_which_images(official_config, toy_cache):
    still = replace(official_config.image, rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)
    config = replace(official_config, image=still, steps=60, batch_size=12, accumulate=1, learning_rate=3e-3)
    state = state_of(starting_model(config, None), config, device="cpu")
    stream = PairBatches(cache=toy_cache, tokenizer=report_vocabulary(toy_cache.records, style="glam"), config=config)
    totals = [float(update(state, passes, config, step)["total"]) for step, passes in stream.updates(0)]
    assert np.mean(totals[-5:]) < 0.7 * totals[0]


def test_the_preset_is_the_released_script():
    """scripts/pretrain.sh of XYPB/MaMA on one of its four devices."""
    config = preset("mama-official")
    assert (config.batch_size, config.accumulate, config.negatives, config.decay_all) == (36, 2, "micro_batch", True)
    assert (config.steps, config.warmup_steps, config.min_learning_rate) == (40_000, 4000, 1e-8)
    assert (config.learning_rate, config.weight_decay, config.clip_norm) == (4e-5, 0.1, None)
    assert (config.optimizer, config.text.style, config.text.mask_meta) == ("adamw", "papers", 0.8)
    assert (config.views.strategy, config.views.probability) == ("study", 0.5)
    model = config.model
    assert (model.image_pool, model.text.pool, model.text.max_tokens, model.max_scale) == (
        "all_tokens",
        "padding",
        144,
        None,
    )
    assert (model.frame.kind, model.frame.align_mlo, model.joint_dim, model.vision.image_size) == (
        "stretch",
        False,
        512,
        518,
    )
    assert config.method.not_trained == ("vision.vit.norm", "text.transformer")
