"""The commands of `glam-train`: each a frozen dataclass with run(), importable without tyro and torch."""

from glam_train.commands.doctor import Doctor
from glam_train.commands.evaluate import Evaluate, Provenance
from glam_train.commands.official import ImportOfficial
from glam_train.commands.prepare import Prepare, PreparePhantoms
from glam_train.commands.presets import Params, Presets
from glam_train.commands.pretrain import Pretrain

__all__ = [
    "Doctor",
    "Evaluate",
    "ImportOfficial",
    "Params",
    "Prepare",
    "PreparePhantoms",
    "Presets",
    "Pretrain",
    "Provenance",
]
