"""Published settings as functions, and the one table of their names; without torch."""

from collections.abc import Callable

from glam_train.config import PretrainConfig
from glam_train.methods import check_name
from glam_train.presets.glam import glam_official_preset, glam_paper_preset, glam_preset, tiny_preset
from glam_train.presets.mama import mama_bert_preset

PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    "tiny": tiny_preset,
    "glam": glam_preset,
    "glam-paper": glam_paper_preset,
    "glam-official": glam_official_preset,
    "mama-bert": mama_bert_preset,
}
"""By name; a line a preset."""


def preset(name: str) -> PretrainConfig:
    """Return the published settings of that name; ValueError for an unknown one."""
    check_name("preset", name, tuple(PRESETS))
    return PRESETS[name]()
