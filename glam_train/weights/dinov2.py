"""DINOv2 as its authors publish it: a `.pth` of tensors, with registers or without."""

from glam_train.weights.fit import renamed
from glam_train.weights.stored import StoredWeights, Weights
from glam_train.weights.vit import VitFacts

NAMES = {"register_tokens": "reg_token"}
UNUSED = "mask_token"
"""What only the training of DINOv2 computes with."""
FACTS = VitFacts()


def is_dinov2(stored: StoredWeights) -> bool:
    """Whether the keys are those of the authors' files, which alone have a mask token beside timm's names."""
    return "blocks.0.attn.qkv.weight" in stored.tensors and not {"mask_token", "register_tokens"}.isdisjoint(
        stored.tensors
    )


def dinov2_weights(stored: StoredWeights) -> tuple[Weights, VitFacts]:
    """Return the weights under timm's names."""
    return renamed(stored.tensors, NAMES, unused=UNUSED), FACTS
