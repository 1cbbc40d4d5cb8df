"""Published settings as functions, and the one table of their names; without torch."""

from collections.abc import Callable
from typing import Any

from glam.settings import changed_leaves
from glam_train.config import PretrainConfig
from glam_train.methods import check_name
from glam_train.presets.baselines import (
    clip_deit_preset,
    clip_preset,
    convirt_deit_preset,
    convirt_preset,
    dinov2_vit_preset,
    mgca_deit_preset,
    mgca_preset,
    mm_mil_preset,
    moco_preset,
    random_vit_preset,
    simclr_preset,
    slip_official_preset,
    slip_preset,
)
from glam_train.presets.frames import preparation_of, told_preparation
from glam_train.presets.glam import (
    glam_official_preset,
    glam_paper_preset,
    glam_preset,
    glam_small_preset,
    tiny_preset,
)
from glam_train.presets.mama import (
    mama_bert_preset,
    mama_llama3_preset,
    mama_meditron_preset,
    mama_official_preset,
    mama_paper_preset,
)
from glam_train.presets.mammo_clip import (
    mammo_clip_b2_preset,
    mammo_clip_b2_train_preset,
    mammo_clip_b5_preset,
    mammo_clip_b5_train_preset,
)

PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    "tiny": tiny_preset,
    "glam": glam_preset,
    "glam-paper": glam_paper_preset,
    "glam-official": glam_official_preset,
    "glam-small": glam_small_preset,
    "mama-paper": mama_paper_preset,
    "mama-meditron": mama_meditron_preset,
    "mama-llama3": mama_llama3_preset,
    "mama-bert": mama_bert_preset,
    "mama-official": mama_official_preset,
    "clip": clip_preset,
    "clip-deit": clip_deit_preset,
    "slip": slip_preset,
    "slip-official": slip_official_preset,
    "simclr": simclr_preset,
    "moco": moco_preset,
    "convirt": convirt_preset,
    "convirt-deit": convirt_deit_preset,
    "mgca": mgca_preset,
    "mgca-deit": mgca_deit_preset,
    "mm-mil": mm_mil_preset,
    "random-vit": random_vit_preset,
    "dinov2-vit": dinov2_vit_preset,
    "mammo-clip-b2": mammo_clip_b2_preset,
    "mammo-clip-b5": mammo_clip_b5_preset,
    "mammo-clip-b2-train": mammo_clip_b2_train_preset,
    "mammo-clip-b5-train": mammo_clip_b5_train_preset,
}
"""By name; a line a preset."""


def preset(name: str) -> PretrainConfig:
    """Return the published settings of that name; ValueError for an unknown one."""
    check_name("preset", name, tuple(PRESETS))
    return PRESETS[name]()


def paper_of(name: str) -> str:
    """Return the preset of the paper that a preset follows: by the beginning of its name, else GLAM's."""
    paper = f"{name.split('-')[0]}-paper"
    return paper if paper in PRESETS else "glam-paper"


def list_presets() -> dict[str, str]:
    """Return what each preset is, by its name."""
    return {name: (function.__doc__ or "").splitlines()[0] for name, function in PRESETS.items()}


def describe_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset, and those that are not its paper's beside the paper's, as JSON types."""
    config, paper = preset(name), paper_of(name)
    settings, frame = config.as_json(), config.model.frame
    differing = changed_leaves(preset(paper).as_json(), settings)
    return {
        "preset": name,
        "what": list_presets()[name],
        "preparation": {
            "name": preparation_of(frame),
            "what": told_preparation(frame),
            "command": f"glam-train prepare --manifest MANIFEST --preset {name} --out FOLDER",
        },
        "settings": settings,
        "paper": paper,
        "differs": {key: {paper: theirs, name: ours} for key, (theirs, ours) in differing.items()},
    }
