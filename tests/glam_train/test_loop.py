import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from glam_train.data.cache import PairCache
from glam_train.data.places import told_places
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.loop import LoopOptions, check_fit, describe_cache, make_optimizer, pretrain, starting_model
from glam_train.pretraining.run_folder import RunError, checkpoints, locked, provenance, read_run, start_run

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


def test_tensorboard_events_are_written(whole_run):
    assert list((whole_run / "tensorboard").glob("events.*"))


def test_a_checkpoint_can_be_loaded_as_a_model(whole_run):
    from glam.model.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoints(whole_run)[-1])
    assert not model.training
    assert torch.isfinite(model.logit_scale)


def test_a_half_written_checkpoint_is_no_checkpoint(whole_run, tmp_path):
    (tmp_path / "checkpoints" / ".step-0000009.123").mkdir(parents=True)
    assert checkpoints(tmp_path) == []


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
    import glam_train.pretraining.loop as loop

    folder = start(tmp_path / "run", toy_cache, toy_config)
    monkeypatch.setitem(loop.OBJECTIVES, "glam", lambda vectors, *_: {"total": vectors.image_cc.sum() * float("nan")})
    with pytest.raises(RunError, match="not finite"):
        pretrain(folder, toy_cache, CPU)
    assert checkpoints(folder) == []


def test_a_device_that_is_not_there_is_named(tmp_path, toy_cache, toy_config):
    folder = start(tmp_path / "run", toy_cache, toy_config)
    with pytest.raises(RunError, match="device toaster"):
        pretrain(folder, toy_cache, replace(CPU, device="toaster"))


def test_a_cache_smaller_than_an_update_is_refused(toy_cache, toy_config):
    with pytest.raises(RunError, match="an update takes 16"):
        check_fit(replace(toy_config, batch_size=16, accumulate=1), toy_cache)


@pytest.mark.parametrize("name", ["save_every", "log_every"])
def test_options_that_count_updates_are_1_or_more(name):
    with pytest.raises(ValueError, match="1 or more"):
        replace(CPU, **{name: 0})


def test_a_second_run_in_a_folder_is_refused(whole_run, toy_cache, toy_config):
    with pytest.raises(RunError, match="holds a run"):
        start(whole_run, toy_cache, toy_config)


def test_the_settings_of_a_run_come_back(whole_run, toy_config):
    assert read_run(whole_run).config == toy_config


def test_vectors_and_scalars_are_not_decayed_unless_asked(toy_config):
    model = starting_model(toy_config, None)
    decayed, kept = make_optimizer(model, toy_config).param_groups
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert any(parameter is model.logit_scale for parameter in kept["params"])
    assert kept["weight_decay"] == 0
    (everything,) = make_optimizer(model, replace(toy_config, decay_all=True)).param_groups
    assert len(everything["params"]) == len(decayed["params"]) + len(kept["params"])


def test_provenance_says_what_was_seen(whole_run):
    found = provenance(whole_run, licence=None)
    assert found["synthetic"] is True
    assert found["updates"] == 6
    assert found["data"]["pairs"] == 12


def test_provenance_of_real_data_needs_a_licence(whole_run, tmp_path, toy_cache, toy_config):
    real = replace(toy_cache, source={"kind": "manifest"})
    folder = start(tmp_path / "run", real, toy_config)
    pretrain(folder, real, replace(CPU, stop_after_s=0.0))
    with pytest.raises(RunError, match="--licence"):
        provenance(folder, licence=None)
    assert provenance(folder, licence="CC BY 4.0")["licence"] == "CC BY 4.0"


def test_a_run_that_is_told_no_place_loses_what_it_lost_before_places_could_be_told(toy_cache, toy_config, tmp_path):
    """The totals of commit 8b04c3f, which knew neither places nor turned rows; sums in bf16 depend on the threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = start(tmp_path, toy_cache, toy_config)
    pretrain(folder, toy_cache, CPU)
    torch.set_num_threads(threads)
    before = [15.186537, 13.679724, 10.274066, 7.591124, 6.778196, 7.121008]
    assert [line["total"] for line in lines(folder)] == pytest.approx(before, rel=1e-4)


def told(config, **changes):
    """The toy settings in fp32 and without dropout, told places."""
    text = replace(config.model.text, dropout=0.0)
    return replace(config, model=replace(config.model, text=text), precision="fp32", **changes)


def gradients_of(config, cache, *, accumulate: int):
    from glam_train.pretraining.gradients import GRADIENTS
    from glam_train.pretraining.loop import forward_of, loss_of

    config = replace(config, batch_size=8 // accumulate, accumulate=accumulate)
    model = starting_model(config, None)
    batch = stream_of(config, cache).batch(0, 8)
    terms = GRADIENTS["update"](forward_of(model, config, 0), loss_of(config), batch, accumulate)
    return terms, {name: parameter.grad for name, parameter in model.named_parameters()}


def stream_of(config, cache):
    from glam_train.data.batches import PairBatches
    from glam_train.data.places import wanted_kinds

    return PairBatches(
        cache=cache,
        tokenizer=report_vocabulary(cache.records, style="glam"),
        max_tokens=config.model.text.max_tokens,
        wrap_tokens=False,
        text=config.text,
        image=config.image,
        seed=config.seed,
        flip_rows=config.flip_rows,
        place_kinds=wanted_kinds(config),
    )


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


def test_what_was_told_is_said_in_plain_words(toy_config):
    counts = {"lesion": 9, "tissue": 4000}
    both = told_places(replace(toy_config, correspondence_weight=1.0, tissue_weight=0.3, flip_rows=0.5), counts)
    assert both == {
        "correspondence_weight": 1.0,
        "tissue_weight": 0.3,
        "flip_rows": 0.5,
        "places": {"lesion": 9, "tissue": 4000},
        "told": "The model was told known places: where both views show each of 9 findings (weight 1) and of 4000 "
        "tissue points (weight 0.3) of the pairs it was trained on. It was told of no other breast. The rows of each "
        "view were turned over with a chance of 0.5, each view on its own.",
    }
    nothing = told_places(replace(toy_config, correspondence_weight=0.0), counts)
    assert nothing["places"] == {}
    assert nothing["told"] == (
        "The model was told no place: where its maps look it learned from the contrast of the views alone. "
        "The rows of no view were turned over."
    )
