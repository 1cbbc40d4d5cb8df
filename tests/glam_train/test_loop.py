import json
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from glam.model.glam import Scales
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.glam import GlamMethod
from glam_train.methods.known_places import place_kinds
from glam_train.methods.losses import correspondence_loss
from glam_train.pretraining.gradients import across_update, within_passes
from glam_train.pretraining.loop import LoopOptions, forward_of, loss_of, pretrain
from glam_train.pretraining.run_folder import RunError, checkpoints, locked, provenance, start_run
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import state_of

CPU = LoopOptions(device="cpu", log_every=1)


def start(folder, cache, config):
    tokenizer = report_vocabulary(cache.records, style="glam")
    start_run(folder, config, data=describe_cache(cache), tokenizer=tokenizer)
    return folder


def weights(checkpoint):
    return load_file(checkpoint / "weights.safetensors")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, toy_cache, toy_config):
    folder = start(tmp_path_factory.mktemp("whole"), toy_cache, toy_config)
    pretrain(folder, toy_cache, CPU)
    return folder


@pytest.mark.parametrize("stop", ["killed", "late"])
def test_a_run_that_is_stopped_and_resumed_gives_the_same_bits(
    stop, tmp_path, toy_cache, toy_config, whole_run, monkeypatch
):
    folder = start(tmp_path / "run", toy_cache, toy_config)
    if stop == "killed":
        pretrain_until_killed(folder, toy_cache, monkeypatch)
    else:
        pretrain(folder, toy_cache, replace(CPU, stop_after_s=0.0))
    assert len(checkpoints(folder)) >= 1
    assert checkpoints(folder)[-1].name < "step-0000006"
    last = pretrain(folder, toy_cache, CPU)
    expected = weights(checkpoints(whole_run)[-1])
    found = weights(last)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert lines(folder) == lines(whole_run)


def pretrain_until_killed(folder, cache, monkeypatch):
    """Save every update, and die in the fourth after its batch was drawn."""
    import glam_train.pretraining.loop as loop

    real = loop.update

    def update(state, passes, config, step, ranks):
        if step == 3:
            raise KeyboardInterrupt
        return real(state, passes, config, step, ranks)

    monkeypatch.setattr(loop, "update", update)
    with pytest.raises(KeyboardInterrupt):
        pretrain(folder, cache, replace(CPU, save_every=1))
    monkeypatch.undo()


def test_the_loss_falls_and_every_term_is_logged(whole_run):
    found = lines(whole_run)
    assert [line["step"] for line in found] == list(range(6))
    assert {"view", "image_text", "local", "total", "learning_rate", "gradient_norm", "scale/local"} <= set(found[0])
    assert found[-1]["total"] < found[0]["total"]


def test_a_checkpoint_can_be_loaded_as_a_model(whole_run):
    from glam.model.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoints(whole_run)[-1])
    assert not model.training
    assert torch.isfinite(model.logit_scale)


def test_other_data_is_refused(whole_run, toy_cache):
    fewer = PairCache(toy_cache.frame, toy_cache.source, toy_cache.records[:5], toy_cache.shards, toy_cache.offsets)
    with pytest.raises(RunError, match="started on 12 pairs"):
        pretrain(whole_run, fewer, CPU)


def test_other_pixels_under_the_same_names_are_refused(whole_run, toy_cache):
    records = [record | {"pixels_sha256": "other"} for record in toy_cache.records]
    other = replace(toy_cache, records=records)
    with pytest.raises(RunError, match="other ones"):
        pretrain(whole_run, other, CPU)


def test_two_processes_do_not_train_one_run(whole_run, toy_cache):
    with locked(whole_run), pytest.raises(RunError, match="another process"):
        pretrain(whole_run, toy_cache, CPU)


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_update(tmp_path, toy_cache, toy_config, monkeypatch):
    folder = start(tmp_path / "run", toy_cache, toy_config)
    sound = GlamMethod.objective

    def broken(method, features, scales, local_weight):
        terms = sound(method, features, scales, local_weight)
        return terms | {"total": terms["total"] * float("nan")}

    monkeypatch.setattr(GlamMethod, "objective", broken)
    with pytest.raises(RunError, match=r"gradient of update 0 is not finite.*Saved as .*step-0000000: go on"):
        pretrain(folder, toy_cache, CPU)
    (saved,) = checkpoints(folder)
    drawn = starting_model(toy_config, None).state_dict()
    found = weights(saved)
    monkeypatch.undo()
    assert all(torch.equal(found[name], tensor) for name, tensor in drawn.items())
    assert pretrain(folder, toy_cache, CPU).name == "step-0000006"


@pytest.mark.parametrize("name", ["save_every", "log_every"])
def test_options_that_count_updates_are_1_or_more(name):
    with pytest.raises(ValueError, match="1 or more"):
        replace(CPU, **{name: 0})


def test_the_losses_are_those_of_the_loop_that_had_no_methods(toy_cache, toy_config, tmp_path):
    """The totals that commit b7f2933 had on these batches, in fp32 and without dropout."""
    folder = start(tmp_path, toy_cache, told(toy_config))
    pretrain(folder, toy_cache, CPU)
    before = [15.382213, 17.932312, 9.430599, 7.481023, 8.041993, 8.238159]
    assert [line["total"] for line in lines(folder)] == pytest.approx(before, rel=1e-5)


def told(config, **changes):
    """The toy settings in fp32 and without dropout, told places."""
    text = replace(config.model.text, dropout=0.0)
    return replace(config, model=replace(config.model, text=text), precision="fp32", **changes)


def gradients_of(config, cache, *, accumulate: int):
    config = replace(config, batch_size=8 // accumulate, accumulate=accumulate)
    learner = state_of(starting_model(config, None), config, device="cpu").learner
    passes = stream_of(config, cache).update(0)
    terms = across_update(forward_of(learner, config, 0), loss_of(learner, 0), passes)
    return terms, {name: parameter.grad for name, parameter in learner.named_parameters()}


def stream_of(config, cache):
    tokenizer = report_vocabulary(cache.records, style="glam")
    return PairBatches(cache=cache, tokenizer=tokenizer, config=config, place_kinds=place_kinds(config))


@pytest.mark.parametrize("tissue_weight", [0.0, 0.3])
def test_known_places_give_the_same_gradient_in_one_pass_and_in_four(toy_places, toy_config, tissue_weight):
    config = told(toy_config, correspondence_weight=2.0, tissue_weight=tissue_weight, flip_rows=0.5)
    whole, expected = gradients_of(config, toy_places, accumulate=1)
    terms, found = gradients_of(config, toy_places, accumulate=4)
    assert terms.keys() == whole.keys()
    assert float(terms["correspondence"]) > 0
    for name in whole:
        assert float(terms[name]) == pytest.approx(float(whole[name]), rel=1e-5)
    for name, gradient in expected.items():
        assert gradient is None or torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-5), name
    without, _ = gradients_of(replace(config, correspondence_weight=0.0), toy_places, accumulate=4)
    added = terms["correspondence"] + tissue_weight * terms.get("correspondence_tissue", 0)
    assert float(terms["total"]) == pytest.approx(float(without["total"] + 2 * added), rel=1e-5)


def test_a_told_run_learns_the_places_and_says_so(tmp_path, toy_places, toy_config, capsys):
    config = told(toy_config, correspondence_weight=4.0, steps=60, learning_rate=3e-3, batch_size=12, accumulate=1)
    still = replace(config.image, rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)
    folder = start(tmp_path / "run", toy_places, replace(config, image=still))
    pretrain(folder, toy_places, CPU)
    found = [line["correspondence"] for line in lines(folder)]
    assert found[-1] < 0.5 * found[0]
    assert {line["known_findings"] for line in lines(folder)} == {4}
    assert capsys.readouterr().err.strip() == ""
    told_of = provenance(folder, licence=None)["correspondence"]
    assert told_of["places"] == {"lesion": 4}
    assert "where both views show each of 4 findings (weight 4) of the pairs it was trained on" in told_of["told"]


def test_a_cache_without_known_places_is_said_once_and_adds_nothing(tmp_path, toy_cache, toy_config, capsys):
    folder = start(tmp_path / "run", toy_cache, replace(toy_config, steps=2))
    pretrain(folder, toy_cache, CPU)
    assert capsys.readouterr().err.count("no finding of the cache is known in both views") == 1
    assert [line["correspondence"] for line in lines(folder)] == [0, 0]
    assert "told no place" in provenance(folder, licence=None)["correspondence"]["told"]
    untold = start(tmp_path / "untold", toy_cache, replace(toy_config, steps=2, correspondence_weight=0.0))
    pretrain(untold, toy_cache, CPU)
    assert capsys.readouterr().err.strip() == ""
    assert [line["total"] for line in lines(untold)] == [line["total"] for line in lines(folder)]


class ToyFeatures(NamedTuple):
    image: torch.Tensor
    text: torch.Tensor
    maps: torch.Tensor
    rows: torch.Tensor


class ToyModel(torch.nn.Module):
    """An image and a text from two weights, with dropout, maps over eight rows, and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Linear(16, 8, dtype=torch.float64)
        self.text = torch.nn.Embedding(11, 8, dtype=torch.float64)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, batch: Batch) -> tuple[ToyFeatures, Scales]:
        image = F.normalize(self.image(F.dropout(batch.view.flatten(1), 0.2)), dim=-1)
        text = F.normalize(self.text(batch.token_ids).mean(1), dim=-1)
        scale = self.log_scale.exp()
        rows = (batch.points[:, :, 0, 1] * 8).long()
        return ToyFeatures(image, text, F.softmax(image[:, None], dim=-1), rows), Scales(scale, scale, scale)


def contrast(features: ToyFeatures, scales: Scales) -> dict[str, torch.Tensor]:
    """Image against text, and one known place in each pair."""
    logits = features.image @ features.text.mT * scales.image_text
    weights = torch.ones(features.rows.shape, dtype=torch.float64)
    known = correspondence_loss(features.maps, features.maps, features.rows, features.rows, weights)
    return {"total": F.cross_entropy(logits, torch.arange(len(logits))) + known}


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    views = [torch.rand(8, 1, 4, 4, dtype=torch.float64, generator=generator) for _ in range(2)]
    tokens = torch.randint(0, 11, (8, 5), generator=generator)
    points = torch.rand(8, 1, 2, 2, generator=generator)
    kinds = torch.ones(8, 1, dtype=torch.int64)
    none = torch.zeros(8, 0)
    return Batch(
        *views,
        tokens,
        torch.ones(8, 5, dtype=torch.int64),
        points,
        kinds,
        torch.zeros(8, 5, dtype=torch.bool),
        none,
        none,
    )


def cut(batch: Batch, count: int) -> list[Batch]:
    return [Batch(*parts) for parts in zip(*(tensor.chunk(count) for tensor in batch), strict=True)]


def gradient(way, batch: Batch, passes: int, dropout_parts: int) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = ToyModel()

    def forward(part: Batch, index: int) -> tuple[ToyFeatures, Scales]:
        """Dropout by the place of a pair in the update, so that one pass and several see the same."""
        outputs = []
        for offset, piece in enumerate(cut(part, dropout_parts)):
            torch.manual_seed(100 + index * dropout_parts + offset)
            outputs.append(model(piece))
        return ToyFeatures(*map(torch.cat, zip(*(f for f, _ in outputs), strict=True))), outputs[0][1]

    terms = way(forward, contrast, cut(batch, passes))
    return float(terms["total"]), [parameter.grad for parameter in model.parameters()]


def test_the_gradient_across_an_update_is_that_of_one_large_batch(batch):
    whole, expected = gradient(across_update, batch, passes=1, dropout_parts=4)
    cached, found = gradient(across_update, batch, passes=4, dropout_parts=1)
    assert cached == pytest.approx(whole, rel=1e-12)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-14)


def test_plain_accumulation_contrasts_fewer_pairs(batch):
    across, _ = gradient(across_update, batch, passes=4, dropout_parts=1)
    within, _ = gradient(within_passes, batch, passes=4, dropout_parts=1)
    assert within < across  # two candidates a row in place of eight
