"""What holds for every baseline alike: gradients over passes, checkpoints, resumed runs, settings that do not fit."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from glam.model.checkpoint import load_checkpoint, load_heads
from glam.model.glam import Glam
from glam_train.config import PretrainConfig, Views
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.known_places import told_places
from glam_train.methods.mammo_clip_settings import MammoClipSettings
from glam_train.methods.method import Learner
from glam_train.methods.settings import (
    ClipSettings,
    ConvirtSettings,
    MgcaSettings,
    MmMilSettings,
    MocoSettings,
    NoneSettings,
    SimclrSettings,
    SlipOfficialSettings,
    SlipSettings,
)
from glam_train.pretraining.gradients import across_update
from glam_train.pretraining.loop import LoopOptions, forward_of, loss_of, pretrain
from glam_train.pretraining.run_folder import checkpoints, start_run
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of

CPU = LoopOptions(device="cpu", log_every=1)
SETTINGS = {
    "clip": ClipSettings(),
    "slip": SlipSettings(hidden_dim=24, out_dim=12),
    "slip_official": SlipOfficialSettings(),
    "simclr": SimclrSettings(out_dim=12),
    "moco": MocoSettings(queue=10),
    "moco_alone": MocoSettings(queue=10, image_text_weight=0.0),
    "convirt": ConvirtSettings(image_share=0.75),
    "mgca": MgcaSettings(num_prototypes=6, token_dim=8, hidden_dim=16, frozen_steps=2),
    "mgca_even": MgcaSettings(num_prototypes=6, token_dim=8, hidden_dim=16, frozen_steps=0, token_shares="even"),
    "mm_mil": MmMilSettings(),
    "mammo_clip": MammoClipSettings(),
}


@pytest.fixture(params=SETTINGS)
def config(request, toy_config) -> PretrainConfig:
    return toy_baseline(toy_config, SETTINGS[request.param])


def toy_baseline(toy_config, settings) -> PretrainConfig:
    hidden = 12 if settings.name in ("convirt", "mgca") else None
    model = replace(toy_config.model, alignment=None, projection_hidden=hidden)
    return replace(toy_config, model=model, method=settings, views=Views(strategy="image"), correspondence_weight=0.0)


def start(folder, cache, config):
    tokenizer = report_vocabulary(cache.records, style="glam")
    start_run(folder, config, data=describe_cache(cache), tokenizer=tokenizer)
    return folder


def stream_of(config, cache) -> PairBatches:
    return PairBatches(cache=cache, tokenizer=report_vocabulary(cache.records, style="glam"), config=config)


def gradients_of(config, cache, *, accumulate: int):
    """Terms and gradients of update 2 in float64, without dropout."""
    config = replace(config, batch_size=8 // accumulate, accumulate=accumulate, precision="fp32")
    torch.manual_seed(3)
    model = Glam(config.model)
    learner = Learner(model, build_method(config, model)).double()
    for part in learner.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    learner.train()
    passes = [Batch(*map(_double, part)) for part in stream_of(config, cache).update(2)]
    terms = across_update(forward_of(learner, config, 2), loss_of(learner, 2), passes)
    return terms, {name: parameter.grad for name, parameter in learner.named_parameters()}


def _double(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def test_one_pass_and_four_give_the_same_gradient(config, toy_cache):
    whole, expected = gradients_of(config, toy_cache, accumulate=1)
    terms, found = gradients_of(config, toy_cache, accumulate=4)
    assert terms.keys() == whole.keys()
    for name in whole:
        assert float(terms[name]) == pytest.approx(float(whole[name]), rel=1e-10), name
    assert sum(gradient is not None for gradient in expected.values()) > 10
    for name, gradient in expected.items():
        assert (gradient is None) == (found[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-7, atol=1e-12, msg=name)


def test_a_run_saves_what_loads_goes_on_bit_for_bit_and_says_what_it_left_untrained(config, toy_cache, tmp_path):
    whole = start(tmp_path / "whole", toy_cache, config)
    pretrain(whole, toy_cache, CPU)
    stopped = start(tmp_path / "stopped", toy_cache, config)
    for _ in range(2):
        pretrain(stopped, toy_cache, replace(CPU, stop_after_s=0.0))
    assert checkpoints(stopped)[-1].name == "step-0000002"
    last = pretrain(stopped, toy_cache, CPU)
    expected = load_file(checkpoints(whole)[-1] / "weights.safetensors")
    found = load_file(last / "weights.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert_loads(last, config, toy_cache)
    assert_changed_what_it_says(last, config)


def assert_loads(checkpoint, config, cache):
    """As a model that embeds, and as heads of the method."""
    model = load_checkpoint(checkpoint)
    assert model.config.alignment is None
    Learner(model, build_method(config, model)).load_heads(load_heads(checkpoint))
    batch = stream_of(config, cache).update(0)[0]
    with torch.no_grad():
        image, text = model.embed_view(model.vision(batch.view)), model.embed_text(batch.token_ids, batch.mask)
    assert image.shape == text.shape == (2, 16)
    torch.testing.assert_close(image.norm(dim=1), torch.ones(2))


def assert_changed_what_it_says(checkpoint, config):
    """What the provenance names as not trained is as drawn from the seed; every other part has changed."""
    method = json.loads((checkpoint / "provenance.json").read_text())["method"]
    assert method["name"] == config.method.name
    assert method.get("not_trained", []) == list(config.method.not_trained)
    before, after = starting_model(config, None).state_dict(), load_checkpoint(checkpoint).state_dict()
    for part in ("vision", "text", "image_projection", "text_projection"):
        same = [torch.equal(after[name], before[name]) for name in before if name.startswith(f"{part}.")]
        if part in config.method.not_trained:
            assert all(same), part
        else:
            assert not all(same), part


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "fp16-mixed") for name in SETTINGS),
        *((name, "bf16-true") for name in SETTINGS if not name.startswith("moco")),  # which refuses it
    ],
)
def test_in_half_precision_terms_are_fp32_and_gradients_finite(name, precision, toy_config, toy_cache):
    config = replace(toy_baseline(toy_config, SETTINGS[name]), precision=precision, batch_size=4, accumulate=2)
    learner = state_of(starting_model(config, None), config, device="cpu").learner
    passes = stream_of(config, toy_cache).update(2)
    terms = across_update(forward_of(learner, config, 2), loss_of(learner, 2), passes)
    for term, value in terms.items():
        assert value.dtype == torch.float32, term
        assert torch.isfinite(value), term
    gradients = [parameter.grad for parameter in learner.parameters() if parameter.grad is not None]
    assert len(gradients) > 10
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_provenance_tells_of_no_maps(config):
    told = told_places(config, {"lesion": 3})["told"]
    assert told.startswith("The model does not compare its views: it has no maps.")


def test_no_method_writes_what_it_starts_from(toy_config, toy_cache, tmp_path):
    plain = toy_baseline(toy_config, ClipSettings())
    config = replace(plain, method=NoneSettings(), steps=0, warmup_steps=0)
    folder = start(tmp_path / "run", toy_cache, config)
    last = pretrain(folder, toy_cache, CPU)
    assert last.name == "step-0000000"
    expected, found = starting_model(config, None).state_dict(), load_checkpoint(last).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    provenance = json.loads((last / "provenance.json").read_text())
    untrained = ["vision", "text", "text_projection", "image_projection"]
    assert (provenance["updates"], provenance["method"]) == (0, {"name": "none", "not_trained": untrained})
    assert pretrain(folder, toy_cache, CPU) == last


@pytest.mark.parametrize("steps", [{"steps": 3, "warmup_steps": 0}, {"steps": 0, "warmup_steps": 1}])
def test_no_method_makes_no_update(toy_config, steps):
    with pytest.raises(ValueError, match="none trains nothing: set steps and warmup_steps to 0"):
        replace(toy_baseline(toy_config, ClipSettings()), method=NoneSettings(), **steps)


@pytest.mark.parametrize("settings", SETTINGS.values())
def test_what_a_method_on_single_images_cannot_use_is_refused(toy_config, settings):
    fits = toy_baseline(toy_config, settings)
    for change, message in (
        ({"model": toy_config.model}, "set model.alignment to none"),
        ({"views": Views(strategy="breast")}, "set views.strategy to image, side or study"),
        ({"correspondence_weight": 1.0}, "set correspondence_weight to 0"),
    ):
        config = replace(fits, **change)
        with pytest.raises(ValueError, match=message):
            build_method(config, Glam(config.model))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SlipSettings(temperature=0.0), "temperature is 0.0: give a number above 0"),
        (lambda: SlipOfficialSettings(view_weight=-1.0), "view_weight is -1.0: give a number from 0 up"),
        (lambda: SimclrSettings(out_dim=0), "out_dim is 0: give 1 or more"),
        (lambda: MocoSettings(queue=0), "queue is 0: give 1 or more"),
        (lambda: MocoSettings(momentum=1.0), "momentum is 1.0: give a share from 0 to below 1"),
        (lambda: ConvirtSettings(image_share=1.5), "image_share is 1.5: give a share from 0 to 1"),
        (lambda: MgcaSettings(token_temperature=float("nan")), "token_temperature is nan: give a number above 0"),
        (lambda: MgcaSettings(frozen_steps=-1), "frozen_steps is -1: give a number from 0 up"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
