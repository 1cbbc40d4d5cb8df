"""Settings on the command line of `pretrain`: every field of `PretrainConfig` is an option of its dotted name."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from glam.files import json_object
from glam.settings import Text, is_object, part_class, type_hints
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


def split_settings(arguments: Sequence[str], *, own: Sequence[str], within: str = "") -> Split:
    """Return a command line without the settings in it, and those.

    `own`: names of the command's own options; `within`: how the names of the settings begin that it takes. WrongOption:
    an option that is neither, with the nearest that there is; a setting without a value, or given twice.
    """
    known = [name for name in setting_names() if name.startswith(within)]
    rest: list[str] = []
    settings: Changes = {}
    coming = iter(arguments)
    for argument in coming:
        option, _, value = argument.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name in (*own, "help"):
            rest.append(argument)
            continue
        if name not in known and not (name.startswith(within) and _is_in_object(name)):
            raise WrongOption(f"there is no option {option}{_nearest(name, [*own, *known])}")
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


def _is_in_object(name: str) -> bool:
    """Whether the name is one within a setting that is a JSON object."""
    return name.startswith(tuple(f"{known}." for known, hint in _named(PretrainConfig, "") if is_object(hint)))


def _names(cls: type, within: str) -> Iterator[str]:
    return (name for name, _ in _named(cls, within))


def _named(cls: type, within: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name of each field and its type."""
    for field in fields(cls):  # type: ignore[arg-type]
        name, hint = f"{within}{field.name}", type_hints(cls)[field.name]
        yield name, hint
        part = part_class(hint)
        if part is not None and part is not MethodSettings:
            yield from _named(part, f"{name}.")


def _put(settings: Changes, name: str, value: Text, *, option: str) -> None:
    *parts, last = name.split(".")
    for part in parts:
        settings = settings.setdefault(part, {})
        if isinstance(settings, Text):
            raise WrongOption(f"{option} is part of what is {json.dumps(settings)}: leave one of the two out")
    if last in settings:
        raise WrongOption(f"{option} is given twice: leave one of the two out")
    settings[last] = value


def _nearest(name: str, names: Sequence[str]) -> str:
    """Return ": did you mean ...?" with the option that is most like `name`, or whose last part is."""
    known = {other: other for other in names}
    known = {other.rsplit(".", 1)[-1]: other for other in reversed(known)} | known
    for wanted in (name, name.rsplit(".", 1)[-1]):
        if close := difflib.get_close_matches(wanted, known, n=1):
            return f": did you mean {as_option(known[close[0]])}?"
    return ": --help lists them"
