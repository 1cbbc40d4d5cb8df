"""MaMA's settings, with BERT as its text tower."""

from glam.config import ModelConfig, TextConfig
from glam_train.config import ImageAugmentation, PretrainConfig, TextAugmentation, Views
from glam_train.methods.settings import MamaSettings
from glam_train.presets.frames import mama_frame
from glam_train.presets.glam import STARTS_FROM


def mama_bert_preset() -> PretrainConfig:
    """MaMA-BERT of the paper (Tables 1 to 3): BioClinicalBERT, trained whole.

    AdamW, learning rate 4e-5, weight decay 0.1, 40,000 steps, 4,000 of warm-up from 1e-8, batch 144 as 36 on each of
    four devices, the local loss from step 8,000 on, fields masked with a chance of 0.8, views of the study with 0.5.
    """
    return PretrainConfig(
        model=ModelConfig(
            text=TextConfig(max_tokens=256, pool="mean", dropout=0.1),
            alignment=None,
            frame=mama_frame(),
            image_pool="mean",
        ),
        starts_from=STARTS_FROM,
        method=MamaSettings(),
        views=Views(strategy="study", probability=0.5),
        local_start_step=8000,
        weight_decay=0.1,
        clip_norm=None,
        text=TextAugmentation(style="papers"),
        image=ImageAugmentation(rotate_deg=0.0, shift=0.0, scale=0.0, gamma=0.5, noise=0.0, reverse=0.5, blur=0.4),
    )
