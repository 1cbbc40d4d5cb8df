"""Settings on the command line of `pretrain`: every field of `PretrainConfig` is an option of its dotted name."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from glam.files import json_object
from glam.settings import Text, part_class, type_hints
from glam_train.config import PretrainConfig
from glam_train.methods import METHODS
from glam_train.methods.settings import MethodSettings

Changes = dict[str, Any]
"""Nested dicts of the settings that are named; of a command line, with `Text` for values."""


class WrongOption(ValueError):
    """An option of the command line that there is not, or that lacks its value."""

    exit_code = 2


class Split(NamedTuple):
    """A command line, in two."""

    rest: list[str]
    """What is no setting: the command's own options and their values."""
    settings: Changes


def split_settings(arguments: Sequence[str], *, own: Sequence[str]) -> Split:
    """Return a command line without the settings in it, and those. `own`: names of the command's own options.

    WrongOption: an option that is neither, with the nearest that there is; a setting without a value, or given twice.
    """
    rest: list[str] = []
    settings: Changes = {}
    coming = iter(arguments)
    for argument in coming:
        option, _, value = argument.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name in (*own, "help"):
            rest.append(argument)
            continue
        if name not in setting_names():
            raise WrongOption(f"there is no option {option}{_nearest(name, own)}")
        text = value if "=" in argument else next(coming, None)
        if text is None or (text.startswith("--") and "=" not in argument):
            raise WrongOption(f"{option} has no value: give one after it")
        _put(settings, "method.name" if name == "method" else name, Text(text), option=option)
    return Split(rest, settings)


def setting_names() -> dict[str, None]:
    """Return the dotted names of all settings, of each method's own too, and those of parts that may be left out."""
    names = dict.fromkeys(_names(PretrainConfig, ""))
    for entry in METHODS.values():
        names |= dict.fromkeys(_names(entry.settings, "method."))
    return names


def read_settings(path: Path) -> Changes:
    """Return the settings of a JSON file: some, all, or the config.json of a run. ValueError for another file."""
    try:
        content = json_object(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON object of settings: {error}") from error
    inner = content.get("config", content.get("settings"))
    return inner if isinstance(inner, dict) else content


def as_option(name: str) -> str:
    """Return the option of a setting."""
    return "--" + name.replace("_", "-")


def _names(cls: type, within: str) -> Iterator[str]:
    for field in fields(cls):  # type: ignore[arg-type]
        name, part = f"{within}{field.name}", part_class(type_hints(cls)[field.name])
        yield name
        if part is not None and part is not MethodSettings:
            yield from _names(part, f"{name}.")


def _put(settings: Changes, name: str, value: Text, *, option: str) -> None:
    *parts, last = name.split(".")
    for part in parts:
        settings = settings.setdefault(part, {})
        if isinstance(settings, Text):
            raise WrongOption(f"{option} is part of what is {json.dumps(settings)}: leave one of the two out")
    if last in settings:
        raise WrongOption(f"{option} is given twice: leave one of the two out")
    settings[last] = value


def _nearest(name: str, own: Sequence[str]) -> str:
    """Return ": did you mean ...?" with the option that is most like `name`, or whose last part is."""
    known = {other: other for other in [*own, *setting_names()]}
    known = {other.rsplit(".", 1)[-1]: other for other in reversed(known)} | known
    for wanted in (name, name.rsplit(".", 1)[-1]):
        if close := difflib.get_close_matches(wanted, known, n=1):
            return f": did you mean {as_option(known[close[0]])}?"
    return ": --help lists them"
