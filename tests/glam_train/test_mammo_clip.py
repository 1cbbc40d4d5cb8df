"""Mammo-CLIP's method and presets: its loss by hand, its second wording, its table, its towers in its layout."""

import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam, Scales
from glam.model.vision import VisionTower
from glam.words.wording import SEPARATOR
from glam_train.commands import Pretrain
from glam_train.config import ImageAugmentation, Views
from glam_train.data.batches import PairBatches
from glam_train.data.phantom_pairs import cache_phantoms
from glam_train.data.sentence_order import exchanged_sentences
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.mammo_clip import MammoClipFeatures
from glam_train.methods.mammo_clip_settings import MammoClipSettings
from glam_train.methods.settings import ClipSettings
from glam_train.presets import preset
from glam_train.presets.frames import MAMMO_CLIP_GREY, mammo_clip_frame
from glam_train.pretraining.run_folder import checkpoints
from glam_train.weights.vision import read_vision_weights
from tests.glam_train.test_baselines import toy_baseline
from tests.samples.published import efficientnet_pytorch
from tests.samples.vectors import drawn, one_way

SCALES = Scales(*(torch.tensor(value, dtype=torch.float64) for value in (10.0, 12.0, 14.0)))
WORDS = st.text("abc xyz", min_size=1, max_size=12).filter(str.strip)


def by_hand(first, second) -> float:
    return (one_way(first, second, 10.0) + one_way(second, first, 10.0)) / 2


@pytest.mark.parametrize("settings", [MammoClipSettings(), MammoClipSettings(view_weight=0.0, text_weight=2.0)])
def test_four_pairs_are_averaged_and_both_kinds_compared_with_themselves(toy_config, settings):
    config = toy_baseline(toy_config, settings)
    image, other_image, text, other_text = (drawn(5, 8, seed=seed) for seed in range(4))
    method = build_method(config, Glam(config.model)).double()
    terms = method.terms(MammoClipFeatures(image, other_image, text, other_text), SCALES, 0)
    pairs = [by_hand(seen, told) for seen in (image, other_image) for told in (text, other_text)]
    expected = {
        "image_text": sum(pairs) / 4,
        "view": by_hand(image, other_image),
        "report": by_hand(text, other_text),
    }
    weights = {"image_text": 1.0, "view": settings.view_weight, "report": settings.text_weight}
    expected["total"] = sum(weights[name] * value for name, value in expected.items())
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["view_weight", "text_weight"])
def test_a_weight_below_zero_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is -1.0: give a number from 0 up"):
        MammoClipSettings(**{name: -1.0})


def stream(toy_config, cache, settings) -> PairBatches:
    config = replace(toy_baseline(toy_config, settings), text=replace(toy_config.text, style="papers", mask_meta=0.5))
    return PairBatches(cache=cache, tokenizer=report_vocabulary(cache.records, style="papers"), config=config)


def test_the_second_wording_is_drawn_for_the_method_that_reads_it_and_nothing_else_changes(toy_config, toy_cache):
    clip, mammo = (stream(toy_config, toy_cache, each) for each in (ClipSettings(), MammoClipSettings()))
    plain, both = (each.batch(3, range(4)) for each in (clip, mammo))
    for name in plain._fields[:-2]:
        assert torch.equal(getattr(plain, name), getattr(both, name)), name
    assert plain.other_token_ids.shape == plain.other_mask.shape == (4, 0)
    again = mammo.batch(3, range(4))
    assert torch.equal(both.other_token_ids, again.other_token_ids)
    one = mammo.batch(3, range(2, 3))
    length = int(one.other_mask.sum())
    assert torch.equal(one.other_token_ids[0, :length], both.other_token_ids[2, :length])
    assert sum(words(mammo, both, place) != words(mammo, both, place, "other_") for place in range(4)) >= 3


def words(batches: PairBatches, batch, place: int, which: str = "") -> list[str]:
    ids = getattr(batch, f"{which}token_ids")[place].tolist()
    return [batches.tokenizer.backend.id_to_token(token) for token in ids if token]


@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_exchanging_sentences_says_the_same(sentences: list[str], seed: int):
    text = "".join(f"{sentence} {SEPARATOR}" for sentence in sentences)
    found = exchanged_sentences(text, SEPARATOR, np.random.default_rng(seed))

    def said(report: str) -> Counter[str]:
        return Counter(part.strip() for part in report.split(SEPARATOR))

    assert said(found) == said(text)
    assert len(found) == len(text)
    if len({sentence.strip() for sentence in sentences}) == len(sentences) > 1:
        assert found != text


def test_a_report_of_one_sentence_stays():
    assert exchanged_sentences("no mass", SEPARATOR, np.random.default_rng(0)) == "no mass"


@pytest.mark.parametrize(("size", "width", "blocks"), [("b2", 1408, 23), ("b5", 2048, 39)])
def test_the_presets_are_the_table_of_the_paper(size, width, blocks):
    config = preset(f"mammo-clip-{size}-train")
    vision, text = config.model.vision, config.model.text
    assert (vision.image_size, config.model.frame) == ((1520, 912), mammo_clip_frame())
    assert (vision.timm_name, vision.embed_dim, vision.depth) == (f"tf_efficientnet_{size}", width, blocks)
    assert (vision.mean, vision.std) == MAMMO_CLIP_GREY
    with torch.device("meta"):
        tower = VisionTower(vision)
    assert (tower.dim, tower.grid) == (width, (48, 29))
    assert (text.max_tokens, text.pool, text.hidden_dim, text.depth) == (256, "last", 768, 12)
    assert (config.model.alignment, config.model.joint_dim, config.model.projection_hidden) == (None, 512, None)
    assert asdict(config.method) == {"view_weight": 1.0, "text_weight": 0.5}
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("adamw", 5e-5, 1e-4)
    updates = -(-25_355 * 8 // 10 // 4)  # one epoch: 80 % of its mammograms, four at a time
    assert (config.steps, config.warmup_steps, config.pairs_per_update) == (10 * updates, updates, 4)
    assert config.views == Views(strategy="image")
    assert config.image == ImageAugmentation(rotate_deg=20.0, shift=0.001, scale=0.2, gamma=0.0, noise=0.0)
    frozen = preset(f"mammo-clip-{size}")
    assert (frozen.method.name, frozen.steps, frozen.model) == ("none", 0, config.model)
    assert "your own copy, which is CC BY-NC-SA" in (frozen.starts_from or "")


def test_what_a_checkpoint_of_theirs_gives_is_the_tower_of_the_preset(tmp_path):
    """But for the size of the EfficientNet, which is B0 here."""
    weights = {f"image_encoder.{name}": tensor for name, tensor in efficientnet_pytorch().items()}
    torch.save({"model": weights}, tmp_path / "b0.tar")
    found = read_vision_weights(tmp_path / "b0.tar", image_size=(96, 64)).config
    ours = preset("mammo-clip-b2").model.vision
    same = replace(ours, image_size=(96, 64), timm_name="tf_efficientnet_b0", embed_dim=1280, depth=16)
    assert found == same


def test_a_copy_of_their_checkpoint_becomes_one_of_ours(tmp_path):
    """The preset of B2 takes whichever EfficientNet the file holds, here B0, at a size of one's own."""
    weights = {f"image_encoder.{name}": tensor for name, tensor in efficientnet_pytorch().items()}
    torch.save({"model": weights}, tmp_path / "b0.tar")
    assert list(cache_phantoms(tmp_path / "cache", num_pairs=2, seed=1, frame=mammo_clip_frame((96, 64)))) == [2]
    text = {"hidden_dim": 16, "depth": 1, "num_heads": 2, "ffn_dim": 16, "max_positions": 256}
    model = {"vision": {"image_size": [96, 64]}, "frame": {"size": [96, 64]}, "text": text}
    Pretrain(
        cache=tmp_path / "cache",
        out=tmp_path / "run",
        preset="mammo-clip-b2",
        vision_weights=tmp_path / "b0.tar",
        settings={"model": model},
        device="cpu",
    ).run()
    (last,) = checkpoints(tmp_path / "run")
    found, read = load_checkpoint(last), read_vision_weights(tmp_path / "b0.tar", image_size=(96, 64))
    assert found.config.vision == read.config
    assert found.config.frame == mammo_clip_frame((96, 64))
    state = found.vision.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in read.tensors.items())
    start = json.loads((last / "provenance.json").read_text())["start_from"]
    assert start["licence"].startswith("CC BY-NC-SA")
