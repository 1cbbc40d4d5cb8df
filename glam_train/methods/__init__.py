"""Methods of pretraining, one module each, and the registry of their presets and objectives."""

from collections.abc import Callable

from glam_train.config import PretrainConfig
from glam_train.methods.glam import (
    glam_objective,
    glam_official_objective,
    glam_official_preset,
    glam_paper_objective,
    glam_paper_preset,
    glam_preset,
    tiny_preset,
)
from glam_train.methods.vectors import Objective

OBJECTIVES: dict[str, Objective] = {
    "glam": glam_objective,
    "glam_paper": glam_paper_objective,
    "glam_official": glam_official_objective,
}
PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    "tiny": tiny_preset,
    "glam": glam_preset,
    "glam-paper": glam_paper_preset,
    "glam-official": glam_official_preset,
}
