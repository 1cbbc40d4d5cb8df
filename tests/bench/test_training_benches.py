"""The arithmetic of what crosses between processes, and what a training run's input is measured by."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.traffic import bytes_a_pair, gradient_bytes, traffic
from bench.train_input import drop_pages, in_memory, rates, ratio, read_bytes
from glam.model.glam import Glam
from glam_train.data.cache import PairCache, read_cache
from glam_train.presets import preset
from glam_train.pretraining.training_state import state_of
from tests.samples.trainings import small_config, small_training

DOCS = Path(__file__).parents[2] / "docs"
COLUMNS = ("pairs_an_update", "bytes_a_pair", "features_mb", "gradients_mb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache of four pairs."""
    place = tmp_path_factory.mktemp("cache")
    small_training(place, pairs=4, steps=2)
    return place


@pytest.fixture(scope="module")
def cache(folder: Path) -> PairCache:
    return read_cache(folder / "cache")


def test_what_crosses_of_a_pair_is_its_vectors_its_regions_and_its_known_places(cache: PairCache):
    config = small_config(batch_size=2, accumulate=2)
    model, places = config.model, max(len(record["points"]["lesion"]["cc"]) for record in cache.records)
    assert model.alignment is not None
    vectors, regions = 4 * model.joint_dim, 4 * model.alignment.num_regions * model.vision.embed_dim
    expected = dict.fromkeys(("image_cc", "image_mlo", "text", "view_cc", "view_mlo"), vectors)
    expected |= dict.fromkeys(("regions_cc", "regions_mlo", "aligned_cc", "aligned_mlo"), regions)
    expected |= dict.fromkeys(("maps_cc", "maps_mlo"), 4 * places * model.alignment.side)
    expected |= dict.fromkeys(("rows_cc", "rows_mlo", "seen_kinds"), 8 * places)
    found = {name: feature.bytes_a_pair for name, feature in bytes_a_pair(config, cache).items()}
    assert {name: count for name, count in found.items() if count} == expected
    double = {name: feature.bytes_a_pair for name, feature in bytes_a_pair(config, cache, double=True).items()}
    once = ("rows_cc", "rows_mlo", "seen_kinds", "maps_cc", "maps_mlo")  # whole numbers; maps are in fp32 always
    assert {name: double[name] // count for name, count in expected.items()} == {
        name: 1 if name in once else 2 for name in expected
    }


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed", "bf16-true"])
def test_bytes_of_gradients_are_those_of_the_weights_that_are_trained(precision):
    config = replace(preset("tiny"), precision=precision)
    learner = state_of(Glam(config.model), config, device="cpu").learner
    assert gradient_bytes(config) == sum(p.nbytes for p in learner.parameters() if p.requires_grad)
    config = replace(preset("simclr"), model=config.model)
    config = replace(config, model=replace(config.model, alignment=None))
    text = sum(p.numel() for p in Glam(config.model).text.parameters())
    assert 0 < gradient_bytes(config) < gradient_bytes(preset("tiny")) - 4 * text


def test_a_preset_that_trains_nothing_is_left_out():
    assert traffic(["random-vit"]) == {}


def test_pixels_in_memory_are_those_of_the_disk(folder: Path, cache: PairCache):
    arrays = in_memory(cache)
    assert all(np.array_equal(arrays.squares(index), cache.squares(index)) for index in range(len(cache)))
    assert not any(isinstance(shard, np.memmap) for shard in arrays.shards)
    before = read_bytes()
    drop_pages(folder / "cache")
    assert read_bytes() >= before
    assert all(np.array_equal(arrays.squares(index), cache.squares(index)) for index in range(len(cache)))


def test_a_share_is_the_median_over_rounds():
    taken = {"fast": [1.0, 1.0, 1.0], "slow": [2.0, 1.25, 1.0]}
    assert ratio(taken, "fast", "slow") == 0.8


def test_readers_are_timed_alone(folder: Path):
    found = rates(folder, small_config(batch_size=2, accumulate=1, steps=3, warmup_steps=0))
    assert set(found) == {"1", "2"}
    assert min(found.values()) > 0


def test_the_page_on_many_gpus_has_the_bytes_that_the_bench_counted():
    figures = dict(re.findall(r"^\| (\S+, \w+) \| (\S+) \|$", (DOCS / "benchmarks.md").read_text(), re.MULTILINE))
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$",
        (DOCS / "scale_training.md").read_text(),
        re.MULTILINE,
    )
    assert {name for name, *_ in rows} >= {"glam", "clip", "mama-bert"}
    for name, pairs, of_a_pair, features, gradients in rows:
        told = [
            figures[f"{name}, {what}"] for what in ("pairs_an_update", "bytes_a_pair", "features_mb", "gradients_mb")
        ]
        assert [pairs, of_a_pair.replace(",", ""), features, gradients] == told
