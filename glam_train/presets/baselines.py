"""The methods that both papers compare themselves with, at the settings common to MaMA's comparison.

Those are: DINOv2 ViT-B/14 with registers at 518 px and BioClinicalBERT (published weights, which a run is given by
path), 144 images an update, AdamW at 4e-5, weight decay 0.1, 40,000 updates, 4,000 of warm-up from 1e-8, bf16. GLAM's
comparison differs by SGD and a weight decay of 0.2.
"""

from dataclasses import replace

from glam.config import ModelConfig, VisionConfig
from glam.config import glam_official as official_model
from glam_train.config import PretrainConfig, TextAugmentation, Views
from glam_train.methods.settings import (
    ClipSettings,
    ConvirtSettings,
    MethodSettings,
    MgcaSettings,
    MmMilSettings,
    MocoSettings,
    NoneSettings,
    SimclrSettings,
    SlipOfficialSettings,
    SlipSettings,
)
from glam_train.presets.frames import mama_frame
from glam_train.presets.glam import DINOV2, STARTS_FROM, glam_official_preset


def clip_preset() -> PretrainConfig:
    """CLIP on DINOv2 ViT-B/14-reg."""
    return _on_dinov2(ClipSettings())


def clip_deit_preset() -> PretrainConfig:
    """CLIP on DeiT-B/16 at 384 px (MaMA, Tables 1 to 3)."""
    return _on_deit(clip_preset())


def slip_preset() -> PretrainConfig:
    """SLIP with the head and the temperature of its paper."""
    return _on_dinov2(SlipSettings())


def slip_official_preset() -> PretrainConfig:
    """SLIP as the released GLAM code trains it with --slip and without its local losses, on one device."""
    return replace(
        glam_official_preset(),
        model=replace(official_model(), alignment=None),
        starts_from=STARTS_FROM,
        method=SlipOfficialSettings(),
        views=Views(strategy="image"),
    )


def simclr_preset() -> PretrainConfig:
    """SimCLR alone (MaMA, Table 11), with the head and the temperature of the released code."""
    return _on_dinov2(SimclrSettings())


def moco_preset() -> PretrainConfig:
    """A queue of 4096 keys beside CLIP's loss (MaMA, Table 9)."""
    return _on_dinov2(MocoSettings())


def convirt_preset() -> PretrainConfig:
    """ConVIRT: projections by a hidden layer of 512, temperature 0.07, both directions alike."""
    return _on_dinov2(ConvirtSettings(), projection_hidden=512)


def convirt_deit_preset() -> PretrainConfig:
    """ConVIRT on DeiT-B/16 at 384 px."""
    return _on_deit(convirt_preset())


def mgca_preset() -> PretrainConfig:
    """MGCA: a joint space of 128, 500 prototypes, losses weighted 1, 0.7 and 0.5."""
    return _on_dinov2(MgcaSettings(), joint_dim=128, projection_hidden=2048)


def mgca_deit_preset() -> PretrainConfig:
    """MGCA on DeiT-B/16 at 384 px."""
    return _on_deit(mgca_preset())


def mm_mil_preset() -> PretrainConfig:
    """MM-MIL: sentences and their best patches, beside CLIP's loss."""
    return _on_dinov2(MmMilSettings())


def random_vit_preset() -> PretrainConfig:
    """A ViT-B/14-reg of random numbers as a checkpoint, without an update."""
    nothing = replace(clip_preset(), method=NoneSettings(), steps=0, warmup_steps=0, batch_size=2, accumulate=1)
    return replace(nothing, starts_from=None)


def dinov2_vit_preset() -> PretrainConfig:
    """DINOv2's published ViT-B/14-reg as a checkpoint, without an update."""
    return replace(random_vit_preset(), starts_from=DINOV2)


def _on_dinov2(method: MethodSettings, *, joint_dim: int = 512, projection_hidden: int | None = None) -> PretrainConfig:
    model = ModelConfig(alignment=None, frame=mama_frame(), joint_dim=joint_dim, projection_hidden=projection_hidden)
    return PretrainConfig(
        model=model,
        starts_from=STARTS_FROM,
        method=method,
        views=Views(strategy="image"),
        weight_decay=0.1,
        clip_norm=None,
        text=TextAugmentation(style="papers"),
    )


def _on_deit(config: PretrainConfig) -> PretrainConfig:
    vision = VisionConfig(image_size=384, patch_size=16, num_registers=0, timm_name="deit_base_patch16_384")
    model = replace(config.model, vision=vision, frame=mama_frame(384))
    return replace(config, model=model, starts_from="DeiT-B/16 at 384 px, and BioClinicalBERT")
