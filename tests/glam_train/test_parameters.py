"""What a preset has and what it trains, counted without a weight, against the printed counts of MaMA's Table 7."""

import json

import pytest
import torch

from glam.model.glam import Glam
from glam_train.cli import main
from glam_train.methods import build_method
from glam_train.parameters import PartCount, count_parameters
from glam_train.presets import PRESETS, preset

TABLE_7 = {"mama-paper": 2.6, "mama-meditron": 4.2, "mama-llama3": 3.4}
"""Millions of trained parameters of the text tower."""


def millions(count: int) -> float:
    return round(count / 1e6, 1)


@pytest.mark.parametrize("name", TABLE_7)
def test_what_mama_trains_is_what_its_table_7_prints(name):
    """MaMA, Table 7: 86.6 M of the vision tower; the low-rank changes of the text tower, r (in + out) a layer."""
    counts = count_parameters(preset(name))
    assert millions(counts["text"].trainable) == TABLE_7[name]
    assert millions(counts["vision"].trainable) == millions(counts["vision"].all) == 86.6
    assert counts["text"].all > 2e9


def test_bioclinicalbert_is_trained_whole_and_is_none_of_what_table_7_prints():
    text = count_parameters(preset("mama-bert"))["text"]
    assert text.all == text.trainable
    assert millions(text.all) == 107.7  # printed: 84.6 M


def test_the_released_mama_trains_the_vision_tower_but_its_last_norm_and_nothing_of_the_text_tower():
    counts = count_parameters(preset("mama-official"))
    assert counts["text"].trainable == 0
    assert counts["vision"].all - counts["vision"].trainable == 2 * 768


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_counted_and_its_parts_are_its_total(name):
    counts = count_parameters(preset(name))
    total = counts.pop("total")
    assert total == PartCount(
        all=sum(part.all for part in counts.values()), trainable=sum(part.trainable for part in counts.values())
    )
    assert (total.trainable == 0) == (not preset(name).method.trains)
    assert {"vision", "text", "image_projection", "text_projection", "temperatures"} <= counts.keys()


def test_counts_are_those_of_the_model_itself():
    config = preset("tiny")
    torch.manual_seed(0)
    model = Glam(config.model)
    method = build_method(config, model)
    method.prepare(model)
    every = [*model.parameters(), *method.parameters()]
    assert count_parameters(config)["total"] == PartCount(
        all=sum(parameter.numel() for parameter in every),
        trainable=sum(parameter.numel() for parameter in every if parameter.requires_grad),
    )


def test_the_command_prints_them_a_part_at_a_time(capsys):
    assert main(["params", "--preset", "tiny"]) == 0
    told = json.loads(capsys.readouterr().out)
    counts = count_parameters(preset("tiny"))
    assert told["preset"] == "tiny"
    assert told["parameters"] == {name: {"all": part.all, "trainable": part.trainable} for name, part in counts.items()}
