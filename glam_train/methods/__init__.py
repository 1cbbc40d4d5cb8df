"""Methods of pretraining, one module each, and the one table of their names.

The table is read without torch: `glam-train --help` and a configuration need its names and settings alone. The module
of a method is imported when it is built.
"""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from glam_train.methods.glam_settings import GlamOfficialSettings, GlamPaperSettings, GlamSettings
from glam_train.methods.mama_settings import MamaOfficialSettings, MamaSettings
from glam_train.methods.mammo_clip_settings import MammoClipSettings
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

if TYPE_CHECKING:
    from glam.model.glam import Glam
    from glam_train.config import PretrainConfig
    from glam_train.methods.method import Method


class Entry(NamedTuple):
    """A method in the table: its settings, and where its class is."""

    settings: type[MethodSettings]
    module: str
    """A module of this folder."""
    class_name: str


METHODS = {
    entry.settings.name: entry
    for entry in (
        Entry(GlamSettings, "glam", "GlamMethod"),
        Entry(GlamPaperSettings, "glam", "GlamPaperMethod"),
        Entry(GlamOfficialSettings, "glam", "GlamOfficialMethod"),
        Entry(MamaSettings, "mama", "MamaMethod"),
        Entry(MamaOfficialSettings, "mama_official", "MamaOfficialMethod"),
        Entry(ClipSettings, "clip", "ClipMethod"),
        Entry(SlipSettings, "slip", "SlipMethod"),
        Entry(SlipOfficialSettings, "slip", "SlipOfficialMethod"),
        Entry(SimclrSettings, "simclr", "SimclrMethod"),
        Entry(MocoSettings, "moco", "MocoMethod"),
        Entry(ConvirtSettings, "convirt", "ConvirtMethod"),
        Entry(MgcaSettings, "mgca", "MgcaMethod"),
        Entry(MmMilSettings, "mm_mil", "MmMilMethod"),
        Entry(MammoClipSettings, "mammo_clip", "MammoClipMethod"),
        Entry(NoneSettings, "none", "NoneMethod"),
    )
}
"""By name; a line a method."""


def build_method(config: "PretrainConfig", model: "Glam") -> "Method":
    """Return the method that the settings name, its heads drawn from torch's seed."""
    entry = METHODS[config.method.name]
    built: Method = getattr(import_module(f"{__name__}.{entry.module}"), entry.class_name)(config, model)
    return built


def check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError with the known names when `name` is none of them; `kind` says of what."""
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}: expected one of {', '.join(known)}")
