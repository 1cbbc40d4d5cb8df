"""GLAM's settings: ours, those of the printed paper and of the released script, and `tiny` for two processor cores."""

from dataclasses import replace

from glam.config import FrameConfig, ModelConfig, VisionConfig
from glam.config import glam_official as official_model
from glam.config import glam_paper as paper_model
from glam.config import tiny as tiny_model
from glam_train.config import ImageAugmentation, PretrainConfig, TextAugmentation
from glam_train.methods.glam_settings import GlamOfficialSettings, GlamPaperSettings

DINOV2 = "DINOv2 ViT-B/14 with registers"
STARTS_FROM = f"{DINOV2}, and BioClinicalBERT"


def glam_preset() -> PretrainConfig:
    """Ours: Eq. 2 and 4 with every pair of an update as a negative, known places where there are any, AdamW."""
    return PretrainConfig(correspondence_weight=1.0, starts_from=STARTS_FROM)


def glam_small_preset() -> PretrainConfig:
    """`glam` for one GPU of 8 GB: DINOv2's ViT-S/14 at 378 px, 8 pairs a pass and 144 an update.

    27 x 27 patches are nine to a region. An estimate, not measured on such a card: weights, gradient and AdamW's two
    moments of 131 million parameters in fp32 take 2.1 GB, their bf16 copies 0.2 GB, and what the backward pass keeps of
    a pair 0.35 GB (counted in bf16 on a CPU), which makes 5.1 GB for 8 pairs. The rest is for what a backward pass
    takes beside it, and for CUDA. `--checkpointing` needs less.
    """
    vision = VisionConfig(image_size=378, embed_dim=384, num_heads=6)
    model = ModelConfig(vision=vision, frame=FrameConfig(size=378))
    return replace(
        glam_preset(),
        model=model,
        starts_from="DINOv2 ViT-S/14 with registers, and BioClinicalBERT",
        batch_size=8,
        accumulate=18,
    )


def glam_paper_preset() -> PretrainConfig:
    """The printed paper: batch 144, learning rate 4e-5, weight decay 0.2, SGD, 40,000 steps, cosine."""
    return PretrainConfig(
        model=paper_model(),
        starts_from=STARTS_FROM,
        method=GlamPaperSettings(),
        optimizer="sgd",
        clip_norm=None,
        text=TextAugmentation(style="papers"),
        image=ImageAugmentation(gamma=0.0, noise=0.0),
    )


def glam_official_preset() -> PretrainConfig:
    """The released scripts/pretrain.sh on one device: 48 pairs a pass, two passes an update, bf16-true, AdamW."""
    return PretrainConfig(
        model=official_model(),
        starts_from=STARTS_FROM,
        method=GlamOfficialSettings(),
        batch_size=48,
        accumulate=2,
        negatives="micro_batch",
        decay_all=True,
        clip_norm=None,
        precision="bf16-true",
        text=TextAugmentation(style="papers"),
    )


def tiny_preset() -> PretrainConfig:
    """Two CPU cores and phantoms: the objective of `glam` on a model of a few million parameters."""
    return PretrainConfig(
        model=tiny_model(),
        correspondence_weight=1.0,
        steps=1300,
        batch_size=32,
        accumulate=1,
        learning_rate=7e-4,
        min_learning_rate=1e-6,
        warmup_steps=60,
        weight_decay=0.05,
        precision="fp32",
        text=TextAugmentation(mask_meta=1.0),
        image=ImageAugmentation(rotate_deg=5.0, shift=0.04),
    )
