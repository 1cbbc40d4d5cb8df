"""The presets of the baselines hold the numbers of their papers' tables."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from glam.config import glam_official
from glam.model.vision import VisionTower
from glam_train.config import Views
from glam_train.methods import METHODS
from glam_train.presets import PRESETS, preset

COMMON = {
    "batch_size": 36,  # MaMA, section 4: 36 x 4 devices
    "accumulate": 4,
    "optimizer": "adamw",  # MaMA, section 4
    "learning_rate": 4e-5,
    "weight_decay": 0.1,
    "warmup_steps": 4000,  # MaMA, section 4: 4k steps, from 1e-8
    "min_learning_rate": 1e-8,
    "steps": 40_000,
    "precision": "bf16-mixed",
    "negatives": "update",  # all 144 of an update
    "clip_norm": None,
    "correspondence_weight": 0.0,
    "flip_rows": 0.0,
    "views": Views(strategy="image", probability=1.0),
}
METHOD = {
    "clip": {},
    "clip-deit": {},
    "slip": {"view_weight": 1.0, "temperature": 0.1, "hidden_dim": 4096, "out_dim": 256},  # SLIP, section 4
    "simclr": {"temperature": 0.5, "out_dim": 512},  # the head 768-768-512 of the released code
    "moco": {"queue": 4096, "momentum": 0.999, "temperature": 0.07, "image_text_weight": 1.0},  # MaMA 9; MoCo, 3.3
    "convirt": {"temperature": 0.07, "image_share": 0.5},  # ConVIRT as in HKU-MedAI/MGCA
    "convirt-deit": {"temperature": 0.07, "image_share": 0.5},
    "mgca": {
        "temperature": 0.07,  # this and what follows: HKU-MedAI/MGCA
        "token_temperature": 0.1,
        "prototype_temperature": 0.2,
        "num_prototypes": 500,
        "token_dim": 128,
        "hidden_dim": 2048,
        "sinkhorn_iterations": 3,
        "sinkhorn_epsilon": 0.05,
        "frozen_steps": 1772,  # one epoch: MaMA's 364,564 images x 70 % / 144
        "image_text_weight": 1.0,
        "token_weight": 0.7,
        "prototype_weight": 0.5,
        "token_shares": "attention",
    },
    "mm-mil": {},
}
METHOD["mgca-deit"] = METHOD["mgca"]
JOINT = {"mgca": (128, 2048), "mgca-deit": (128, 2048), "convirt": (512, 512), "convirt-deit": (512, 512)}
"""Width of the joint space, and of the hidden layer of the projections into it; else 512 (both papers) and none."""


@pytest.mark.parametrize("name", METHOD)
def test_a_preset_is_the_common_settings_and_those_of_its_paper(name):
    config = preset(name)
    assert {field: getattr(config, field) for field in COMMON} == COMMON
    assert asdict(config.method) == METHOD[name]
    assert config.pairs_per_update == 144
    assert (config.model.joint_dim, config.model.projection_hidden) == JOINT.get(name, (512, None))
    assert (config.text.style, config.text.mask_meta) == ("papers", 0.8)  # MaMA, Table 8
    frame = config.model.frame  # MaMA, A.4: the breast's box with its long side at 518, padded with zeros
    assert (frame.kind, frame.align_mlo, frame.mask_muscle) == ("isotropic", False, False)


@pytest.mark.parametrize("name", [*METHOD, "random-vit", "dinov2-vit"])
def test_the_towers_are_vit_b_at_518_px_and_bioclinicalbert_or_deit_b_at_384(name):
    model = preset(name).model
    vision, text = model.vision, model.text
    if name.endswith("-deit"):
        assert (vision.timm_name, vision.image_size, vision.patch_size) == ("deit_base_patch16_384", 384, 16)
    else:
        assert (vision.timm_name, vision.image_size, vision.patch_size, vision.num_registers) == (None, 518, 14, 4)
    assert (vision.embed_dim, vision.depth, vision.num_heads) == (768, 12, 12)
    assert (text.vocab_size, text.hidden_dim, text.depth, text.num_heads, text.ffn_dim) == (28996, 768, 12, 12, 3072)
    assert model.alignment is None
    with torch.device("meta"):
        tower = VisionTower(vision)
    assert tower.dim == 768
    assert 85e6 < sum(parameter.numel() for parameter in tower.parameters()) < 88e6


def test_the_released_slip_is_the_released_script_without_its_local_losses():
    slip, glam = preset("slip-official"), preset("glam-official")
    assert asdict(slip.method) == {"view_weight": 1.0, "temperature": 0.5}
    assert slip == replace(glam, model=slip.model, method=slip.method, views=Views(strategy="image"))
    assert slip.model == replace(glam_official(), alignment=None)


@pytest.mark.parametrize("name", ["random-vit", "dinov2-vit"])
def test_towers_that_are_not_trained_make_no_update(name):
    config = preset(name)
    assert (config.method.name, config.steps, config.warmup_steps) == ("none", 0, 0)


def test_every_preset_of_a_baseline_is_looked_at_here():
    here = {*METHOD, "slip-official", "random-vit", "dinov2-vit"}
    elsewhere = {"tiny", "glam", "glam-small", "glam-paper", "glam-official"}
    elsewhere |= {name for name in PRESETS if name.startswith(("mama-", "mammo-clip"))}  # test_mama, test_mammo_clip
    assert here | elsewhere == set(PRESETS)
    assert {preset(name).method.name for name in here} <= set(METHODS)


def test_the_page_of_methods_has_each_one_with_its_presets_and_every_setting_of_its_own():
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, flags=re.MULTILINE))
    assert rows.keys() == METHODS.keys()
    for name in PRESETS:
        assert f"`{name}`" in rows[preset(name).method.name], name
    for name, entry in METHODS.items():
        for setting, value in asdict(entry.settings()).items():
            told = f"`{setting}`" if isinstance(value, bool) else f"`{setting}` {value}".removesuffix(".0")
            assert told in rows[name], setting
