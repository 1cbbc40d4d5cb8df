"""Every number a bundle must remember: frozen dataclasses of JSON types, and the published settings as functions."""

from glam.config.frame import FrameConfig, FrameKind, VoiPolicy
from glam.config.model import AlignmentConfig, ModelConfig, RegionPooling, model_config_from_json
from glam.config.presets import glam_official, glam_paper, tiny
from glam.config.towers import PositionIds, TextConfig, VisionConfig

__all__ = [
    "AlignmentConfig",
    "FrameConfig",
    "FrameKind",
    "ModelConfig",
    "PositionIds",
    "RegionPooling",
    "TextConfig",
    "VisionConfig",
    "VoiPolicy",
    "glam_official",
    "glam_paper",
    "model_config_from_json",
    "tiny",
]
