"""What to say of a cache that was prepared otherwise than a model takes its images: the difference, and the command."""

from dataclasses import asdict, fields
from typing import Any

from glam.config import FrameConfig
from glam.input_size import told_size
from glam.licence import PHANTOMS
from glam_train.command_line import as_option
from glam_train.presets import PRESETS, preset


def told_difference(cache: FrameConfig, model: FrameConfig) -> str:
    """Name what a cache was prepared for and what a model takes, as far as they differ."""
    names = [field.name for field in fields(FrameConfig) if getattr(cache, field.name) != getattr(model, field.name)]
    return f"the cache was prepared for {_told(cache, names)}, the model takes {_told(model, names)}"


def prepare_command(frame: FrameConfig, *, source: dict[str, Any], preset_name: str | None) -> str:
    """Return the command that prepares images for a frame, from the same kind of source.

    By the preset that the run has, where its frame is near enough to say the rest in options; else by the nearest.
    """
    command = "prepare-phantoms" if source.get("kind") == PHANTOMS else "prepare --manifest MANIFEST"
    names = [*([preset_name] if preset_name in PRESETS else []), *PRESETS]
    name = min(names, key=lambda name: len(_options(name, frame)))
    return " ".join(["glam-train", command, "--preset", name, *_options(name, frame), "--out", "FOLDER"])


def _options(name: str, frame: FrameConfig) -> list[str]:
    """Return the options that make a preset's frame another one."""
    theirs, ours = asdict(preset(name).model.frame), asdict(frame)
    differing = {key: value for key, value in ours.items() if value != theirs[key]}
    return [f"{as_option(f'model.frame.{key}')} {_as_text(value)}" for key, value in differing.items()]


def _as_text(value: Any) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, tuple):
        return f"'{list(value)}'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(frame: FrameConfig, names: list[str]) -> str:
    values = {"size": f"{told_size(frame.size)} px"}
    return ", ".join(f"{name} {values.get(name, getattr(frame, name))}" for name in names)
