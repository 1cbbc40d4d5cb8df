"""Frozen dataclasses of JSON types, read from nested dicts: every key known, every value of its field's type.

A dataclass may name keys of older versions in a class variable `retired`; they are dropped. A field whose class depends
on its content (`Variants`) has the name of that class under "name".
"""

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")
Variants = Mapping[type, Mapping[str, type]]
"""Base class of a field -> the classes that its content may name."""
NO_VARIANTS: Variants = MappingProxyType({})
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "none", dict: "JSON"}


class Text(str):
    """A value as a command line has it; its field says what it means."""


class SettingError(ValueError):
    """A setting that is not known, or whose value is of another type than its field."""


def settings_from_json(
    cls: type[Settings], data: Any, *, variants: Variants = NO_VARIANTS, within: str = ""
) -> Settings:
    """Return the dataclass of nested dicts. A scalar that is left out has its default; a part must be there.

    SettingError: an unknown key, a missing part, a value of another type. ValueError: a rule of the class is broken.
    `within`: the place of `data`, such as "model.", for the message.
    """
    if not isinstance(data, Mapping):
        raise SettingError(f"{within.rstrip('.') or 'settings'} is {data!r}: give a JSON object")
    cls = _named_class(cls, data, variants, within)
    hints, retired = type_hints(cls), getattr(cls, "retired", ())
    content = {key: value for key, value in data.items() if key not in (*retired, *_own_name(cls))}
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            raise SettingError(f"unknown setting {within}{key}{nearest(key, known)}")
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in content and (_required(field) or part_class(hints[field.name]) is not None):
            raise SettingError(f"there is no {within}{field.name}")
    values = {
        key: _value(hints[key], value, variants=variants, name=f"{within}{key}") for key, value in content.items()
    }
    return cls(**values)


def merged(base: Any, changes: Any) -> Any:
    """Return nested dicts with those of `changes` over them. Another "name" replaces what it is beside."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    if "name" in base and changes.get("name", base["name"]) != base["name"]:
        return dict(changes)
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


def leaves(data: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is no dict, by its dotted name; of an empty dict, itself."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def changed_leaves(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between nested dicts, by its dotted name: (before, after), None where there is none."""
    first, second = dict(leaves(before)), dict(leaves(after))
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ": did you mean ...?" with the known name that is most like `name`; nothing where none is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else ""


@cache
def type_hints(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields by their names."""
    return get_type_hints(cls)


def check_numbers(
    settings: object,
    *,
    at_least_0: Sequence[str] = (),
    above_0: Sequence[str] = (),
    counts: Sequence[str] = (),
    shares: Sequence[str] = (),
) -> None:
    """Raise ValueError for a number that breaks its rule; None, which says that there is no such number, breaks none.

    Names of fields: finite numbers from 0 up, finite ones above 0, whole ones from 1 up, and shares below 1.
    """
    rules = [(at_least_0, lambda value: 0 <= value < math.inf, "give a number from 0 up")]
    rules += [(above_0, lambda value: 0 < value < math.inf, "give a number above 0")]
    rules += [(counts, lambda value: value >= 1, "give 1 or more")]
    rules += [(shares, lambda value: 0 <= value < 1, "give a share from 0 to below 1")]
    for names, holds, rule in rules:
        for name in names:
            value = getattr(settings, name)
            if value is not None and not holds(value):
                raise ValueError(f"{name} is {value}: {rule}")


def part_class(hint: Any) -> type | None:
    """Return the dataclass that a field of this type is, or may be; None for other types."""
    return next((choice for choice in _choices(hint) if isinstance(choice, type) and is_dataclass(choice)), None)


def is_object(hint: Any) -> bool:
    """Whether a field of this type may hold a JSON object with parts of any name."""
    return any((get_origin(choice) or choice) is dict for choice in _choices(hint))


def value_from_text(hint: Any, text: str, *, name: str) -> Any:
    """Return the value that a command line means by `text` for a field of this type; SettingError for none."""
    choices = _choices(hint)
    if str in choices or any(get_origin(choice) is Literal and text in get_args(choice) for choice in choices):
        return None if text.lower() == "none" and NoneType in choices else str(text)
    if text.lower() in ("none", "null") and NoneType in choices:
        return None
    if float in choices:
        with suppress(ValueError):
            if math.isfinite(number := float(text)):
                return number
    try:
        value = json.loads(text.lower() if bool in choices else text)
    except ValueError:
        value = str(text)
    return _value(hint, value, variants=NO_VARIANTS, name=name)


def _value(hint: Any, value: Any, *, variants: Variants, name: str) -> Any:
    part = part_class(hint)
    if isinstance(value, Text):
        if part is not None and value.lower() not in ("none", "null"):
            raise SettingError(f"{name} is {value!r}: give {name}.{next(iter(type_hints(part)))} or another part of it")
        return value_from_text(hint, value, name=name)
    if part is not None and not (value is None and NoneType in _choices(hint)):
        return settings_from_json(part, value, variants=variants, within=f"{name}.")
    for choice in _choices(hint):
        if _is_of(choice, value):
            return tuple(value) if isinstance(value, list) and get_origin(choice) is tuple else _plain(value)
    expected = " or ".join(dict.fromkeys(map(_told, _choices(hint))))
    raise SettingError(f"{name} is {json.dumps(value)}: give {expected}")


def _plain(value: Any) -> Any:
    """Return a value with what a command line says of parts of a JSON object as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return value_from_text(Any, value, name="a part") if isinstance(value, Text) else value


def _is_of(choice: Any, value: Any) -> bool:
    origin, inner = get_origin(choice), get_args(choice)
    if choice is Any:
        return True
    if origin is Literal:
        return value in inner
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            return False
        types = inner[:1] * len(value) if origin is list or Ellipsis in inner else inner
        return len(types) == len(value) and all(map(_is_of, types, value))
    if choice is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if choice is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or choice)


def _told(choice: Any) -> str:
    origin, inner = get_origin(choice), get_args(choice)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in (tuple, list):
        return "a list such as [" + ", ".join("..." if one is Ellipsis else _told(one) for one in inner) + "]"
    return NAMES.get(origin or choice, str(choice))


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _own_name(cls: type) -> tuple[str, ...]:
    return ("name",) if isinstance(getattr(cls, "name", None), str) else ()


def _named_class(cls: type, data: Mapping[str, Any], variants: Variants, within: str) -> type:
    if cls not in variants:
        return cls
    known = variants[cls]
    if data.get("name") not in known:
        kind = within.rstrip(".") or "settings"
        raise SettingError(f"unknown {kind} {data.get('name')!r}: expected one of {', '.join(known)}")
    return known[data["name"]]
