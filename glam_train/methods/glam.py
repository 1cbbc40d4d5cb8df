"""GLAM: Du, Chen, Dvornek, "Geometry-Guided Local Alignment for Multi-View VLP in Mammography", MICCAI 2025.

Three objectives (ours, the printed equations, the released code XYPB/GLAM b863b78) and their presets; `tiny` is ours on
a model that two processor cores can train.
"""

from torch import Tensor

from glam.config import glam_official, glam_paper, tiny
from glam.model.glam import Scales
from glam_train.config import ImageAugmentation, PretrainConfig, TextAugmentation
from glam_train.methods.losses import (
    global_loss,
    image_text_loss,
    local_loss,
    nt_xent,
    official_image_text_loss,
    official_local_loss,
    view_loss,
    without_positive,
)
from glam_train.methods.vectors import Terms, Vectors

STARTS_FROM = "DINOv2 ViT-B/14 with registers, and BioClinicalBERT"


def glam_objective(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """Eq. 2 and Eq. 4 with the positive in the denominator, each kind of term with a temperature of its own."""
    view = view_loss(vectors.view_cc, vectors.view_mlo, scales.view)
    image_text = image_text_loss(vectors.image_cc, vectors.image_mlo, vectors.text, scales.image_text)
    local = local_loss(*_local(vectors), scales.local)
    return {
        "view": view,
        "image_text": image_text,
        "local": local,
        "total": view + image_text + local_weight * local,
    }


def glam_paper_objective(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """The printed equations: one temperature for every term, the positive left out of Eq. 4's denominator."""
    tau = scales.image_text
    whole = global_loss(vectors.image_cc, vectors.image_mlo, vectors.text, view_scale=tau, text_scale=tau)
    local = local_loss(*_local(vectors), tau, without_positive)
    return {"global": whole, "local": local, "total": whole + local_weight * local}


def glam_official_objective(vectors: Vectors, scales: Scales, local_weight: float) -> Terms:
    """The released code: CC against text, NT-Xent between the views at temperature 0.5, two local terms."""
    view = nt_xent(vectors.view_cc, vectors.view_mlo)
    image_text = official_image_text_loss(vectors.image_cc, vectors.text, scales.image_text)
    local = official_local_loss(*_local(vectors), scales.local)
    return {
        "view": view,
        "image_text": image_text,
        "local": local,
        "total": view + image_text + local_weight * local,
    }


def _local(vectors: Vectors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return vectors.regions_cc, vectors.regions_mlo, vectors.aligned_cc, vectors.aligned_mlo


def glam_preset() -> PretrainConfig:
    """Ours: Eq. 2 and 4 with every pair of an update as a negative, known places where there are any, AdamW."""
    return PretrainConfig(correspondence_weight=1.0, starts_from=STARTS_FROM)


def glam_paper_preset() -> PretrainConfig:
    """The printed paper: batch 144, learning rate 4e-5, weight decay 0.2, SGD, 40,000 steps, cosine."""
    return PretrainConfig(
        model=glam_paper(),
        starts_from=STARTS_FROM,
        objective="glam_paper",
        optimizer="sgd",
        clip_norm=None,
        text=TextAugmentation(style="papers"),
        image=ImageAugmentation(gamma=0.0, noise=0.0),
    )


def glam_official_preset() -> PretrainConfig:
    """The released scripts/pretrain.sh on one device: 48 pairs a pass, two passes an update, bf16-true, AdamW."""
    return PretrainConfig(
        model=glam_official(),
        starts_from=STARTS_FROM,
        objective="glam_official",
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
        model=tiny(),
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
