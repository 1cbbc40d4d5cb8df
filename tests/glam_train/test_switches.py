"""Each switch of GLAM changes the terms of the loss, or the parts of a batch, that it says, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from glam.config import AlignmentConfig
from glam.model.alignment import AlignmentModule
from glam.model.glam import Glam
from glam.model.text import TextFeatures
from glam.settings import Text
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig, Views, changed_config
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.aligned import Towers
from glam_train.methods.glam_settings import GlamSettings
from glam_train.methods.known_places import place_kinds
from glam_train.methods.momentum_queue import queue_loss
from glam_train.methods.settings import ClipSettings
from glam_train.presets import preset
from glam_train.pretraining.gradients import across_update
from glam_train.pretraining.loop import LoopOptions, forward_of, loss_of, pretrain
from glam_train.pretraining.run_folder import RunError, check_fit, checkpoints, start_run
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of

STEP = 3
TEXT = {"token_ids", "mask", "sentence_ends"}
IMAGES = {"view", "other_view"}
PLACES = {"points", "place_kinds"}

LOSS_SWITCHES: dict[str, tuple[str, set[str]]] = {
    "method.local late_interaction": ("late_interaction", {"local"}),
    "method.local none": ("none", {"local"}),
    "method.same_position": ("false", {"local"}),
    "method.symmetric": ("false", {"image_text"}),
    "method.view_weight": ("0", set()),
    "method.simclr_weight": ("1", {"simclr"}),
    "method.moco_weight": ("1", {"moco"}),
    "method.sentence_weight": ("1", {"sentences", "scale/sentences"}),
    "local_weight": ("0", set()),
    "local_start_step": (str(STEP + 1), set()),
    "model.alignment.side": ("1", {"local"}),
    "model.alignment.pooling average": ("average", {"local"}),
    "model.alignment.pooling free": ("free", {"local"}),
    "model.alignment.values": ("projected", {"local"}),
    "model.alignment.keys all": ("all", {"local"}),
    "model.alignment.keys band": ("band", {"local"}),
    "model.image_pool": ("mean", {"view", "image_text"}),
    "model.text.pool": ("mean", {"image_text"}),
}
"""Setting and value -> the terms that it changes beside the total; its batches are the same."""
BATCH_SWITCHES: dict[str, tuple[str, set[str]]] = {
    "image.rotate_deg": ("0", IMAGES | {"points"}),
    "image.shift": ("0", IMAGES | {"points"}),
    "image.scale": ("0", IMAGES | {"points"}),
    "image.gamma": ("0", IMAGES),
    "image.noise": ("0", IMAGES),
    "image.blur": ("1", IMAGES),
    "flip_rows": ("1", IMAGES | {"points"}),
    "text.mask_meta": ("1", {"token_ids"}),
    "text.style natural": ("natural", TEXT),
    "text.style clip": ("clip", TEXT),
    "text.style papers": ("papers", TEXT),
    "text.reword": ("1", TEXT),
    "correspondence_weight": ("0", PLACES),
    "tissue_weight": ("1", PLACES),
    "balance": ("density", IMAGES | PLACES | TEXT),
}
"""Setting and value -> the parts of a batch that it changes."""


def switched(config: PretrainConfig, setting: str, value: str) -> PretrainConfig:
    """The configuration with a dotted setting as a command line gives it."""
    *parts, last = setting.split(" ")[0].split(".")
    changes: dict[str, object] = {last: Text(value)}
    for part in reversed(parts):
        changes = {part: changes}
    return changed_config(config, changes)


def batch_of(config: PretrainConfig, pairs: PairCache, words: Tokenizer) -> Batch:
    stream = PairBatches(cache=pairs, tokenizer=words, config=config, place_kinds=place_kinds(config))
    return stream.update(STEP)[0]


def terms_of(config: PretrainConfig, batch: Batch) -> dict[str, float]:
    learner = state_of(starting_model(config, None), config, device="cpu").learner
    with torch.no_grad():
        features = learner.method.features(learner.model, batch)
        terms = learner.method.terms(features, learner.model.scales(), STEP)
    return {name: float(value) for name, value in terms.items()}


def changed(before: Mapping[str, float], after: Mapping[str, float]) -> set[str]:
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name) != pytest.approx(after.get(name, float("nan")), rel=1e-6)}


def changed_fields(before: Batch, after: Batch) -> set[str]:
    pairs = zip(Batch._fields, before, after, strict=True)
    return {name for name, one, other in pairs if not torch.equal(one, other)}


@pytest.fixture(scope="module")
def plain(toy_config) -> PretrainConfig:
    """The toy towers under GLAM in fp32, without dropout; nothing is masked."""
    model = replace(toy_config.model, text=replace(toy_config.model.text, dropout=0.0))
    text = replace(toy_config.text, mask_meta=0.0)
    return replace(toy_config, model=model, text=text, precision="fp32", batch_size=6, accumulate=1)


@pytest.fixture(scope="module")
def words(toy_cache) -> Tokenizer:
    return report_vocabulary(toy_cache.records, style="glam", reword=True)


@pytest.fixture(scope="module")
def untold(plain) -> PretrainConfig:
    return replace(plain, correspondence_weight=0.0)


@pytest.mark.parametrize("switch", LOSS_SWITCHES)
def test_a_switch_of_the_loss_changes_its_terms_alone(switch, untold, toy_places, words):
    value, names = LOSS_SWITCHES[switch]
    config = switched(untold, switch, value)
    batch = batch_of(untold, toy_places, words)
    assert changed_fields(batch, batch_of(config, toy_places, words)) == set()
    assert changed(terms_of(untold, batch), terms_of(config, batch)) == names | {"total"}


@pytest.mark.parametrize("switch", BATCH_SWITCHES)
def test_a_switch_of_the_batch_changes_its_parts_alone(switch, plain, toy_places, words):
    value, names = BATCH_SWITCHES[switch]
    config = switched(plain, switch, value)
    assert changed_fields(batch_of(plain, toy_places, words), batch_of(config, toy_places, words)) == names


@pytest.mark.parametrize(
    ("switch", "value", "names"),
    [
        ("views.strategy", "image", {"other_view"}),
        ("views.strategy", "side", {"other_view"}),
        ("views.probability", "0", {"other_view"}),
        ("image.reverse", "1", IMAGES),
    ],
)
def test_a_switch_of_single_images_changes_its_parts_alone(switch, value, names, untold, toy_cache, words):
    exams = [record | {"patient_id": "one", "exam_id": "one"} for record in toy_cache.records]
    study = replace(toy_cache, records=exams)
    model = replace(untold.model, alignment=None)
    config = replace(untold, method=ClipSettings(), model=model, views=Views(strategy="study"))
    assert (
        changed_fields(batch_of(config, study, words), batch_of(switched(config, switch, value), study, words)) == names
    )


@pytest.mark.parametrize(("side", "regions"), [(4, 16), (9, 81), (18, 324)])
@pytest.mark.parametrize("grid", [18, 37])
def test_the_papers_numbers_of_regions_are_sides_of_4_9_and_18(side, regions, grid):
    config = switched(preset("glam"), "model.alignment.side", str(side)).model.alignment
    assert config is not None
    assert config.num_regions == regions
    module = AlignmentModule(AlignmentConfig(side=side, pooling_heads=2, slice_heads=2), dim=8, grid=grid)
    aligned = module(*torch.randn(2, 1, grid**2, 8))
    assert aligned.regions_cc.shape == (1, regions, 8)
    assert aligned.cc_to_mlo.shape == (1, side, side, side)


def test_images_that_were_aligned_are_not_taken_for_images_that_were_not(plain, toy_cache):
    config = switched(plain, "model.frame.align_mlo", "false")
    with pytest.raises(RunError, match=r"the cache was prepared for align_mlo True, the model takes align_mlo False"):
        check_fit(config, toy_cache)


def method_of(config: PretrainConfig, **settings):
    config = replace(config, method=GlamSettings(**settings))
    torch.manual_seed(1)
    return build_method(config, Glam(config.model)).double()


def test_the_sentences_are_contrasted_by_algorithm_1_with_the_patches_of_both_views(untold, vectors):
    def loops(patches: torch.Tensor) -> float:
        scores = torch.zeros(2, 4, 4, dtype=torch.float64)  # of sentences, of patches
        for text in range(4):
            said = [s for s, there in zip(vectors.sentences[text], vectors.is_sentence[text], strict=True) if there]
            for image in range(4):
                best = [max(float(s @ p) for p in patches[image]) for s in said]
                scores[0, text, image] = sum(best) / len(best)
                found = [max(float(s @ p) for s in said) for p in patches[image]]
                scores[1, text, image] = sum(found) / len(found)
        by_text, by_image = scores[0] / 0.07, scores[1].T / 0.07
        costs = [
            float(torch.logsumexp(row, 0) - row[index]) for way in (by_text, by_image) for index, row in enumerate(way)
        ]
        return sum(costs) / 8

    cc, mlo = loops(vectors.patches_cc), loops(vectors.patches_mlo)
    scales = Glam(untold.model).scales()
    for symmetric, expected in ((True, (cc + mlo) / 2), (False, cc)):
        method = method_of(untold, sentence_weight=0.5, symmetric=symmetric)
        terms = method.objective(vectors, scales, 2.0)
        assert float(terms["sentences"].detach()) == pytest.approx(expected, rel=1e-6)
        without = method_of(untold, symmetric=symmetric).objective(vectors, scales, 2.0)
        added = float((terms["total"] - without["total"]).detach())
        assert added == pytest.approx(2.0 * 0.5 * expected, rel=1e-6)
        assert "sentences" not in method.objective(vectors, scales, 0.0)


def test_the_keys_of_mlo_are_what_cc_must_find_and_then_go_into_the_queue(untold, vectors):
    method = method_of(replace(untold, model=replace(untold.model, joint_dim=8)), moco_weight=2.0, queue=7)
    queue = method.slow.queue.clone()
    scales = Glam(untold.model).scales()
    terms = method.objective(vectors, scales, 1.0)
    expected = queue_loss(vectors.image_cc, vectors.keys, queue, 0.07)
    assert float(terms["moco"]) == pytest.approx(float(expected), rel=1e-12)
    without = method_of(untold).objective(vectors, scales, 1.0)
    assert float((terms["total"] - without["total"]).detach()) == pytest.approx(2 * float(expected), rel=1e-6)
    method.slow._push(vectors.keys)
    assert torch.equal(method.slow.queue[:4], vectors.keys)


def test_a_queue_is_refused_where_each_pass_is_contrasted_alone(untold):
    with pytest.raises(ValueError, match="set negatives to update"):
        method_of(replace(untold, negatives="micro_batch"), moco_weight=1.0)


def test_the_gradient_of_several_passes_is_that_of_one_with_every_part_on(untold, toy_cache):
    settings = GlamSettings(simclr_weight=1.0, moco_weight=1.0, sentence_weight=1.0, queue=9)
    found = []
    for accumulate in (1, 3):
        config = replace(untold, method=settings, batch_size=6 // accumulate, accumulate=accumulate)
        learner = state_of(starting_model(config, None), config, device="cpu").learner
        words = report_vocabulary(toy_cache.records, style="glam")
        passes = PairBatches(cache=toy_cache, tokenizer=words, config=config).update(STEP)
        terms = across_update(forward_of(learner, config, STEP), loss_of(learner, STEP), passes)
        found.append((float(terms["total"]), {name: p.grad for name, p in learner.named_parameters()}))
    (whole, expected), (cut, gradients) = found
    assert cut == pytest.approx(whole, rel=1e-5)
    reached = {name for name, gradient in expected.items() if gradient is not None}
    assert {"method.view_head.hidden.weight", "method.sentences.log_scale"} <= reached
    assert not any(name.startswith("method.slow") for name in reached)
    for name in reached:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-3, atol=1e-5)


def test_the_temperature_of_the_sentences_stays_below_the_bound_of_the_model(untold):
    method = method_of(untold, sentence_weight=1.0)
    with torch.no_grad():
        method.sentences.log_scale.fill_(9.0)
    method.after_update(Glam(untold.model))
    assert float(method.sentences.log_scale.exp().detach()) == pytest.approx(100.0)


def test_a_tower_that_pads_what_it_reads_has_the_same_sentences(untold):
    part = method_of(untold, sentence_weight=1.0).sentences
    views = Glam(untold.model).double().view_features(*torch.rand(2, 2, 1, 28, 28, dtype=torch.float64))
    tokens, ends = torch.randn(2, 5, 32, dtype=torch.float64), torch.tensor([[0, 0, 1, 0, 1], [0, 1, 0, 0, 0]]).bool()
    plain, padded = (
        part.features(Towers(*views, TextFeatures(states, ends.long())), ends)
        for states in (tokens, torch.cat([tokens, torch.ones(2, 1, 32)], dim=1))
    )
    assert all(torch.equal(plain[name], padded[name]) for name in plain)


def test_a_run_with_every_part_on_that_is_stopped_and_resumed_gives_the_same_bits(tmp_path, untold, toy_cache):
    settings = GlamSettings(simclr_weight=1.0, moco_weight=1.0, sentence_weight=1.0, queue=9)
    text = replace(untold.text, reword=0.5, mask_meta=0.5)
    config = replace(untold, method=settings, balance="birads", text=text, batch_size=3, accumulate=2, steps=4)
    words = report_vocabulary(toy_cache.records, style="glam", reword=True)
    options = LoopOptions(device="cpu")
    for name in ("whole", "stopped"):
        start_run(tmp_path / name, config, data=describe_cache(toy_cache), tokenizer=words)
    pretrain(tmp_path / "stopped", toy_cache, replace(options, stop_after_s=0.0))
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == ["step-0000001"]
    whole, stopped = (pretrain(tmp_path / name, toy_cache, options) for name in ("whole", "stopped"))
    for one, other in zip(*(load_file(at / "weights.safetensors").items() for at in (whole, stopped)), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1]), one[0]
    assert "method.slow.queue" in load_file(whole / "weights.safetensors")
