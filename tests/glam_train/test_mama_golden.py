"""MaMA's released weights must give what its code gave, in training too (the whole golden set; XYPB/MaMA 0ca3a9e)."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from glam.model.checkpoint import HEADS
from glam_train.methods.method import Learner
from glam_train.presets import preset
from glam_train.pretraining.setup import make_optimizer
from tests.samples.released_mama import (
    assert_close,
    assert_loss,
    assert_terms,
    golden_batch,
    needs_whole,
    on_our_grid,
    our_name,
    whole_arrays,
    whole_learner,
)

pytestmark = needs_whole
LATE = 8000


@pytest.fixture(scope="module")
def golden():
    return whole_arrays()


@pytest.fixture(scope="module")
def learner() -> Learner:
    """The released model and heads, in eval mode."""
    return whole_learner()


@pytest.fixture(scope="module")
def features(learner, golden):
    with torch.no_grad():
        return learner.method.features(learner.model, golden_batch(golden))


def test_an_image_is_all_tokens_before_the_last_norm_and_a_report_all_its_states_padding_too(learner, features, golden):
    model = learner.model
    with torch.no_grad():
        assert_close(model.image_projection(features.view), golden["eval_late.img_proj.0.0"])
        assert_close(model.image_projection(features.other_view), golden["eval_late.img_proj.1.0"])
    assert_close(features.image, F.normalize(golden["eval_late.img_proj.0.0"], dim=-1))
    assert_close(features.other_image, F.normalize(golden["eval_late.img_proj.1.0"], dim=-1))
    assert_close(features.text, F.normalize(golden["eval_late.txt_proj.0.0"], dim=-1))


def test_the_local_heads_give_what_the_released_ones_gave(learner, features, golden):
    with torch.no_grad():
        patches = learner.method.patch_head(features.patches[0])
        assert_close(patches, F.normalize(golden["eval_late.img_local.0.0"][0], dim=-1))
        for index, is_sentence in enumerate(features.is_sentence):
            sentences = learner.method.sentence_head(features.sentences[index][is_sentence])
            assert_close(sentences, F.normalize(golden[f"eval_late.txt_local.{index}.0"][0], dim=-1))


def test_early_and_late_losses_agree_in_eval_mode(learner, features, golden):
    with torch.no_grad():
        scales = learner.model.scales()
        early, late = (learner.method.terms(features, scales, step) for step in (LATE - 1, LATE))
    assert_loss(early["total"], golden["eval_early.loss.total"])
    assert_terms(late, golden, "eval_late")


def trained(golden: dict, *, double: bool) -> tuple[Learner, dict[str, torch.Tensor]]:
    """The learner after a backward pass in training mode, and its terms."""
    learner, batch = whole_learner(), golden_batch(golden)
    learner.method.train()
    if double:
        learner.double()
        batch = batch._replace(view=batch.view.double(), other_view=batch.other_view.double())
    terms = learner.method.terms(learner.method.features(learner.model, batch), learner.model.scales(), LATE)
    terms["total"].backward()
    return learner, {name: value.detach() for name, value in terms.items()}


def test_losses_agree_in_train_mode_where_the_norms_take_the_statistics_of_the_batch(golden):
    assert_terms(trained(golden, double=False)[1], golden, "train_late")


def test_gradients_agree_and_the_same_weights_have_none(golden):
    """In fp64, from which the released ones of fp32 differ by 5e-5 of their length, and any one by 1.7e-4 of its own.

    A bias before a norm has no gradient but rounding.
    """
    learner, _ = trained(golden, double=True)
    parameters = parameters_of(learner)
    theirs = {our_name(name.removeprefix("grad.")): golden[name] for name in golden if name.startswith("grad.")}
    assert theirs.keys() == {name for name, parameter in parameters.items() if parameter.grad is not None}
    assert len(theirs) == 71
    ours = {name: parameters[name].grad for name in theirs}
    ours["vision.vit.pos_embed"] = on_released_grid(ours["vision.vit.cls_token"], ours["vision.vit.pos_embed"])
    differences = {name: ours[name].reshape(theirs[name].shape) - theirs[name] for name in theirs}
    assert length(differences.values()) <= 1e-4 * length(theirs.values())
    for name, difference in differences.items():
        assert length([difference]) <= 2e-4 * length([theirs[name]]) + 1e-6, name


def on_released_grid(cls: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The gradient of the released positions, of CLS and 37 x 37 patches, by that of ours."""
    released = torch.zeros(1, 37**2, positions.shape[2], dtype=positions.dtype, requires_grad=True)
    (patches,) = torch.autograd.grad(on_our_grid(released), released, positions)
    return torch.cat([cls, patches], dim=1)


def length(vectors) -> float:
    return sum(float(vector.double().square().sum()) for vector in vectors) ** 0.5


def test_zero_shot_probabilities_are_those_of_the_state_after_each_prompt(learner, features, golden):
    with torch.no_grad():
        ids, mask = golden["zs.caption_ids"].flatten(0, 1), golden["zs.attention_mask"].flatten(0, 1)
        prompts = learner.model.embed_text(ids, mask).unflatten(0, (6, 7))  # (image, class, joint)
        logits = learner.model.scales().image_text * torch.einsum("bd,bkd->bk", features.image, prompts)
    assert_close(logits.softmax(dim=1).softmax(dim=1), golden["zs.double_softmax"])


def test_one_step_on_the_golden_gradients_is_that_of_torchs_adamw(golden):
    stepped = []
    for optimizer in (
        lambda learner: make_optimizer(learner, replace(preset("mama-official"), learning_rate=1e-3)),
        lambda learner: torch.optim.AdamW(learner.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.1),
    ):
        learner = whole_learner()
        parameters = parameters_of(learner)
        for name in [name for name in golden if name.startswith("grad.") and not name.endswith("pos_embed")]:
            parameter = parameters[our_name(name.removeprefix("grad."))]
            parameter.grad = golden[name].reshape(parameter.shape)
        optimizer(learner).step()
        stepped.append({name: parameter.detach() for name, parameter in parameters.items()})
    still = {
        name for name, parameter in parameters_of(whole_learner()).items() if torch.equal(parameter, stepped[0][name])
    }
    assert all(
        name.startswith(("text.transformer", "vision.vit.norm", "view_scale", "vision.vit.pos")) for name in still
    )
    for name, tensor in stepped[1].items():
        torch.testing.assert_close(stepped[0][name], tensor, rtol=1e-5, atol=1e-8)


def parameters_of(learner: Learner) -> dict[str, torch.Tensor]:
    heads = {HEADS + name: parameter for name, parameter in learner.method.named_parameters()}
    return dict(learner.model.named_parameters()) | heads
