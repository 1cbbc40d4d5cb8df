"""What a user asked of the towers, held to the published weights that these start from."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from glam.config import ModelConfig
from glam_train.command_line import as_option
from glam_train.pretraining.errors import RunError
from glam_train.weights.towers import PublishedStart

COLOURS = ("mean", "std")
"""Settings of the vision tower that are no part of its weights: what is asked for holds."""
FOLLOWING = ("vocab_size",)
"""Settings that follow the tokenizer."""


class Contradiction(NamedTuple):
    """A setting of a tower that its published weights have otherwise."""

    tower: str
    name: str
    wanted: Any
    stored: Any


def with_asked(
    published: PublishedStart, model: ModelConfig, *, options: Mapping[str, Any], asked: Mapping[str, Any]
) -> ModelConfig:
    """Return the model that published weights fit, with the grey values that the command line asks for.

    `model`: before the weights were looked at; `options`: all settings that replace the preset's; `asked`: those of
    the command line. RunError where one of these is not what the weights have; others are replaced, and stderr says so.
    """
    colours: dict[str, Any] = {}
    for tower, name, wanted, stored in _contradictions(published, model, options):
        setting = f"model.{tower}.{name}"
        if name not in asked.get("model", {}).get(tower, {}):
            sys.stderr.write(f"{setting} is {stored!r}, as the {tower} weights have it, not {wanted!r}\n")
        elif tower == "vision" and name in COLOURS:
            colours[name] = wanted
        else:
            raise RunError(
                f"{published.towers[tower].path} has {setting} {stored!r}, not {wanted!r}: leave out "
                f"{as_option(setting)}, or give other weights"
            )
    return replace(published.model, vision=replace(published.model.vision, **colours))


def _contradictions(
    published: PublishedStart, model: ModelConfig, options: Mapping[str, Any]
) -> Iterator[Contradiction]:
    for tower in published.towers:
        before, after = getattr(model, tower), getattr(published.model, tower)
        for name in options.get("model", {}).get(tower, {}):
            wanted, stored = getattr(before, name), getattr(after, name)
            if wanted != stored and name not in FOLLOWING:
                yield Contradiction(tower, name, wanted, stored)
