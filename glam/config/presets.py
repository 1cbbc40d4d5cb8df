"""Published settings of the model, as functions."""

from glam.config.frame import FrameConfig
from glam.config.model import AlignmentConfig, ModelConfig
from glam.config.towers import TextConfig, VisionConfig


def glam_paper() -> ModelConfig:
    """The printed paper (Du et al., MICCAI 2025): free region queries."""
    return ModelConfig(alignment=AlignmentConfig(pooling="free", values="projected"), frame=FrameConfig(kind="stretch"))


def glam_official() -> ModelConfig:
    """The released code (XYPB/GLAM b863b78): six text layers at position 0, unbounded temperatures."""
    return ModelConfig(
        text=TextConfig(vocab_size=28999, depth=6, position_ids="official_zero", wrap_tokens=True, dropout=0.1),
        alignment=AlignmentConfig(pooling="free", values="projected"),
        frame=FrameConfig(kind="stretch", mask_muscle=False),
        max_scale=None,
    )


def tiny() -> ModelConfig:
    """A model that two CPU cores can train: 252 px, 18 x 18 patches, the same 9 x 9 regions."""
    return ModelConfig(
        vision=VisionConfig(
            image_size=252,
            embed_dim=128,
            depth=3,
            num_heads=2,
            num_registers=0,
            stem="conv",
            positions="none",
            layer_scale=1.0,
        ),
        text=TextConfig(
            vocab_size=4000, hidden_dim=128, depth=2, num_heads=2, ffn_dim=256, max_positions=160, max_tokens=160
        ),
        alignment=AlignmentConfig(pooling_heads=4),
        frame=FrameConfig(size=252, kind="stretch"),
        joint_dim=128,
    )
