"""Mammo-CLIP (Ghosh et al., MICCAI 2024, arXiv 2405.12255): its towers as they are published, and its pretraining.

EfficientNet-B2 or B5 at 1520 x 912 px and BioClinicalBERT. Its checkpoints are CC BY-NC-SA: you fetch your own copy,
and give its path. Nothing here is of its code. Where each number is from: docs/methods.md.
"""

from dataclasses import replace

from glam.config import ModelConfig, TextConfig, VisionConfig
from glam_train.config import ImageAugmentation, PretrainConfig, TextAugmentation, Views
from glam_train.methods.mammo_clip_settings import MammoClipSettings
from glam_train.methods.settings import NoneSettings
from glam_train.presets.frames import MAMMO_CLIP_GREY, MAMMO_CLIP_SIZE, mammo_clip_frame

_WIDTHS_AND_BLOCKS = {"b2": (1408, 23), "b5": (2048, 39)}
_BATCH = 4
_EPOCH = 5071
"""Updates in which 80 % of Mammo-CLIP's 25,355 mammograms are seen four at a time."""


def mammo_clip_b2_preset() -> PretrainConfig:
    """Mammo-CLIP's published EfficientNet-B2 at 1520 x 912 px as a checkpoint, without an update."""
    return _as_published("b2")


def mammo_clip_b5_preset() -> PretrainConfig:
    """Mammo-CLIP's published EfficientNet-B5 at 1520 x 912 px as a checkpoint, without an update."""
    return _as_published("b5")


def mammo_clip_b2_train_preset() -> PretrainConfig:
    """Mammo-CLIP's pretraining of an EfficientNet-B2: four image-text pairs, image with image, report with report."""
    return _trained("b2")


def mammo_clip_b5_train_preset() -> PretrainConfig:
    """Mammo-CLIP's pretraining of an EfficientNet-B5."""
    return _trained("b5")


def _trained(size: str) -> PretrainConfig:
    """AdamW at 5e-5, weight decay 1e-4, ten epochs of which one warms up, four images an update."""
    return PretrainConfig(
        model=_model(size),
        starts_from=f"an EfficientNet-{size.upper()} of ImageNet, and BioClinicalBERT",
        method=MammoClipSettings(),
        views=Views(strategy="image"),
        steps=10 * _EPOCH,
        warmup_steps=_EPOCH,
        batch_size=_BATCH,
        accumulate=1,
        learning_rate=5e-5,
        weight_decay=1e-4,
        clip_norm=None,
        text=TextAugmentation(style="papers", mask_meta=1.0),
        image=ImageAugmentation(rotate_deg=20.0, shift=0.001, scale=0.2, gamma=0.0, noise=0.0),
    )


def _as_published(size: str) -> PretrainConfig:
    return replace(
        _trained(size),
        starts_from=f"Mammo-CLIP's EfficientNet-{size.upper()}, your own copy, which is CC BY-NC-SA",
        method=NoneSettings(),
        steps=0,
        warmup_steps=0,
        batch_size=2,
    )


def _model(size: str) -> ModelConfig:
    width, blocks = _WIDTHS_AND_BLOCKS[size]
    vision = VisionConfig(
        image_size=MAMMO_CLIP_SIZE,
        patch_size=32,
        embed_dim=width,
        depth=blocks,
        num_heads=1,
        timm_name=f"tf_efficientnet_{size}",
        mean=MAMMO_CLIP_GREY[0],
        std=MAMMO_CLIP_GREY[1],
    )
    text = TextConfig(max_tokens=256, pool="last", dropout=0.1)
    return ModelConfig(vision=vision, text=text, alignment=None, frame=mammo_clip_frame())
