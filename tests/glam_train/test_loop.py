import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from glam.model.glam import Scales
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.known_places import place_kinds
from glam_train.methods.losses import correspondence_loss
from glam_train.methods.vectors import Vectors
from glam_train.pretraining.loop import (
    LoopOptions,
    across_update,
    forward_of,
    loss_of,
    micro_batches,
    pretrain,
    within_micro_batches,
)
from glam_train.pretraining.run_folder import RunError, checkpoints, locked, provenance, start_run
from glam_train.pretraining.setup import starting_model

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

    def update(model, optimizer, batch, config, step):
        if step == 3:
            raise KeyboardInterrupt
        return real(model, optimizer, batch, config, step)

    monkeypatch.setattr(loop, "update", update)
    with pytest.raises(KeyboardInterrupt):
        pretrain(folder, cache, replace(CPU, save_every=1))
    monkeypatch.undo()


def test_the_loss_falls_and_every_term_is_logged(whole_run):
    found = lines(whole_run)
    assert [line["step"] for line in found] == list(range(6))
    assert {"view", "image_text", "local", "total", "learning_rate", "gradient_norm", "scale/local"} <= set(found[0])
    assert found[-1]["local"] < found[0]["local"]


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
    broken = lambda vectors, *_: {"total": vectors.image_cc.sum() * float("nan")}  # noqa: E731
    monkeypatch.setattr("glam_train.methods.glam.glam_objective", broken)
    with pytest.raises(RunError, match="not finite"):
        pretrain(folder, toy_cache, CPU)
    assert checkpoints(folder) == []


@pytest.mark.parametrize("name", ["save_every", "log_every"])
def test_options_that_count_updates_are_1_or_more(name):
    with pytest.raises(ValueError, match="1 or more"):
        replace(CPU, **{name: 0})


def test_a_run_that_is_told_no_place_loses_what_it_lost_before_places_could_be_told(toy_cache, toy_config, tmp_path):
    """The totals of commit 8b04c3f in fp32; it knew neither places nor turned rows. In bf16 processors differ."""
    folder = start(tmp_path, toy_cache, replace(toy_config, precision="fp32"))
    pretrain(folder, toy_cache, CPU)
    before = [15.233604, 13.718464, 10.288999, 7.592163, 6.777839, 7.127309]
    assert [line["total"] for line in lines(folder)] == pytest.approx(before, rel=1e-5)


def told(config, **changes):
    """The toy settings in fp32 and without dropout, told places."""
    text = replace(config.model.text, dropout=0.0)
    return replace(config, model=replace(config.model, text=text), precision="fp32", **changes)


def gradients_of(config, cache, *, accumulate: int):
    config = replace(config, batch_size=8 // accumulate, accumulate=accumulate)
    model = starting_model(config, None)
    batch = stream_of(config, cache).batch(0, 8)
    terms = across_update(forward_of(model, config, 0), loss_of(config), batch, accumulate)
    return terms, {name: parameter.grad for name, parameter in model.named_parameters()}


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


class ToyModel(torch.nn.Module):
    """The vectors of a pair from two weights, with dropout, maps over eight rows, and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Linear(16, 8, dtype=torch.float64)
        self.text = torch.nn.Embedding(11, 8, dtype=torch.float64)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, batch: Batch) -> tuple[Vectors, Scales]:
        cc, mlo = (F.normalize(self.image(F.dropout(view.flatten(1), 0.2)), dim=-1) for view in (batch.cc, batch.mlo))
        text = F.normalize(self.text(batch.token_ids).mean(1), dim=-1)
        regions = [vector[:, None] for vector in (cc, mlo, mlo, cc)]
        scale = self.log_scale.exp()
        maps = [F.softmax(vector[:, None], dim=-1) for vector in (cc, mlo)]
        return Vectors(cc, mlo, text, cc, mlo, *regions, *maps), Scales(scale, scale, scale)


def contrast(vectors: Vectors, scales: Scales, batch: Batch) -> dict[str, torch.Tensor]:
    """Image against text, and one known place in each pair but those of the second half."""
    logits = vectors.image_cc @ vectors.text.mT * scales.image_text
    rows = (batch.points[:, :, 0, 1] * 8).long()
    known = correspondence_loss(vectors.maps_cc, vectors.maps_mlo, rows, rows, batch.place_kinds.double())
    return {"total": F.cross_entropy(logits, torch.arange(len(logits))) + known}


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    views = [torch.rand(8, 1, 4, 4, dtype=torch.float64, generator=generator) for _ in range(2)]
    tokens = torch.randint(0, 11, (8, 5), generator=generator)
    points = torch.rand(8, 1, 2, 2, generator=generator)
    kinds = (torch.arange(8) < 4).long()[:, None]
    return Batch(*views, tokens, torch.ones(8, 5, dtype=torch.int64), points, kinds)


def gradient(way, batch: Batch, accumulate: int, dropout_parts: int) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = ToyModel()

    def forward(part: Batch, index: int) -> tuple[Vectors, Scales]:
        """Dropout by the place of a pair in the update, so that one pass and several see the same."""
        vectors = []
        for offset, piece in enumerate(micro_batches(part, dropout_parts)):
            torch.manual_seed(100 + index * dropout_parts + offset)
            vectors.append(model(piece))
        return Vectors(*map(torch.cat, zip(*(v for v, _ in vectors), strict=True))), vectors[0][1]

    terms = way(forward, contrast, batch, accumulate)
    return float(terms["total"]), [parameter.grad for parameter in model.parameters()]


def test_the_gradient_across_an_update_is_that_of_one_large_batch(batch):
    whole, expected = gradient(across_update, batch, accumulate=1, dropout_parts=4)
    cached, found = gradient(across_update, batch, accumulate=4, dropout_parts=1)
    assert cached == pytest.approx(whole, rel=1e-12)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-14)


def test_plain_accumulation_contrasts_fewer_pairs(batch):
    across, _ = gradient(across_update, batch, accumulate=4, dropout_parts=1)
    within, _ = gradient(within_micro_batches, batch, accumulate=4, dropout_parts=1)
    assert within < across  # two candidates a row in place of eight


def test_micro_batches_keep_the_order(batch):
    parts = list(micro_batches(batch, 4))
    assert torch.equal(torch.cat([part.cc for part in parts]), batch.cc)
    assert [len(part.token_ids) for part in parts] == [2, 2, 2, 2]
